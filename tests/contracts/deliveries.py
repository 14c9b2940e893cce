"""What every store of deliveries promises: order of each user, leases, bounds."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import attrs

from contracts.erasures import an_erasure
from contracts.examples import ADA, BOB, NOON, an_account, moments_in
from contracts.ledger_races import WORKERS_COUNT
from contracts.stores import SAVED, Stores, moved
from contracts.user_lists import paid_as
from payments_core.deliveries import (
    LEASE,
    Delivery,
    DeliveryKey,
    DeliveryQuery,
    EndpointBacklog,
    Replayed,
    SendResult,
)
from payments_core.identity import UserId
from payments_core.lease import Lease

CRM: Final = "crm"
ALL: Final = 1_000
MOMENT: Final = timedelta(microseconds=1)
DAY: Final = timedelta(days=1)
NONE: Final = Replayed([], [])
NOT_NOW: Final = SendResult(is_delivered=False, reason="503")


async def logged(stores: Stores, *users: str, seconds: float = 0) -> None:
    """Log a change for each of the users, one after the other."""
    for number, user in enumerate(users):
        at = seconds + number
        account = await stores.accounts.find(UserId(user))
        if account is None:
            await stores.keep(an_account(user), seconds=at)
            continue
        status = "failed" if account.payment_status == "paid" else "paid"
        after = attrs.evolve(account, summary=paid_as(status))
        assert await stores.save(moved(account, after), seconds=at) == [SAVED]


async def begun(stores: Stores, *users: str, endpoint: str = CRM) -> None:
    """Turn the changes of these users into deliveries to an endpoint."""
    await stores.deliveries.begin(endpoint, from_start=True)
    await logged(stores, *users)
    await numbered(stores)
    assert await take_over(stores, endpoint) == len(users)


async def numbered(stores: Stores) -> None:
    while await stores.sequencer.give(ALL):
        continue


async def take_over(stores: Stores, endpoint: str = CRM, limit: int = ALL) -> int:
    return await stores.deliveries.take_over(endpoint, now=NOON, limit=limit)


async def claim(
    stores: Stores,
    limit: int = ALL,
    *,
    later: timedelta = timedelta(0),
    endpoint: str = CRM,
) -> Sequence[Delivery]:
    return await stores.deliveries.claim(endpoint, now=NOON + later, limit=limit)


async def claimed(
    stores: Stores, *, later: timedelta = timedelta(0), endpoint: str = CRM
) -> list[int]:
    """Claim all deliveries that are due, and return their positions."""
    found = await claim(stores, later=later, endpoint=endpoint)
    return [it.key.position for it in found]


def key(position: int, endpoint: str = CRM) -> DeliveryKey:
    return DeliveryKey(endpoint, position)


def dead(it: Delivery) -> Delivery:
    once = it.failed(NOON - 4 * DAY, NOT_NOW, 0.5)
    after = once.failed(NOON, NOT_NOW, 0.5)
    assert after.dead
    return after


async def kept(stores: Stores, **wanted: object) -> list[int]:
    query = DeliveryQuery(**wanted)  # type: ignore[arg-type]  # by name
    page = await stores.delivery_list.page(query, limit=ALL)
    return [it.key.position for it in page.deliveries]


class DeliveriesContract:
    async def test_a_new_endpoint_begins_behind_all_that_was_logged(
        self, stores: Stores
    ) -> None:
        """
        Also behind changes that have no position yet. On request it begins at the very
        first change.
        """
        await logged(stores, ADA, BOB)
        await numbered(stores)
        await logged(stores, ADA, seconds=5)
        await stores.deliveries.begin("new", from_start=False)
        await stores.deliveries.begin("all", from_start=True)
        await logged(stores, BOB, seconds=6)
        await numbered(stores)

        assert await take_over(stores, "new") == 1
        assert await take_over(stores, "all") == 4
        assert await kept(stores, endpoint="new") == [4]
        assert await kept(stores, endpoint="all") == [1, 2, 3, 4]

    async def test_an_endpoint_goes_on_where_it_was(self, stores: Stores) -> None:
        """
        It is begun once, however often a process starts.
        """
        await begun(stores, ADA, BOB)

        await stores.deliveries.begin(CRM, from_start=True)
        await stores.deliveries.begin(CRM, from_start=False)

        assert await take_over(stores) == 0
        assert (await stores.delivery_list.backlogs())[CRM].position == 2

    async def test_a_change_without_a_position_is_not_taken_over(
        self, stores: Stores
    ) -> None:
        """
        It gets a position after its commit, and is taken over then.
        """
        await begun(stores, ADA)
        await logged(stores, ADA, seconds=1)
        assert await take_over(stores) == 0

        await numbered(stores)

        assert await take_over(stores) == 1
        assert await kept(stores) == [1, 2]

    async def test_p32_what_is_taken_over_is_each_change_once(
        self, stores: Stores
    ) -> None:
        """
        Also in parts, and by many processes at once.
        """
        await stores.deliveries.begin(CRM, from_start=True)
        await logged(stores, *[ADA, BOB] * 5)
        await numbered(stores)
        assert await take_over(stores, limit=3) == 3
        assert await kept(stores) == [1, 2, 3]

        counts = [
            await asyncio.gather(
                *(take_over(stores, limit=2) for _ in range(WORKERS_COUNT))
            )
            for _ in range(4)
        ]

        assert sum(sum(it) for it in counts) == 7
        assert await kept(stores) == list(range(1, 11))

    async def test_f51_an_endpoint_has_so_many_open_and_the_rest_stays_in_the_log(
        self, stores: Stores
    ) -> None:
        """
        A dead delivery does not count against the limit. Nothing is skipped: the
        endpoint continues where it stopped.
        """
        queue = stores.deliveries_of(2)
        await queue.begin(CRM, from_start=True)
        await logged(stores, ADA, BOB, "c", "d", "e")
        await numbered(stores)
        assert await queue.take_over(CRM, now=NOON, limit=ALL) == 2
        assert await queue.take_over(CRM, now=NOON, limit=ALL) == 0

        first, second = await claim(stores)
        assert await queue.finish(first)
        assert await queue.release(second, dead(second))

        assert await queue.take_over(CRM, now=NOON, limit=ALL) == 2
        assert await kept(stores) == [2, 3, 4]

    async def test_a_delivery_comes_back_as_it_was(self, stores: Stores) -> None:
        """
        With every value, and every time in UTC.
        """
        await begun(stores, ADA)
        [it] = await claim(stores)
        new = Delivery.due(key(1), UserId(ADA), NOON)
        fence = it.lease.fence
        lease = Lease(due_at=NOON, fence=fence, until=NOON + LEASE)
        assert it == attrs.evolve(new, lease=lease)

        after = it.failed(
            NOON + MOMENT, SendResult(is_delivered=False, reason="weil: 漢字"), 0.1
        )
        assert await stores.deliveries.release(it, after)

        found = await stores.delivery_list.find(key(1))
        assert found == after
        assert {it.utcoffset() for it in moments_in(found)} == {timedelta(0)}
        assert await stores.delivery_list.find(key(1, "other")) is None

    async def test_p32_a_users_later_change_waits_for_the_earlier_one(
        self, stores: Stores
    ) -> None:
        """
        While the earlier one is claimed, and until its retry. Another user's delivery
        does not wait.
        """
        await begun(stores, ADA, ADA, BOB, BOB)
        ada, bob = await claim(stores)
        assert [it.key.position for it in (ada, bob)] == [1, 3]
        assert await claimed(stores) == []

        assert await stores.deliveries.finish(bob)
        after = ada.failed(NOON, NOT_NOW, 0.5)
        assert await stores.deliveries.release(ada, after)

        assert await claimed(stores) == [4]
        due = after.lease.due_at - NOON
        assert await claimed(stores, later=due - MOMENT) == []
        assert await claimed(stores, later=due) == [1]

    async def test_a_dead_one_lets_the_next_one_go(self, stores: Stores) -> None:
        """
        The dead delivery is never claimed again, however much time passes.
        """
        await begun(stores, ADA, ADA)
        [it] = await claim(stores)

        assert await stores.deliveries.release(it, dead(it))

        assert await claimed(stores, later=30 * DAY) == [2]
        assert await kept(stores, dead=True) == [1]

    async def test_one_endpoint_does_not_wait_for_another(self, stores: Stores) -> None:
        """
        Each endpoint has its own deliveries.
        """
        await begun(stores, ADA, ADA)
        await stores.deliveries.begin("shop", from_start=True)
        assert await take_over(stores, "shop") == 2
        assert await claimed(stores) == [1]

        assert await claimed(stores, endpoint="shop") == [1]

    async def test_p33_a_claim_hides_a_delivery_until_it_runs_out(
        self, stores: Stores
    ) -> None:
        """
        Then another process can claim it. The process before can neither end it nor
        give it back.
        """
        await begun(stores, ADA, ADA)
        [first] = await claim(stores)
        assert await claimed(stores, later=LEASE - MOMENT) == []

        [second] = await claim(stores, later=LEASE)

        assert second.lease.fence > first.lease.fence
        late = first.failed(NOON, NOT_NOW, 0.5)
        assert not await stores.deliveries.release(first, late)
        assert not await stores.deliveries.finish(first)
        assert await stores.deliveries.finish(second)
        assert not await stores.deliveries.finish(second)

    async def test_p33_a_late_process_does_not_end_what_was_replayed(
        self, stores: Stores
    ) -> None:
        """
        A delivery that is created again has a fence that was never used before.
        """
        await begun(stores, ADA)
        [late] = await claim(stores)
        [other] = await claim(stores, later=LEASE)
        assert await stores.deliveries.finish(other)
        assert await stores.deliveries.replay([key(1)], now=NOON) == Replayed(
            [key(1)], []
        )
        [again] = await claim(stores)

        assert not await stores.deliveries.finish(late)
        assert await stores.deliveries.finish(again)

    async def test_of_many_at_once_one_gets_each(self, stores: Stores) -> None:
        """
        One delivery for each user, each by one process.
        """
        await begun(stores, *[ADA, BOB, "c"] * 3)

        found = await asyncio.gather(*(claim(stores) for _ in range(WORKERS_COUNT)))

        positions = [it.key.position for some in found for it in some]
        assert sorted(positions) == [1, 2, 3]

    async def test_the_first_due_are_claimed_first(self, stores: Stores) -> None:
        """
        And no more than were requested.
        """
        await begun(stores, ADA, BOB, "c")
        ada, *_ = await claim(stores, 1)
        after = ada.failed(NOON - DAY, NOT_NOW, 0.5)
        assert await stores.deliveries.release(ada, after)

        found = [it.key.position for it in await claim(stores, 2)]

        assert found == [1, 2]
        assert await claimed(stores) == [3]

    async def test_what_is_replayed_waits_for_a_later_one_that_is_claimed(
        self, stores: Stores
    ) -> None:
        """
        Two deliveries of one user are never in flight at once.
        """
        await begun(stores, ADA, ADA)
        [first] = await claim(stores)
        assert await stores.deliveries.finish(first)
        [later] = await claim(stores)
        assert await stores.deliveries.replay([key(1)], now=NOON) == Replayed(
            [key(1)], []
        )
        assert await claimed(stores) == []

        assert await stores.deliveries.finish(later)

        assert await claimed(stores) == [1]

    async def test_a_dead_one_is_replayed_with_all_its_attempts(
        self, stores: Stores
    ) -> None:
        """
        It is due at once, and its three days start again.
        """
        await begun(stores, ADA, ADA)
        [it] = await claim(stores)
        assert await stores.deliveries.release(it, dead(it))

        assert await stores.deliveries.replay([key(1)], now=NOON) == Replayed(
            [key(1)], []
        )

        found = await stores.delivery_list.find(key(1))
        assert found is not None
        assert (found.dead, found.first_tried_at, found.reason) == (
            False,
            None,
            "503",
        )
        assert (found.lease.due_at, found.lease.attempts) == (NOON, 0)
        assert await claimed(stores) == [1]

    async def test_what_was_delivered_is_replayed_as_well(self, stores: Stores) -> None:
        """
        A delivery that is claimed, that the endpoint has not reached, or that does not
        exist is not replayed. A position named twice is replayed once.
        """
        await begun(stores, ADA, BOB)
        [ada, bob] = await claim(stores)
        assert await stores.deliveries.finish(ada)
        await logged(stores, ADA, seconds=5)
        await numbered(stores)
        wanted = [key(it) for it in (1, 2, 1, 3, 4)]
        wanted += [key(1, "unknown")]

        assert await stores.delivery_list.replayable(wanted, now=NOON) == [key(1)]
        assert await stores.deliveries.replay(wanted, now=NOON) == Replayed(
            [key(1)], []
        )

        found = await stores.delivery_list.find(key(1))
        assert found is not None
        assert attrs.evolve(found, lease=Lease(due_at=NOON)) == Delivery.due(
            key(1), UserId(ADA), NOON
        )
        assert await stores.delivery_list.find(key(2)) == bob

    async def test_f51_no_more_is_replayed_than_there_is_room_for(
        self, stores: Stores
    ) -> None:
        """
        In their order, up to the first one that exceeds the limit. An open delivery
        needs no room; a dead one does.
        """
        await begun(stores, *"abcde")
        first, second, third, *others = await claim(stores)
        assert await stores.deliveries.release(first, dead(first))
        assert await stores.deliveries.release(
            second, second.failed(NOON, NOT_NOW, 0.5)
        )
        for it in (third, *others):
            assert await stores.deliveries.finish(it)
        every = [key(it) for it in range(1, 6)]

        async def replay(open_max: int, *of: DeliveryKey) -> Replayed:
            return await stores.deliveries_of(open_max).replay(of, now=NOON)

        assert await replay(1, *every) == Replayed([], every)
        assert await replay(0, key(2), key(3)) == Replayed([key(2)], [key(3)])
        assert await kept(stores, dead=True) == [1]

        assert await replay(3, *every) == Replayed(every[:3], every[3:])
        assert await kept(stores) == [1, 2, 3]
        assert await replay(3, *every) == Replayed(every[:3], every[3:])
        assert await kept(stores, dead=True) == []

    async def test_f51_many_replays_at_once_keep_to_the_room(
        self, stores: Stores
    ) -> None:
        """
        However many replays fill an endpoint at the same time.
        """
        await begun(stores, *"abcdefgh")
        for it in await claim(stores):
            assert await stores.deliveries.finish(it)
        queue = stores.deliveries_of(3)

        found = await asyncio.gather(
            *(queue.replay([key(it)], now=NOON) for it in range(1, 9))
        )

        assert sum(len(it.due) for it in found) == len(await kept(stores)) == 3
        assert sum(len(it.left) for it in found) == 5

    async def test_deliveries_are_listed_page_by_page(self, stores: Stores) -> None:
        """
        Of one endpoint or of all, ordered by endpoint and position.
        """
        await begun(stores, ADA, BOB, ADA)
        await stores.deliveries.begin("shop", from_start=True)
        await take_over(stores, "shop")
        everything = [key(it, name) for name in (CRM, "shop") for it in (1, 2, 3)]

        found, after = list[DeliveryKey](), None
        for _ in everything:
            page = await stores.delivery_list.page(limit=1, after=after)
            found += [it.key for it in page.deliveries]
            after = page.after

        assert found == everything
        assert after is None
        assert await kept(stores, endpoint="shop") == [1, 2, 3]

    async def test_what_an_endpoint_has_passed_is_found_by_its_time(
        self, stores: Stores
    ) -> None:
        """
        From the first time on and before the last, and never ahead of the cursor.
        """
        await begun(stores, *"abcd")
        await logged(stores, "a", seconds=4)
        await numbered(stores)

        async def passed(
            first: float, last: float, limit: int = ALL, after: int = 0
        ) -> tuple[list[int], int | None]:
            found, following = await stores.delivery_list.passed(
                CRM,
                NOON + timedelta(seconds=first),
                NOON + timedelta(seconds=last),
                limit=limit,
                after=after,
            )
            return list(found), following

        assert await passed(0, 60) == ([1, 2, 3, 4], None)
        assert await passed(1, 3) == ([2, 3], None)
        assert await passed(2, 60, 2) == ([], 2)
        assert await passed(2, 60, 2, 2) == ([3, 4], None)
        assert await passed(0, 60, 3) == ([1, 2, 3], 3)

    async def test_the_backlog_of_each_endpoint_is_counted(
        self, stores: Stores
    ) -> None:
        """
        Open and dead deliveries, and since when the endpoint fails.
        """
        await begun(stores, ADA, BOB, "c")
        await stores.deliveries.begin("shop", from_start=False)
        ada, bob, c = await claim(stores)
        assert await stores.deliveries.release(ada, dead(ada))
        for it, at in ((bob, NOON - DAY), (c, NOON - 2 * DAY)):
            assert await stores.deliveries.release(it, it.failed(at, NOT_NOW, 0.5))

        assert await stores.delivery_list.backlogs() == {
            CRM: EndpointBacklog(
                position=3, open=2, dead=1, failing_since=NOON - 2 * DAY
            ),
            "shop": EndpointBacklog(position=3, open=0, dead=0, failing_since=None),
        }

    async def test_nothing_is_told_of_a_user_who_was_erased(
        self, stores: Stores
    ) -> None:
        """
        Open deliveries are deleted; later changes are not taken over; none of them is
        replayed or found.
        """
        await begun(stores, ADA, BOB)
        await logged(stores, ADA, seconds=5)
        await numbered(stores)
        account = await stores.account(ADA)

        assert await stores.erasures.begin(account, an_erasure())

        assert await kept(stores) == [2]
        assert await take_over(stores) == 1
        assert await kept(stores) == [2]
        assert await stores.deliveries.replay([key(1), key(3)], now=NOON) == NONE
        found, _ = await stores.delivery_list.passed(
            CRM, NOON, NOON + DAY, limit=ALL, after=0
        )
        assert found == [2]
