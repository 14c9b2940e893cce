"""What many transactions at once promise: no lost update, no deadlock, no gap."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from contracts.examples import (
    ADA,
    APPLIED,
    CUS_1,
    NOON,
    a_payment,
    an_account,
    an_event,
    email_of,
)
from contracts.keeping import ADA_KEYS, kept, read_account
from payments_core.errors import ChangedElsewhere
from payments_core.identity import Email, UserId
from payments_core.ports import LinkKeys, OpenUnitOfWork
from payments_core.standing import Policy
from payments_core.use_cases import ApplyEvents, RegisterUser

WORKERS_COUNT: Final = 20
# Far beyond any honest run: only a deadlock gets there.
DEADLOCK_S: Final = 60.0

_T = TypeVar("_T")


async def at_once(work: Callable[[int], Awaitable[_T]]) -> list[_T]:
    """Run `work(0)` to `work(19)` together; fail if they wait for each other."""
    async with asyncio.timeout(DEADLOCK_S):
        return await asyncio.gather(*(work(number) for number in range(WORKERS_COUNT)))


async def until_unchanged(work: Callable[[], Awaitable[_T]]) -> _T:
    """Do it again while somebody else was first, as callers are told to."""
    while True:
        try:
            return await work()
        except ChangedElsewhere:
            continue


class TakingTurnsContract:
    async def test_twenty_writers_of_one_account_lose_no_update(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Each reads the account locked and adds one letter; all twenty are there.
        """
        await kept(open_unit_of_work, an_account())

        async def write() -> None:
            async with open_unit_of_work() as work:
                (account,) = await work.accounts(ADA_KEYS)
                longer = Email.of(f"x{account.email.text}")
                await work.keep(accounts=[account.renamed(longer)], at=NOON)
                await work.commit()

        await at_once(lambda _: until_unchanged(write))

        account = await read_account(open_unit_of_work)
        assert account.email.text.startswith("x" * WORKERS_COUNT + "ada")
        assert account.version == WORKERS_COUNT + 1

    async def test_of_twenty_who_bring_one_event_one_keeps_it(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        The others are told that it is known, or refused; nobody keeps it twice.
        """

        async def bring(_: int) -> bool:
            async with open_unit_of_work() as work:
                if (await work.look_up([an_event()])).known:
                    return False
                try:
                    await work.keep(events=[(an_event(), APPLIED)], at=NOON)
                except ChangedElsewhere:
                    return False
                await work.commit()
                return True

        assert sum(await at_once(bring)) == 1

    async def test_of_twenty_who_open_one_account_one_does(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Two inserts of one account: one is refused.
        """

        async def insert(_: int) -> bool:
            try:
                await kept(open_unit_of_work, an_account())
            except ChangedElsewhere:
                return False
            return True

        assert sum(await at_once(insert)) == 1

    async def test_overlapping_accounts_are_locked_without_deadlock(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Twenty transactions over all accounts, asked for in two orders, all end.
        """
        users = [an_account(f"user-{number}").user_id for number in range(5)]
        await kept(open_unit_of_work, *map(an_account, users))

        async def rewrite(number: int) -> None:
            some = users if number % 2 else users[::-1]
            async with open_unit_of_work() as work:
                found = await work.accounts(LinkKeys(frozenset(some)))
                await work.keep(accounts=found, at=NOON)
                await work.commit()

        await at_once(lambda number: until_unchanged(lambda: rewrite(number)))

        async with open_unit_of_work() as work:
            found = await work.accounts(LinkKeys(frozenset(users)))
        assert {account.version for account in found} == {WORKERS_COUNT + 1}

    async def test_holds_on_overlapping_keys_do_not_deadlock(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Exclusive and shared, many keys and few, all at once: everybody ends.
        """
        users = [UserId(f"user-{number}") for number in range(7)]

        async def hold(number: int) -> None:
            keys = LinkKeys(
                frozenset(users[number % 3 : number % 3 + 4]),
                frozenset({CUS_1} if number % 2 else ()),
                frozenset({email_of(users[number % 5]).key}),
            )
            async with open_unit_of_work() as work:
                await work.hold(keys, exclusive=number % 2 == 0)
                await work.hold(LinkKeys(), exclusive=False)
                await work.commit()

        await at_once(hold)

    async def test_an_exclusive_hold_lasts_until_the_end(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Who holds the same key comes after, and sees what the first committed.
        """
        seen: list[str] = []

        async def second() -> None:
            async with open_unit_of_work() as work:
                await work.hold(ADA_KEYS, exclusive=False)
                seen.extend(a.user_id for a in await work.accounts(ADA_KEYS))

        async with open_unit_of_work() as work:
            await work.hold(ADA_KEYS, exclusive=True)
            waiting = asyncio.create_task(second())
            await work.keep(accounts=[an_account()], at=NOON)
            for _ in range(WORKERS_COUNT):
                # Round trips, in which the second would get through if it could.
                await work.accounts(ADA_KEYS)
            await work.commit()
        await waiting

        assert seen == [ADA]

    async def test_a_payment_does_not_miss_the_registration_of_its_owner(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Twenty payments race the registrations of their owners: all are linked.
        """
        apply = ApplyEvents(open_unit_of_work, lambda: NOON, Policy())
        register = RegisterUser(open_unit_of_work, lambda: NOON)

        async def race(number: int) -> None:
            user = UserId(f"user-{number}")
            report = a_payment(f"ch_{number}", email=email_of(user))
            event = an_event(f"evt_{number}", report)
            await asyncio.gather(
                until_unchanged(lambda: apply([event])),
                until_unchanged(lambda: register(user, email_of(user))),
            )

        await at_once(race)

        users = frozenset(UserId(f"user-{number}") for number in range(WORKERS_COUNT))
        async with open_unit_of_work() as work:
            linked = await work.history(users)
            accounts = await work.accounts(LinkKeys(users))
        assert len(linked) == WORKERS_COUNT
        assert all(account.checkpoint.term for account in accounts)
