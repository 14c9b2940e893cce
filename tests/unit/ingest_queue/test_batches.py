"""Events that wait together share a load and a save."""

import asyncio
from collections.abc import Sequence

import pytest

from contracts.examples import ADA, APPLIED, BOB
from contracts.faults import FaultyLedger
from contracts.worlds import World
from payments_core.events import GatewayEvent, Receipt
from payments_service.ingest_queue import (
    BACK_OFF_MAX_S,
    BATCH_EVENTS_MAX,
    GATHER_MAX_S,
    GATHER_MIN_S,
    IngestQueue,
)
from support.ingest_queue import (
    ADAS,
    EVE,
    Time,
    all_of,
    an_event_of,
    events,
    handed_in,
    started,
    turns,
)

pytestmark = pytest.mark.anyio


async def test_events_that_wait_together_share_a_load_and_a_save(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    Ten callers, one save, ten receipts.
    """
    receipts = await all_of(handed_in(ingest, *events(10)))

    assert ledger.batches == [10]
    assert ledger.saves == [[ADAS]]
    assert receipts == [Receipt(APPLIED)] * 10
    assert len(world.database.tables.payments) == 10


async def test_while_one_batch_is_saved_the_next_one_fills(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    The first does not wait for others; those that arrive meanwhile are saved together.
    """
    first = await started(ledger, ingest)
    others = asyncio.gather(*map(ingest, events(5, first=1)))
    ledger.may_run.set()
    await asyncio.gather(first, others)

    assert ledger.batches == [1, 5]


async def answered_after(
    seconds: float,
    ledger: FaultyLedger,
    ingest: IngestQueue,
    time: Time,
    batch: Sequence[GatewayEvent],
) -> None:
    """Record a batch that takes this long."""
    ledger.running.clear()
    ledger.may_run.clear()
    waiting = handed_in(ingest, *batch)
    await ledger.running.wait()
    time.pass_by(seconds)
    ledger.may_run.set()
    await asyncio.gather(*waiting)
    ledger.batches.clear()


async def test_a_batch_waits_for_as_many_as_were_answered_by_the_last_one(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Their callers send the next event soon; the batch begins with the last of them.
    """
    await answered_after(0.004, ledger, ingest, time, events(3))
    first = handed_in(ingest, *events(2, first=3))
    await turns()
    assert not ledger.batches
    await all_of([*first, *handed_in(ingest, *events(1, first=5))])

    assert ledger.batches == [3]


@pytest.mark.parametrize(
    ("took_s", "wait_s"), [(0.004, 0.004), (3.0, GATHER_MAX_S)], ids=["quick", "slow"]
)
async def test_a_batch_waits_for_others_no_longer_than_the_last_one_took(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time, took_s: float, wait_s: float
) -> None:
    """
    And never longer than the limit; once the wait is over, no event waits any longer.
    """
    await answered_after(took_s, ledger, ingest, time, events(3))
    first = handed_in(ingest, *events(2, first=3))
    await turns()
    time.pass_by(wait_s * 0.9)
    await turns()
    assert not ledger.batches
    time.pass_by(wait_s * 0.2)
    await all_of(first)
    assert ledger.batches == [2]
    await all_of(handed_in(ingest, *events(1, first=5)))
    assert ledger.batches == [2, 1]


async def waited_in_vain(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time, first: int
) -> float:
    """Answer three slowly, and submit one; return how long it waits for others."""
    await answered_after(3.0, ledger, ingest, time, events(3, first=first))
    waiting = handed_in(ingest, *events(1, first=first + 3))
    await turns()
    began = time.now
    while not ledger.batches:
        time.pass_by(GATHER_MIN_S / 10)
        await turns()
    await all_of(waiting)
    return time.now - began


async def test_after_a_wait_in_vain_the_next_one_is_half_as_long(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Callers that do not wait for an answer gain nothing by it; a short wait remains, so
    that others are noticed.
    """
    waits = [await waited_in_vain(ledger, ingest, time, 4 * n) for n in range(4)]
    assert waits == pytest.approx(
        [GATHER_MAX_S, GATHER_MAX_S / 2, GATHER_MIN_S, GATHER_MIN_S],
        abs=GATHER_MIN_S / 5,
    )


async def test_after_a_wait_for_all_that_were_expected_the_next_one_is_longer_again(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Twice as long each time, up to the limit.
    """
    for first in (0, 4, 8):
        await waited_in_vain(ledger, ingest, time, first)
    await answered_after(3.0, ledger, ingest, time, events(3, first=12))
    await all_of(handed_in(ingest, *events(3, first=15)))

    assert await waited_in_vain(ledger, ingest, time, 18) == pytest.approx(
        GATHER_MAX_S / 2, abs=GATHER_MIN_S / 5
    )


async def test_an_event_after_a_single_one_waits_for_nothing(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    However long the last one took: a single caller stays alone.
    """
    await answered_after(3.0, ledger, ingest, time, events(1))
    await all_of(handed_in(ingest, *events(1, first=1)))

    assert ledger.batches == [1]
    assert not time.waits


async def test_a_caller_that_went_away_is_not_waited_for(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Its event is recorded without an answer, and it sends nothing soon.
    """
    ledger.may_run.clear()
    gone, *others = handed_in(ingest, *events(3))
    await ledger.running.wait()
    gone.cancel()
    time.pass_by(0.004)
    ledger.may_run.set()
    await asyncio.gather(*others)
    ledger.batches.clear()
    await all_of(handed_in(ingest, *events(2, first=3)))

    assert ledger.batches == [2]


async def test_what_is_locked_is_not_waited_for(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Its caller was not answered, and sends nothing soon.
    """
    world.database.locked = {ADAS}
    ledger.may_run.clear()
    _, *others = handed_in(ingest, *map(an_event_of, (ADA, BOB, EVE)))
    await ledger.running.wait()
    time.pass_by(0.004)
    ledger.may_run.set()
    await asyncio.gather(*others)
    ledger.batches.clear()
    await all_of(handed_in(ingest, an_event_of(BOB, 1), an_event_of(EVE, 1)))
    assert ledger.batches == [2]
    world.database.locked = set()
    time.pass_by(BACK_OFF_MAX_S)
    await ingest.drain()


async def test_p36_a_batch_has_a_limit(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    With one event too many, the last one is saved alone.
    """
    await all_of(handed_in(ingest, *events(BATCH_EVENTS_MAX + 1)))
    assert ledger.batches == [BATCH_EVENTS_MAX, 1]


async def test_two_callers_with_one_event_share_it(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    One learns that it was applied, the other that it was a duplicate; so does a caller
    after the batch.
    """
    (event,) = events(1)
    first, second = await all_of(handed_in(ingest, event, event))

    assert (first, second) == (Receipt(APPLIED), Receipt(None))
    assert await ingest(event) == Receipt(None)
    assert ledger.saves == [[ADAS]]
    assert len(world.database.tables.events) == 1
