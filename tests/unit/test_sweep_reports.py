"""Findings of the nightly sweep are counted, and logged without the values."""

import math
from datetime import timedelta

import attrs
import pytest
import structlog

from contracts.examples import ADA, NOON
from payments_core.checkpoints import LEASE
from payments_core.drift import Drift, DriftKind
from payments_core.errors import GatewayNotAttempted
from payments_core.jobs import DriftCause, Finding
from payments_core.jobs.sweep_nightly import SWEEP
from payments_core.object_lists import ObjectList
from payments_service.sweep_reports import SweepReports
from support.ops_port import Ops

FINDING = Finding(
    drift=Drift(
        kind=DriftKind.PAYMENT_DETAILS,
        subject="ch_1",
        user_id=ADA,
        ours="email: ada@example.com",
        theirs="email: eve@example.com",
    ),
    cause=DriftCause.EVENT_LOST,
    repaired=True,
)

pytestmark = pytest.mark.anyio


async def test_drift_is_counted_by_its_kind() -> None:
    """
    Every kind and every list from the start, so that its growth is visible.
    """
    ops = Ops()
    ops.sweeps.found(FINDING)
    ops.sweeps.read(ObjectList.PAYMENTS, 7)
    ops.sweeps.failed(ValueError("busy"))

    counted = {it.value: 0.0 for it in DriftKind} | {"payment_details": 1.0}
    for kind, count in counted.items():
        assert await ops.value(f'payments_drifts_total{{kind="{kind}"}}') == count
    counted = {it.value: 0.0 for it in ObjectList} | {"payments": 7.0}
    for list_, count in counted.items():
        name = f'payments_sweep_objects_total{{list="{list_}"}}'
        assert await ops.value(name) == count
    assert await ops.value("payments_sweep_failures_total") == 1.0


async def test_the_age_of_the_last_sweep_is_shown() -> None:
    """
    Of the last sweep that finished, in whichever process.
    """
    ops, age = Ops(), "payments_sweep_age_seconds"
    assert math.isnan(await ops.value(age))
    claimed = await ops.checkpoints.claim(SWEEP, now=NOON, lease=LEASE)
    assert await ops.checkpoints.save(attrs.evolve(claimed, reached_at=NOON))
    ops.clock.advance(timedelta(days=1))
    assert await ops.value(age) == 86_400


def test_a_bug_that_stops_a_sweep_is_told_with_its_trace() -> None:
    """
    As an error; its message may quote anything, and is not logged.
    """
    bug = KeyError("ada@example.com")
    with structlog.testing.capture_logs() as lines:
        SweepReports().failed(bug)

    [line] = lines
    assert (line["log_level"], line["exc_info"]) == ("error", bug)
    assert line["reason"] == "KeyError"


def test_the_log_names_things_and_not_what_is_said_of_them() -> None:
    """
    An e-mail does not belong in a log.
    """
    reports = SweepReports()
    with structlog.testing.capture_logs() as lines:
        reports.found(FINDING)
        reports.ended(NOON)
        reports.failed(GatewayNotAttempted("busy"))

    assert [it["event"] for it in lines] == [
        "drift",
        "sweep ended",
        "sweep stopped; it goes on later",
    ]
    assert (lines[0]["subject"], lines[0]["kind"]) == ("ch_1", "payment_details")
    assert "example.com" not in str(lines)
