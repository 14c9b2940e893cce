"""Callers that disconnect, limits of the queue, and its end."""

import asyncio

import pytest

from contracts.examples import ADA, APPLIED, BOB
from contracts.faults import FaultyLedger, no_fault
from contracts.worlds import World
from payments_core.errors import AccountBusy, Overloaded, StoreUnavailable
from payments_core.events import Receipt
from payments_service.ingest_queue import (
    BACK_OFF_MAX_S,
    BATCH_EVENTS_MAX,
    WAIT_S,
    WAITING_EVENTS_MAX,
    IngestQueue,
)
from support.ingest_queue import (
    ADAS,
    EVE,
    Time,
    an_event_of,
    answers,
    events,
    handed_in,
    marked_slow,
    started,
    turns,
    unavailable,
    until,
)

pytestmark = pytest.mark.anyio


async def test_p25_a_caller_that_goes_away_loses_nothing(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    While its event waited, or while its batch was saved: the event is recorded.
    """
    running = await started(ledger, ingest)
    waiting = asyncio.gather(*map(ingest, events(2, first=1)), return_exceptions=True)
    # Let the two submit their events before they are cancelled.
    await asyncio.sleep(0)
    running.cancel()
    waiting.cancel()
    ledger.may_run.set()
    await ingest.drain()

    payments = set(world.database.tables.payments)
    assert payments == {"ch_ada_0", "ch_ada_1", "ch_ada_2"}
    assert running.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_p36_f16_too_many_waiting_are_refused_and_not_kept(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    The queue has a limit; the events in it are recorded, and then there is room again.
    """
    first = await started(ledger, ingest)
    full = asyncio.gather(*map(ingest, events(WAITING_EVENTS_MAX - 1, first=1)))
    await asyncio.sleep(0)
    (one_more,) = events(1, first=WAITING_EVENTS_MAX)
    assert await answers(handed_in(ingest, one_more)) == [Overloaded]
    ledger.may_run.set()
    await asyncio.gather(first, full)

    assert len(world.database.tables.events) == WAITING_EVENTS_MAX
    assert await ingest(one_more) == Receipt(APPLIED)


async def test_p36_what_failed_makes_room(
    world: World,
    ledger: FaultyLedger,
    ingest: IngestQueue,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Whatever the answer to an event was, it no longer waits: the next one is accepted.
    """
    monkeypatch.setattr("payments_service.ingest_queue.WAITING_EVENTS_MAX", 1)

    ledger.fault = unavailable
    for number in range(3):
        failed = handed_in(ingest, an_event_of(BOB, number))
        assert await answers(failed) == [StoreUnavailable]
    ledger.fault = no_fault
    world.database.locked = {ADAS}
    for number in range(3):
        (locked,) = handed_in(ingest, an_event_of(ADA, number))
        await until(lambda: time.sleepers == 1)
        time.pass_by(WAIT_S)
        assert await answers([locked]) == [AccountBusy]
    assert await ingest(an_event_of(EVE)) == Receipt(APPLIED)


async def test_p36_callers_that_went_away_make_no_room(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    Their events still wait: the limit counts events, not callers.
    """
    first = await started(ledger, ingest)
    gone = handed_in(ingest, *events(WAITING_EVENTS_MAX - 1, first=1))
    await asyncio.sleep(0)
    for it in gone:
        it.cancel()
    await asyncio.wait(gone)
    (one_more,) = events(1, first=WAITING_EVENTS_MAX)
    assert await answers(handed_in(ingest, one_more)) == [Overloaded]
    ledger.may_run.set()
    await first
    await ingest.drain()

    assert await ingest(one_more) == Receipt(APPLIED)


async def test_draining_waits_for_all_and_for_nothing(
    world: World, ingest: IngestQueue
) -> None:
    """
    An idle queue is drained at once; a busy one when all is saved.
    """
    await ingest.drain()
    waiting = asyncio.gather(*map(ingest, events(BATCH_EVENTS_MAX * 2)))
    await asyncio.sleep(0)
    await ingest.drain()

    assert len(world.database.tables.events) == BATCH_EVENTS_MAX * 2
    await waiting


async def test_draining_waits_for_what_is_locked_or_slow(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Events that were put back into the queue, or are saved alone, are included.
    """
    await marked_slow(ledger, ingest, BOB)
    world.database.locked = {ADAS}
    waiting = handed_in(ingest, an_event_of(ADA), an_event_of(BOB, 1))
    await until(lambda: (time.sleepers, ledger.slow_now) == (1, 1))
    drained = asyncio.create_task(ingest.drain())
    ledger.may_time_out.set()
    await until(waiting[1].done)
    await turns()
    assert not drained.done()
    world.database.locked = set()
    time.pass_by(BACK_OFF_MAX_S)
    await drained

    assert await answers(waiting) == [Receipt(APPLIED), StoreUnavailable]
