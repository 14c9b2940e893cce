"""Group commit under faults: who shares a transaction shares no one else's trouble."""

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest

from contracts.examples import ADA, APPLIED, NOON, a_payment, an_account, an_event
from contracts.faults import FaultyDatabase, no_fault
from contracts.worlds import World, a_world
from payments_adapters.group_commit import (
    BATCH_EVENTS_MAX,
    RETRIES_MAX,
    WAITING_EVENTS_MAX,
    GroupCommit,
)
from payments_adapters.memory import FixedClock
from payments_core.errors import ChangedElsewhere, Overloaded, StoreUnavailable
from payments_core.events import EventState, GatewayEvent, Outcome, Receipt
from payments_core.ports import PaymentRecord
from payments_core.standing import Policy
from payments_core.use_cases import ApplyEvents
from payments_core.use_cases.apply_events import event_job

pytestmark = pytest.mark.anyio

POISON: Final = "ch_poison"


def poisoned(payments: Sequence[PaymentRecord]) -> None:
    """Fail as a bug of ours would, wherever one payment is."""
    if any(record.payment.id == POISON for record in payments):
        raise ZeroDivisionError


@pytest.fixture
async def world() -> World:
    return await a_world(an_account(ADA))


@pytest.fixture
def faulty(world: World) -> FaultyDatabase:
    return FaultyDatabase(world.database)


@pytest.fixture
def failed() -> list[str]:
    """
    What the service heard of: the events that were set aside.
    """
    return []


@pytest.fixture
def take(faulty: FaultyDatabase, failed: list[str]) -> GroupCommit:
    apply = ApplyEvents(faulty, FixedClock(NOON), Policy())
    return GroupCommit(apply, 1, lambda event, _: failed.append(event.id))


def events(count: int, first: int = 0) -> list[GatewayEvent]:
    numbers = range(first, first + count)
    return [an_event(f"evt_{n}", a_payment(f"ch_{n}", user=ADA)) for n in numbers]


async def started(faulty: FaultyDatabase, take: GroupCommit) -> asyncio.Task[Receipt]:
    """Hand one event in and hold its transaction up, once it is open."""
    faulty.may_run.clear()
    (event,) = events(1)
    waiting = asyncio.create_task(take(event))
    await faulty.running.wait()
    return waiting


async def test_events_that_wait_together_share_a_transaction(
    world: World, faulty: FaultyDatabase, take: GroupCommit
) -> None:
    """
    Ten callers, one transaction, ten receipts.
    """
    receipts = await asyncio.gather(*map(take, events(10)))

    assert faulty.batches == [10]
    assert receipts == [Receipt(APPLIED)] * 10
    assert len(world.database.tables.payments) == 10


async def test_while_one_batch_commits_the_next_one_fills(
    faulty: FaultyDatabase, take: GroupCommit
) -> None:
    """
    The first does not wait for company; those that come meanwhile go together.
    """
    first = await started(faulty, take)
    others = asyncio.gather(*map(take, events(5, first=1)))
    faulty.may_run.set()
    await asyncio.gather(first, others)

    assert faulty.batches == [1, 5]


async def test_p36_a_batch_has_a_limit(
    faulty: FaultyDatabase, take: GroupCommit
) -> None:
    """
    One more than fit: the last one goes alone.
    """
    await asyncio.gather(*map(take, events(BATCH_EVENTS_MAX + 1)))
    assert faulty.batches == [BATCH_EVENTS_MAX, 1]


async def test_two_callers_with_one_event_share_it(take: GroupCommit) -> None:
    """
    One is told that it was applied, the other that it was a duplicate.
    """
    (event,) = events(1)
    first, second = await asyncio.gather(take(event), take(event))
    assert (first, second) == (Receipt(APPLIED), Receipt(None))


async def test_p35_a_failing_event_is_retried_alone_and_set_aside(
    world: World, faulty: FaultyDatabase, take: GroupCommit, failed: list[str]
) -> None:
    """
    The others are applied; it is kept for the worker, and somebody hears of it.
    """
    faulty.fault = poisoned
    poison = an_event("evt_poison", a_payment(POISON, user=ADA), body=b"poison")
    good = events(2)
    receipts = await asyncio.gather(*map(take, (good[0], poison, good[1])))

    job = event_job(poison.key)
    aside = Outcome(EventState.PENDING, "failed: ZeroDivisionError", job)
    assert [r.outcome for r in receipts] == [APPLIED, aside, APPLIED]
    assert set(world.database.tables.payments) == {"ch_0", "ch_1"}
    (kept,) = await world.log.find("evt_poison")
    assert (kept.outcome, kept.body) == (aside, b"poison")
    assert failed == ["evt_poison"]


async def test_an_event_that_cannot_even_be_set_aside_fails_for_its_caller_only(
    world: World, faulty: FaultyDatabase, take: GroupCommit, failed: list[str]
) -> None:
    """
    The caller is told; the next event finds everything working.
    """

    def broken(_: Sequence[PaymentRecord]) -> None:
        raise ZeroDivisionError

    faulty.fault = broken
    first, second = events(2)
    with pytest.raises(ZeroDivisionError):
        await take(first)
    faulty.fault = no_fault

    assert await take(second) == Receipt(APPLIED)
    assert set(world.database.tables.payments) == {"ch_1"}
    assert not failed


async def test_without_a_database_all_of_the_batch_come_again(
    world: World, faulty: FaultyDatabase, take: GroupCommit, failed: list[str]
) -> None:
    """
    Nobody is told that it was kept; when it is back, the same events are taken.
    """

    def away(_: Sequence[PaymentRecord]) -> None:
        raise StoreUnavailable

    faulty.fault = away
    answers = await asyncio.gather(*map(take, events(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    assert faulty.batches == [3]
    assert not world.database.tables.events
    assert not failed
    faulty.fault = no_fault

    assert await asyncio.gather(*map(take, events(3))) == [Receipt(APPLIED)] * 3


@pytest.mark.parametrize("rivals", [1, RETRIES_MAX, RETRIES_MAX + 1])
async def test_a_batch_that_somebody_overtook_is_applied_again(
    world: World, faulty: FaultyDatabase, take: GroupCommit, rivals: int
) -> None:
    """
    A bounded number of times; then the callers are told to come again.
    """
    left = [ChangedElsewhere("a row")] * rivals

    def overtaken(_: Sequence[PaymentRecord]) -> None:
        if left:
            raise left.pop()

    faulty.fault = overtaken
    answers = await asyncio.gather(*map(take, events(2)), return_exceptions=True)

    gave_up = rivals > RETRIES_MAX
    assert [isinstance(a, ChangedElsewhere) for a in answers] == [gave_up] * 2
    assert len(faulty.batches) == min(rivals, RETRIES_MAX) + 1
    assert len(world.database.tables.events) == (0 if gave_up else 2)


async def test_p25_a_caller_that_goes_away_loses_nothing(
    world: World, faulty: FaultyDatabase, take: GroupCommit
) -> None:
    """
    Gone while it waited, or while its transaction ran: the event is taken.
    """
    running = await started(faulty, take)
    waiting = asyncio.gather(*map(take, events(2, first=1)), return_exceptions=True)
    # Let the two hand their events in before they are told to go.
    await asyncio.sleep(0)
    running.cancel()
    waiting.cancel()
    faulty.may_run.set()
    await take.drain()

    assert set(world.database.tables.payments) == {"ch_0", "ch_1", "ch_2"}
    assert running.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_p36_too_many_waiting_are_refused_and_not_kept(
    world: World, faulty: FaultyDatabase, take: GroupCommit
) -> None:
    """
    The queue has a limit; those in it are taken, and then there is room again.
    """
    first = await started(faulty, take)
    full = asyncio.gather(*map(take, events(WAITING_EVENTS_MAX, first=1)))
    await asyncio.sleep(0)
    (one_more,) = events(1, first=WAITING_EVENTS_MAX + 1)
    with pytest.raises(Overloaded):
        await take(one_more)
    faulty.may_run.set()
    await asyncio.gather(first, full)

    assert len(world.database.tables.events) == WAITING_EVENTS_MAX + 1
    assert await take(one_more) == Receipt(APPLIED)


async def test_draining_waits_for_all_and_for_nothing(
    world: World, take: GroupCommit
) -> None:
    """
    An idle intake is drained at once; a busy one when all is committed.
    """
    await take.drain()
    waiting = asyncio.gather(*map(take, events(BATCH_EVENTS_MAX * 2)))
    await asyncio.sleep(0)
    await take.drain()

    assert len(world.database.tables.events) == BATCH_EVENTS_MAX * 2
    await waiting


async def test_an_event_set_aside_is_kept_pending_once(world: World) -> None:
    """
    Its reason is kept; nothing else of it happened; again is a duplicate.
    """
    event = an_event(report=a_payment(user=ADA), body=b"poison")
    first = await world.apply.set_aside(event, "failed: KeyError")
    second = await world.apply.set_aside(event, "failed: KeyError")

    job = event_job(event.key)
    assert first.outcome == Outcome(EventState.PENDING, "failed: KeyError", job)
    assert list(world.database.tables.jobs) == [job]
    assert second.duplicate
    (kept,) = await world.log.find("evt_1")
    assert (kept.outcome, kept.body) == (first.outcome, b"poison")
    assert not world.database.tables.payments
