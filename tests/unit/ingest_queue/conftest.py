"""A queue over a store in memory, with a clock that does not move."""

import pytest

from contracts.examples import ADA, BOB, NOON, an_account
from contracts.faults import FaultyLedger
from contracts.worlds import World, a_world
from payments_adapters.memory import FixedClock, MemoryLedger
from payments_core.policy import Policy
from payments_core.use_cases import RecordFacts
from payments_service.ingest_queue import IngestQueue
from support.ingest_queue import EVE, Time


@pytest.fixture
async def world() -> World:
    return await a_world(an_account(ADA), an_account(BOB), an_account(EVE))


@pytest.fixture
def ledger(world: World) -> FaultyLedger:
    return FaultyLedger(MemoryLedger(world.database))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def failed() -> list[str]:
    """
    The events that could not be applied, as reported to the service.
    """
    return []


@pytest.fixture
def ingest(ledger: FaultyLedger, time: Time, failed: list[str]) -> IngestQueue:
    clock = FixedClock(NOON)
    record = RecordFacts(ledger, clock, clock, Policy(), time, time.sleep)
    return IngestQueue(record, lambda it, _: failed.append(it.id), time, time.sleep)
