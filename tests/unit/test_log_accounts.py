"""Accounts that the log lacks are logged: once, from now on, in batches."""

from collections.abc import Callable
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, NOON, a_payment, an_account
from contracts.stores import opened
from contracts.worlds import World, events_of
from payments_adapters.memory import (
    MemoryCheckpoints,
    MemoryLedger,
    MemoryLogGaps,
)
from payments_core import Email
from payments_core.account_log import LoggedVerdict
from payments_core.entitlement import PaymentStatus
from payments_core.facts import LogGapFound, SourcedFacts
from payments_core.identity import UserId
from payments_core.jobs import LogAccounts
from payments_core.jobs import log_accounts as module
from payments_core.jobs.log_accounts import EVERY

pytestmark = pytest.mark.anyio
COUNT: Final = 5


def loop_in(world: World) -> LogAccounts:
    database = world.database
    return LogAccounts(
        MemoryLogGaps(database), world.record, MemoryCheckpoints(database)
    )


def rows_of(world: World, user: str = ADA) -> list[LoggedVerdict]:
    log = world.database.tables.account_log
    return [row for (whose, _), row in sorted(log.items()) if whose == user]


async def without_log() -> World:
    """Return a world whose users paid before there was a log."""
    world = World()
    users = [UserId(f"u{number}") for number in range(COUNT)]
    accounts = [opened(an_account(it)) for it in users]
    await MemoryLedger(world.database).save(accounts, at=NOON)
    await world.register(ADA, Email.of("ada@example.com"))
    await world.deliver(events_of([a_payment("ch_1", at=NOON, user=ADA)]))
    world.database.tables.account_log.clear()
    return world


async def test_an_account_that_the_log_lacks_is_logged_as_it_is() -> None:
    """
    From now on: nothing is logged of the past. The account itself does not change.
    """
    world = await without_log()
    before = world.account()

    assert await loop_in(world)()

    (row,) = rows_of(world)
    assert (row.payment_status, row.payment_expire_date) == (
        PaymentStatus.PAID,
        before.payment_expire_date,
    )
    assert (row.at, row.cause) == (world.clock(), "the log did not say so")
    assert row.grants
    assert row.version == before.version + 1
    assert world.account() == before.saved_as(before.version + 1)


async def test_what_is_logged_is_left_as_it_is() -> None:
    """
    A second turn, a day later, finds nothing; before that, none is due.
    """
    world = await without_log()
    loop = loop_in(world)
    assert await loop()
    logged = dict(world.database.tables.account_log)
    assert len(logged) == COUNT + 1

    assert not await loop()
    world.clock.advance(EVERY)
    assert await loop()

    assert world.database.tables.account_log == logged


async def test_a_turn_that_is_cut_off_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    At once, and in any process.
    """
    monkeypatch.setattr(module, "PAGE", 2)
    world = await without_log()

    assert await loop_in(world)(after(1))
    first = set(world.database.tables.account_log)
    assert await loop_in(world)()

    assert len(first) == 2
    assert len(world.database.tables.account_log) == COUNT + 1


async def test_one_whose_log_says_something_else_is_logged_anew() -> None:
    """
    A release without a log changed it.
    """
    world = await without_log()
    loop = loop_in(world)
    await loop()
    tables = world.database.tables
    (key, row) = next((k, it) for k, it in tables.account_log.items() if k[0] == ADA)
    tables.account_log[key] = attrs.evolve(row, payment_status=PaymentStatus.FAILED)

    world.clock.advance(EVERY)
    await loop()

    assert [it.payment_status for it in rows_of(world)] == [
        PaymentStatus.FAILED,
        PaymentStatus.PAID,
    ]


async def test_what_changed_meanwhile_is_not_logged_twice() -> None:
    world = await without_log()
    gap = LogGapFound(user_id=ADA, version=world.account().version - 1)

    await world.record.one(SourcedFacts(facts=(gap,)))
    gone = attrs.evolve(gap, user_id=UserId("gone"))
    await world.record.one(SourcedFacts(facts=(gone,)))

    assert not world.database.tables.account_log


def after(pages: int) -> Callable[[], bool]:
    """Return what requests a stop once so many pages were begun."""
    left = [False] * pages

    def stopping() -> bool:
        return not left or left.pop()

    return stopping
