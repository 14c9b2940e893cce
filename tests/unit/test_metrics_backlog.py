"""What waits, as a worker exports it: counts, ages, and NaN if nothing is known."""

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import pytest
import structlog.testing

from contracts.backlog import EMPTY
from contracts.examples import NOON
from payments_core.backlog import Backlog, EndpointWaiting, Waiting
from payments_core.errors import StoreUnavailable
from payments_core.intent import IntentState
from payments_service.metrics.backlog import BacklogMetrics
from support.ops_port import AHEAD, Ops

pytestmark = pytest.mark.anyio

MINUTE: Final = timedelta(minutes=1)
ENDPOINTS: Final = ["crm", "new"]
OPEN: Final = {
    IntentState.NEW: Waiting(),
    IntentState.SENT: Waiting(2, NOON - 3 * MINUTE),
    IntentState.UNKNOWN: Waiting(1, NOON - MINUTE),
}
FULL: Final = Backlog(
    pending_since=NOON - MINUTE,
    due_jobs=Waiting(7, NOON + AHEAD - 2 * MINUTE),
    unlinked_payments=4,
    intents=OPEN,
    unnumbered_since=NOON - 4 * MINUTE,
    endpoints={
        "crm": EndpointWaiting(since=NOON - 5 * MINUTE, dead=3),
        # It is no longer configured: its cursor stays for ever.
        "former": EndpointWaiting(since=NOON - 9_000 * MINUTE, dead=9),
    },
)


@attrs.define
class Reader:
    """Answers, fails, or never answers."""

    backlog: Backlog | None = None
    endpoints: Sequence[str] = ()
    hangs: bool = False
    refuses: bool = False
    looks: int = 0
    # A read that began ends when this is set.
    goes_on: asyncio.Event | None = None
    began: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def read(
        self, *, due_by: datetime, endpoints: Sequence[str], limit: int
    ) -> Backlog:
        assert due_by == NOON + AHEAD
        assert limit == 10_000
        assert endpoints == self.endpoints
        self.looks += 1
        if self.refuses:
            raise LookupError("no such table")
        if self.goes_on is not None:
            self.began.set()
            await self.goes_on.wait()
        if self.hangs:
            await asyncio.Event().wait()
        if self.backlog is None:
            raise StoreUnavailable
        return self.backlog


async def shown(reader: Any, within_s: float = 60.0, **more: Any) -> dict[str, float]:
    """Return the samples by their names and labels, after a measurement."""
    readers = attrs.evolve(Ops(endpoints=ENDPOINTS).readers, backlog=reader, **more)
    metrics = BacklogMetrics(readers, within_s)
    await metrics.measure()
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }


async def test_what_waits_is_shown_with_its_age() -> None:
    """
    For the configured endpoints only.
    """
    values = await shown(Reader(FULL, ENDPOINTS))

    assert values["payments_events_oldest_pending_age_seconds"] == 60
    assert values["payments_jobs_due"] == 7
    assert values["payments_jobs_oldest_due_age_seconds"] == 120
    assert values["payments_unlinked_payments"] == 4
    assert values["payments_intents new"] == 0
    assert values["payments_intents sent"] == 2
    assert values["payments_intents_oldest_age_seconds sent"] == 180
    assert values["payments_intents_oldest_age_seconds unknown"] == 60
    assert values["payments_feed_lag_seconds"] == 240
    assert values["payments_delivery_lag_seconds crm"] == 300
    assert values["payments_deliveries_dead crm"] == 3
    assert math.isnan(values["payments_delivery_lag_seconds new"])
    assert not [it for it in values if "former" in it]


async def test_where_nothing_waits_the_age_is_zero() -> None:
    """
    Also for work that another process's clock saw a moment later.
    """
    values = await shown(Reader(EMPTY, ENDPOINTS))
    ages = [it for it in values if it.endswith(("age_seconds", "feed_lag_seconds"))]
    waiting = [it for it in ages if "sweep" not in it and "purge" not in it]
    assert {values[it] for it in waiting} == {0}

    ahead = attrs.evolve(EMPTY, unnumbered_since=NOON + MINUTE)
    assert (await shown(Reader(ahead, ENDPOINTS)))["payments_feed_lag_seconds"] == 0


async def test_what_cannot_be_read_is_no_number_and_all_else_is_there() -> None:
    """
    What was read before it stays, and what comes after it does not wait for it.
    """
    asked = []

    async def calls_left() -> dict[str, float]:
        asked.append("the database is gone already")
        return {}

    values = await shown(Reader(None, ENDPOINTS), calls_left=calls_left)
    assert asked == []
    assert values["payments_jobs_failing"] == 0
    assert values["payments_events_open pending"] == 0
    unknown = {
        "payments_events_oldest_pending_age_seconds",
        "payments_jobs_due",
        "payments_jobs_oldest_due_age_seconds",
        "payments_unlinked_payments",
        "payments_intents unknown",
        "payments_intents_oldest_age_seconds unknown",
        "payments_feed_lag_seconds",
        "payments_delivery_lag_seconds crm",
        "payments_deliveries_dead crm",
    }
    assert [it for it in unknown if not math.isnan(values[it])] == []


async def test_what_the_database_refuses_is_logged_and_all_else_is_there() -> None:
    """
    A missing table, a missing right: the rest must be readable, or the worker would
    look dead.
    """
    with structlog.testing.capture_logs() as logs:
        values = await shown(Reader(FULL, ENDPOINTS, refuses=True))

    assert values["payments_jobs_failing"] == 0
    assert math.isnan(values["payments_jobs_due"])
    assert [(it["event"], it["log_level"]) for it in logs] == [
        ("backlog cannot be read", "error")
    ]


async def test_a_database_that_does_not_answer_holds_no_scrape_up() -> None:
    """
    The read is abandoned after a while: an alert on the rest must not wait for it.
    """
    values = await shown(Reader(endpoints=ENDPOINTS, hangs=True), within_s=0.001)
    assert math.isnan(values["payments_jobs_due"])


async def test_what_was_known_before_is_not_shown_as_if_it_still_were() -> None:
    """
    A number that no longer changes looks healthy.
    """
    reader = Reader(FULL)
    readers = attrs.evolve(Ops().readers, backlog=reader)
    metrics = BacklogMetrics(readers)

    def due() -> float:
        found = {it.name: it for it in metrics.collect()}
        return float(found["payments_jobs_due"].samples[0].value)

    assert math.isnan(due())
    await metrics.measure()
    assert due() == 7
    reader.backlog = None
    await metrics.measure()
    assert math.isnan(due())


async def test_two_scrapes_at_once_show_the_same_numbers() -> None:
    """
    Prometheus is run in pairs: the request of one must not remove numbers from the
    other's.
    """
    reader = Reader(FULL)
    metrics = BacklogMetrics(attrs.evolve(Ops().readers, backlog=reader))

    def values() -> list[float]:
        return [
            sample.value
            for family in metrics.collect()
            if family.name in {"payments_jobs_failing", "payments_jobs_due"}
            for sample in family.samples
        ]

    await metrics.measure()
    assert values() == [0, 7]
    reader.goes_on = asyncio.Event()
    one = asyncio.create_task(metrics.measure())
    await reader.began.wait()
    other = asyncio.create_task(metrics.measure())
    gone = asyncio.create_task(metrics.measure())
    await asyncio.sleep(0)
    gone.cancel()
    assert values() == [0, 7]
    reader.goes_on.set()
    await one
    await other
    assert values() == [0, 7]
    # Each read takes a connection, of which jobs have a few.
    assert reader.looks == 2


async def test_the_calls_that_are_left_are_shown_by_endpoint() -> None:
    """
    As the budget of all processes has them.
    """

    async def calls_left() -> dict[str, float]:
        return {"customers": 12.5}

    values = await shown(Reader(EMPTY, ENDPOINTS), calls_left=calls_left)
    assert values["payments_gateway_budget customers"] == 12.5
