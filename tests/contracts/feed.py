"""What every feed promises: positions without gaps, and the next end of access."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from contracts.examples import (
    ADA,
    BOB,
    NOON,
    a_report,
    a_subscription,
    a_term,
    an_account,
)
from contracts.stores import SAVED, Stores, moved, opened
from payments_core.access import PREPAID_MONTHS, Grant
from payments_core.by_hand import ByHand
from payments_core.entitlement import PaymentStatus, PaymentSummary, PrepaidMonths
from payments_core.erasure import Erasure
from payments_core.feed import BEGINNING, FeedChange
from payments_core.identity import UserId
from payments_core.months import months_after
from payments_core.policy import DEFAULT_POLICY

ALL: Final = 100
GONE: Final = UserId("erased/1")
Named = tuple[UserId, int]


def prepaid(months: int) -> PaymentSummary:
    return PaymentSummary(prepaid=PrepaidMonths(NOON, months))


def end_of(months: int) -> datetime:
    return months_after(NOON, months) + DEFAULT_POLICY.grace


async def change(stores: Stores, user: UserId, months: int, *, at: float = 0) -> None:
    """Save a change of a user, so many seconds after noon."""
    before = await stores.account(user)
    after = attrs.evolve(before, summary=prepaid(months))
    done = moved(before, after, cause=f"{months} months")
    assert await stores.save(done, seconds=at) == [SAVED]


async def read(
    stores: Stores, *, latest: bool = False, limit: int = ALL
) -> list[FeedChange]:
    """Read the feed from its beginning to its end, page by page."""
    found, after, has_more = list[FeedChange](), BEGINNING, True
    while has_more:
        page = await stores.feed.page(after, limit, latest=latest)
        assert len(page.changes) <= limit
        found += page.changes
        after, has_more = page.next, page.has_more
    assert await stores.feed.last() >= after
    return found


def named(changes: Sequence[FeedChange]) -> list[Named]:
    return [(it.user_id, it.version) for it in changes]


class FeedContract:
    async def test_of_nothing_there_is_nothing(self, stores: Stores) -> None:
        """
        Only changes that were given a position are returned.
        """
        assert await stores.sequencer.give(ALL) == 0
        assert await stores.feed.last() == BEGINNING
        await stores.keep(an_account())
        page = await stores.feed.page(BEGINNING, ALL)
        assert (page.changes, page.next, page.has_more) == ([], BEGINNING, False)

    async def test_a_change_is_read_as_it_was_saved(self, stores: Stores) -> None:
        """
        With the access that it gives, by the grace in force when it was saved.
        """
        await stores.keep(an_account())
        await change(stores, ADA, 1, at=1)
        await stores.sequencer.give(ALL)
        first, second = await read(stores)

        assert first == FeedChange(
            position=first.position,
            user_id=ADA,
            version=1,
            at=NOON,
            payment_status=PaymentStatus.NONE,
            payment_expire_date=None,
            entitled_until=None,
            grants=(),
            cause="user registered",
        )
        assert second == FeedChange(
            position=second.position,
            user_id=ADA,
            version=2,
            at=NOON + timedelta(seconds=1),
            payment_status=PaymentStatus.NONE,
            payment_expire_date=months_after(NOON, 1),
            entitled_until=end_of(1),
            grants=(
                Grant("prepaid", None, months_after(NOON, 1), True, PREPAID_MONTHS),  # noqa: FBT003  # as it is listed
            ),
            cause="1 months",
        )
        assert first.position < second.position == await stores.feed.last()

    async def test_positions_are_given_once_the_oldest_first(
        self, stores: Stores
    ) -> None:
        """
        In batches until none is left; later changes get later positions.
        """
        for number, user in enumerate(("c", "b", "a")):
            await stores.keep(an_account(user), seconds=number)
        assert await stores.sequencer.give(2) == 2
        assert named(await read(stores)) == [("c", 1), ("b", 1)]
        assert await stores.sequencer.give(2) == 1
        assert await stores.sequencer.give(2) == 0
        before = await read(stores)
        assert named(before) == [("c", 1), ("b", 1), ("a", 1)]

        # It was saved by a process whose clock is behind.
        await stores.keep(an_account("d"), seconds=-60)
        assert await stores.sequencer.give(2) == 1
        assert named(await read(stores)) == [*named(before), ("d", 1)]
        assert (await read(stores))[:3] == before

    async def test_p32_of_a_user_positions_follow_the_versions(
        self, stores: Stores
    ) -> None:
        """
        Also where each change was saved by a clock behind the one before, and where
        only one position is requested at a time.
        """
        await stores.keep(an_account(ADA), an_account(BOB))
        for number in range(1, 5):
            await change(stores, ADA, number, at=-number)
        given = await stores.sequencer.give(1)
        assert given == 5
        await stores.sequencer.give(ALL)

        found = await read(stores)
        assert [it.version for it in found if it.user_id == ADA] == [1, 2, 3, 4, 5]
        assert len(named(found)) == len({*named(found)}) == 6

    async def test_pages_follow_each_other(self, stores: Stores) -> None:
        """
        Each has as many changes as requested, and says whether there are more.
        """
        await stores.keep(*(an_account(f"u{number}") for number in range(5)))
        await stores.sequencer.give(ALL)
        sizes, after = [], BEGINNING
        for _ in range(3):
            page = await stores.feed.page(after, 2)
            sizes.append((len(page.changes), page.has_more))
            after = page.next
        assert sizes == [(2, True), (2, True), (1, False)]
        page = await stores.feed.page(after, 2)
        assert (page.changes, page.next, page.has_more) == ([], after, False)
        assert len(await read(stores, limit=5)) == len(await read(stores, limit=1)) == 5

    async def test_the_latest_of_each_user_is_enough_for_a_copy(
        self, stores: Stores
    ) -> None:
        """
        One change for each user, however many there were; a change without a position
        is not returned.
        """
        await stores.keep(an_account(ADA), an_account(BOB))
        for number in range(1, 4):
            await change(stores, ADA, number, at=number)
        await stores.sequencer.give(ALL)
        await change(stores, ADA, 9)

        found = await read(stores, latest=True)
        assert named(found) == [(BOB, 1), (ADA, 4)]
        assert found[-1].entitled_until == end_of(3)
        assert await read(stores, latest=True, limit=1) == found

    async def test_an_end_that_is_told_is_a_change_like_any_other(
        self, stores: Stores
    ) -> None:
        """
        Although the account did not change; after it, no end of access is known.
        """
        await stores.keep(an_account())
        await change(stores, ADA, 1)
        await stores.sequencer.give(ALL)
        before, late = await stores.account(ADA), (end_of(1) - NOON).total_seconds()
        told = moved(before, before, logs_anyway=True, cause="access ended")
        assert await stores.save(told, seconds=late) == [SAVED]
        await stores.sequencer.give(ALL)

        *_, paid, ended = await read(stores)
        assert ended == attrs.evolve(
            paid,
            position=paid.position + 1,
            version=3,
            at=end_of(1),
            cause="access ended",
        )
        assert await stores.access_ends() == {}
        row = await stores.history.verdict_at(ADA, end_of(9))
        assert row is not None
        assert (row.version, row.ends_at) == (3, None)

    async def test_who_was_erased_is_left_out(self, stores: Stores) -> None:
        """
        Their positions stay used: a reader continues after them.
        """
        await stores.keep(an_account(ADA), an_account(BOB))
        await change(stores, ADA, 1)
        await stores.sequencer.give(ALL)
        assert set(await stores.access_ends()) == {ADA}
        erasure = Erasure(
            user_id=ADA,
            pseudonym=GONE,
            decided=ByHand(by="root", reason="asked"),
            at=NOON,
        )
        assert await stores.erasures.begin(await stores.account(ADA), erasure)
        last = await stores.feed.last()

        assert named(await read(stores)) == named(await read(stores, latest=True))
        assert named(await read(stores, limit=1)) == [(BOB, 1)]
        page = await stores.feed.page(BEGINNING, ALL)
        assert (page.next, page.has_more) == (last, False)
        assert await stores.access_ends() == {}

    async def test_when_access_ends_is_known_once_a_change_has_its_position(
        self, stores: Stores
    ) -> None:
        """
        By the last change of a user: not before that change has a position, and not by
        a change that it replaced.
        """
        await stores.keep(an_account(ADA), an_account(BOB))
        await change(stores, ADA, 1)
        assert await stores.access_ends() == {}
        await stores.sequencer.give(ALL)
        assert await stores.access_ends() == {ADA: end_of(1)}

        await change(stores, ADA, 2)
        await change(stores, ADA, 3)
        await change(stores, BOB, 1)
        await stores.sequencer.give(ALL)
        assert await stores.access_ends() == {ADA: end_of(3), BOB: end_of(1)}

        before = await stores.account(ADA)
        back = moved(before, attrs.evolve(before, summary=an_account().summary))
        assert await stores.save(back) == [SAVED]
        await stores.sequencer.give(ALL)
        assert await stores.access_ends() == {BOB: end_of(1)}

    async def test_access_to_one_product_may_end_first(self, stores: Stores) -> None:
        """
        With its own grace, as in force when the change was saved.
        """
        term = a_term("sub_1")
        plan = a_subscription(a_report("sub_1"), owner=ADA, term=term)
        account = attrs.evolve(an_account(), summary=prepaid(3)).with_subscription(plan)
        group = opened(account, subscriptions=(plan,))
        assert await stores.save(group) == [SAVED]
        await stores.sequencer.give(ALL)

        ends_at = term.ends_at + DEFAULT_POLICY.grace
        assert await stores.access_ends() == {ADA: ends_at}
        [it] = await read(stores)
        assert len(it.grants) == 2
        assert it.entitled_until == end_of(3)

    async def test_what_ended_before_it_was_known_does_not_end_again(
        self, stores: Stores
    ) -> None:
        """
        An old payment that is learned of late: the change itself says that access is
        over.
        """
        late = (end_of(1) - NOON).total_seconds()
        account = attrs.evolve(an_account(), summary=prepaid(1))
        assert await stores.save(opened(account), seconds=late) == [SAVED]
        await stores.sequencer.give(ALL)
        assert await stores.access_ends() == {}
