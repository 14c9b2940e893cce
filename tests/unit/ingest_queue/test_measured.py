"""What the queue reports of itself: how much waits, together, again and alone."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from contracts.examples import ADA, BOB
from contracts.faults import FaultyLedger
from contracts.worlds import World
from payments_service.ingest_queue import BACK_OFF_FIRST_S, IngestQueue
from payments_service.metrics.webhooks import IngestMetrics
from support.ingest_queue import (
    Time,
    all_of,
    an_event_of,
    events,
    handed_in,
    started,
    until,
)

pytestmark = pytest.mark.anyio


def value(ingest: IngestQueue, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(IngestMetrics(ingest))
    return registry.get_sample_value(f"payments_ingest_{name}", labels)


async def test_batches_are_counted_by_their_size(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    And their events count as waiting until they are answered.
    """
    first = await started(ledger, ingest)
    others = asyncio.gather(*map(ingest, events(5, first=1)))
    await until(lambda: ingest.waiting_count == 6)
    assert value(ingest, "waiting") == 6
    ledger.may_run.set()
    await asyncio.gather(first, others)

    assert ledger.batches == [1, 5]
    assert value(ingest, "waiting") == 0
    assert value(ingest, "batch_events_bucket", le="1.0") == 1
    assert value(ingest, "batch_events_bucket", le="4.0") == 1
    assert value(ingest, "batch_events_bucket", le="8.0") == 2
    assert value(ingest, "batch_events_sum") == 6


async def test_what_is_locked_is_counted_each_time_that_it_goes_back(
    world: World, ingest: IngestQueue, time: Time
) -> None:
    """
    Each wait is one retry.
    """
    world.database.locked = {f"user {ADA}"}
    locked = handed_in(ingest, an_event_of(ADA))
    await until(lambda: time.sleepers == 1)
    time.pass_by(BACK_OFF_FIRST_S)
    await until(lambda: len(time.waits) == 2)
    assert value(ingest, "retries_total") == 2
    world.database.locked = set()
    time.pass_by(1)
    await all_of(locked)

    assert value(ingest, "retries_total") == 2


async def test_accounts_that_are_saved_alone_are_counted(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    For a minute after they were slow; a batch of one counts as a batch.
    """
    assert value(ingest, "busy_accounts") == 0
    ingest._mark_slow(f"user {ADA}")
    assert value(ingest, "busy_accounts") == 1
    await all_of(handed_in(ingest, an_event_of(ADA), an_event_of(BOB)))
    assert ledger.saves == [[f"user {BOB}"], [f"user {ADA}"]]
    assert value(ingest, "batch_events_count") == 2
    time.pass_by(61)
    assert value(ingest, "busy_accounts") == 0
