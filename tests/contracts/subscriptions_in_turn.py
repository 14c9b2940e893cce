"""What many transactions promise of subscriptions at once, and of their tickets."""

import asyncio
from collections.abc import Sequence
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    NOON,
    a_payment,
    a_report,
    a_subscription,
    an_account,
    an_event,
)
from contracts.keeping import ADA_KEYS, kept, read_account
from contracts.subscriptions_kept import kept_subscriptions, read_subscription
from contracts.taking_turns import WORKERS_COUNT, at_once, until_unchanged
from payments_core.account import PaymentAccount
from payments_core.evidence import Evidence
from payments_core.identity import UserId
from payments_core.ports import LinkKeys, OpenUnitOfWork, UnitOfWork
from payments_core.standing import Checkpoint, Policy
from payments_core.use_cases import ApplyEvents
from payments_core.use_cases.books import Books
from payments_core.use_cases.posting import save


async def _looked_up(work: UnitOfWork) -> Sequence[PaymentAccount]:
    event = an_event(report=a_payment(user=ADA))
    return (await work.look_up([event])).accounts


async def _read(work: UnitOfWork) -> Sequence[PaymentAccount]:
    return await work.accounts(ADA_KEYS)


WAYS: Final = {"look_up": _looked_up, "accounts": _read}


class SubscriptionsInTurnContract:
    async def test_twenty_who_look_up_one_subscription_take_turns(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Its owner is locked by the look-up: each adds one, and all twenty are there.
        """
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(open_unit_of_work, a_subscription(owner=ADA, ticket=0))

        async def add() -> None:
            async with open_unit_of_work() as work:
                found = await work.look_up([an_event("evt_1", a_report())])
                (known,) = found.subscriptions
                more = attrs.evolve(known, ticket=known.ticket + 1)
                await work.keep(accounts=found.accounts, subscriptions=[more], at=NOON)
                await work.commit()

        await at_once(lambda _: until_unchanged(add))

        after = await read_subscription(open_unit_of_work)
        assert (after.ticket, after.version) == (WORKERS_COUNT, WORKERS_COUNT + 1)
        account = await read_account(open_unit_of_work)
        assert (account.version, account.subscriptions) == (WORKERS_COUNT + 1, (after,))

    @pytest.mark.parametrize("way", WAYS)
    async def test_who_waited_for_an_account_gets_it_as_it_is_by_then(
        self, open_unit_of_work: OpenUnitOfWork, way: str
    ) -> None:
        """
        With the subscription that came with the change which was waited for.
        """
        await kept(open_unit_of_work, an_account())
        # A store that connects when it has to has its connections after this.
        await at_once(lambda _: read_account(open_unit_of_work))
        hers = a_subscription(a_report(user=ADA), owner=ADA)
        seen: list[PaymentAccount] = []

        async def second() -> None:
            async with open_unit_of_work() as work:
                seen.extend(await WAYS[way](work))

        async with open_unit_of_work() as work:
            (ada,) = await work.accounts(ADA_KEYS)
            waiting = asyncio.create_task(second())
            await work.keep(accounts=[ada], subscriptions=[hers], at=NOON)
            for _ in range(WORKERS_COUNT):
                # Round trips, in which the second gets to where it has to wait.
                await work.accounts(ADA_KEYS)
            await work.commit()
        await waiting

        (account,) = seen
        assert account == await read_account(open_unit_of_work)
        assert account.subscriptions == (attrs.evolve(hers, version=1),)

    async def test_p06_a_payment_does_not_miss_the_subscription_it_pays(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Twenty subscriptions begin while their first payments come: none of these
        buys a month, and every account says what all of its facts say.
        """
        users = [UserId(f"user-{number}") for number in range(WORKERS_COUNT)]
        await kept(open_unit_of_work, *map(an_account, users))
        apply = ApplyEvents(open_unit_of_work, lambda: NOON, Policy())

        async def begin(user: UserId) -> None:
            report = a_report(f"sub-{user}", user=user)
            answer = Evidence(report=report, at=NOON, ticket=1, looked_up=True)
            async with open_unit_of_work() as work:
                books = Books()
                books.know(await work.accounts(LinkKeys(frozenset({user}))))
                books.post_subscription(answer)
                await save(work, books, lambda: NOON)
                await work.commit()

        async def race(number: int) -> None:
            user = users[number]
            payment = an_event(f"evt-{user}", a_payment(f"ch-{user}", user=user))
            await asyncio.gather(
                until_unchanged(lambda: begin(user)),
                until_unchanged(lambda: apply([payment])),
            )

        await at_once(race)

        async with open_unit_of_work() as work:
            accounts = await work.accounts(LinkKeys(frozenset(users)))
            payments = [record.payment for record in await work.history(users)]
        assert len(payments) == WORKERS_COUNT
        for account in accounts:
            own = [it for it in payments if it.claimed_by == account.user_id]
            replayed = Checkpoint.replay(own, account.subscriptions)
            assert len(account.subscriptions) == 1
            assert account.checkpoint == replayed
            assert account.checkpoint.term is None

    async def test_tickets_grow_within_and_over_transactions(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Whether they were committed or rolled back: none is ever drawn twice.
        """
        drawn: list[int] = []
        for count, commits in ((1, True), (3, False), (2, True), (1, False), (5, True)):
            async with open_unit_of_work() as work:
                drawn += await work.tickets(count)
                drawn += await work.tickets(1)
                if commits:
                    await work.commit()

        assert len(drawn) == 17
        assert drawn == sorted(set(drawn))
        assert drawn[0] > 0

    async def test_of_twenty_who_draw_at_once_none_has_anothers_ticket(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Each gets two, the second greater than the first.
        """

        async def draw(_: int) -> tuple[int, int]:
            async with open_unit_of_work() as work:
                first, second = await work.tickets(2)
                await work.commit()
                return first, second

        pairs = await at_once(draw)
        assert all(first < second for first, second in pairs)
        assert len({it for pair in pairs for it in pair}) == 2 * WORKERS_COUNT
