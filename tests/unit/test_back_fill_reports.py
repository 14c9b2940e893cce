"""What back-fill reports: in the log, and in the metrics of a worker."""

import math
from datetime import timedelta

import attrs
import pytest
import structlog

from contracts.examples import NOON, an_event
from payments_core.checkpoints import LEASE, LoopCheckpoint
from payments_core.errors import GatewayNotAttempted, StoreUnavailable
from payments_core.use_cases import BackFillListener
from payments_core.use_cases.back_fill_events import DUPLICATE, EVENT_BACK_FILL
from payments_service.back_fill_reports import BackFillReports
from support.ops_port import Ops

LAG = "payments_event_back_fill_lag_seconds"
MINUTE = timedelta(minutes=1)


def test_what_fails_and_what_is_lost_is_told() -> None:
    """
    With what to do; what the gateway reports of a turn is a warning, a gap is an error.
    """
    reports = BackFillReports()
    with structlog.testing.capture_logs() as lines:
        reports.failed(GatewayNotAttempted("too many calls at once"))
        reports.lost(NOON, NOON + MINUTE)
        reports.set_aside(an_event("evt_1"), KeyError("a bug"))

    assert [it["log_level"] for it in lines] == ["warning", "error", "error"]
    assert "too many calls at once" in lines[0]["reason"]
    assert lines[1]["since"] == NOON.isoformat()
    assert lines[1]["until"] == (NOON + MINUTE).isoformat()
    assert lines[2]["event_id"] == "evt_1"
    assert reports.failures_count == 1


def test_a_listener_that_is_not_given_hears_in_silence() -> None:
    """
    A program that embeds the core may want only some of the reports.
    """
    with structlog.testing.capture_logs() as lines:
        for listener in (BackFillListener(),):
            listener.found(DUPLICATE, 1)
            listener.failed(KeyError())
            listener.lost(NOON, NOON)
            listener.set_aside(an_event("evt_1"), KeyError())
    assert not lines


@pytest.mark.anyio
async def test_the_metrics_say_what_was_found() -> None:
    """
    Every outcome is exported from the start, so that its growth is visible.
    """
    ops = Ops()
    ops.reports.found("applied", 3)
    ops.reports.found("applied", 2)
    ops.reports.failures_count = 4
    text = await ops.metrics()

    counts = "payments_event_back_fill_events_total"
    assert f'{counts}{{outcome="applied"}} 5.0' in text
    for outcome in ("duplicate", "ignored", "pending", "quarantined"):
        assert f'{counts}{{outcome="{outcome}"}} 0.0' in text
    assert "payments_event_back_fill_failures_total 4.0" in text


@pytest.mark.anyio
async def test_the_lag_grows_until_the_list_is_read_on() -> None:
    """
    Whichever process reads it, and whether or not it is read at all.
    """
    ops = Ops()
    assert math.isnan(await ops.value(LAG))
    claimed = await ops.checkpoints.claim(EVENT_BACK_FILL, now=NOON, lease=LEASE)
    assert math.isnan(await ops.value(LAG))
    assert await ops.checkpoints.save(attrs.evolve(claimed, reached_at=NOON))
    assert await ops.value(LAG) == 0.0
    ops.clock.advance(timedelta(days=4))
    assert await ops.value(LAG) == 4 * 86_400


@pytest.mark.anyio
async def test_without_a_database_the_lag_is_not_known() -> None:
    """
    The lag is not a number, and the other metrics are exported.
    """

    class Gone:
        async def find(self, _: str) -> LoopCheckpoint | None:
            raise StoreUnavailable

    assert math.isnan(await Ops(checkpoints=Gone()).value(LAG))
