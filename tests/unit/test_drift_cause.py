"""Why something differs, judged by everything stored of its events."""

from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import NOON, a_report
from payments_adapters.memory import (
    MemoryCheckpoints,
    MemoryEventLog,
    MemoryJobDirectory,
)
from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.back_fill import KEPT_FOR
from payments_core.checkpoints import LEASE
from payments_core.facts import SubscriptionObserved
from payments_core.job_key import JobKey, JobKind
from payments_core.jobs.drift_cause import (
    DELIVERED_WITHIN,
    SETTLES_WITHIN,
    DriftCause,
    FindCause,
)
from payments_core.sweep import Suspect
from payments_core.use_cases.back_fill_events import EVENT_BACK_FILL

SUSPECT: Final = Suspect(
    subject="sub_1", job=JobKey(JobKind.SUBSCRIPTION, "sub_1"), since=NOON
)
LATER: Final = NOON + timedelta(days=2)

pytestmark = pytest.mark.anyio


async def cause(
    now: datetime,
    *,
    renewed_at: datetime | None = None,
    right_at: datetime | None = None,
    read_until: datetime | None = None,
) -> DriftCause:
    """Return why a subscription differs, if no event was ever received.

    It was correct, its last period began, and back-fill has read, at these times.
    """
    database = MemoryDatabase()
    checkpoints = MemoryCheckpoints(database)
    if read_until is not None:
        claimed = await checkpoints.claim(EVENT_BACK_FILL, now=NOON, lease=LEASE)
        assert claimed is not None
        await checkpoints.save(attrs.evolve(claimed, reached_at=read_until))
    find = FindCause(
        MemoryJobDirectory(database),
        MemoryEventLog(database),
        checkpoints,
        lambda: now,
    )
    report = a_report("sub_1", at=NOON)
    if renewed_at is not None:
        report = attrs.evolve(report, period_start=renewed_at)
    return await find(SUSPECT, [SubscriptionObserved(report=report, at=now)], right_at)


async def test_within_the_hour_an_event_may_have_come_for_itself() -> None:
    """
    Whether a process was there to receive it is known an hour after the change.
    """
    almost = NOON + DELIVERED_WITHIN - timedelta(seconds=1)
    assert await cause(almost) is DriftCause.EVENT_LOST
    assert await cause(NOON + DELIVERED_WITHIN) is DriftCause.WHILE_DOWN


async def test_the_last_moment_that_it_names_counts() -> None:
    """
    Not a time that is still to come.
    """
    soon = LATER - timedelta(minutes=1)
    assert await cause(LATER, renewed_at=soon) is DriftCause.EVENT_LOST
    assert await cause(LATER, renewed_at=LATER + KEPT_FOR) is DriftCause.WHILE_DOWN


async def test_what_back_fill_has_read_was_heard() -> None:
    """
    A change with a time of its own, from then on; any other, up to a moment ago.
    """
    renewed = NOON + timedelta(days=1)
    before, after = renewed - LEASE, renewed + LEASE
    for read_until, expected in (
        (before, DriftCause.WHILE_DOWN),
        (after, DriftCause.OWN_BUG),
    ):
        why = await cause(
            LATER, renewed_at=renewed, right_at=NOON, read_until=read_until
        )
        assert why is expected
    just, long_ago = LATER - SETTLES_WITHIN / 2, LATER - 2 * SETTLES_WITHIN
    assert await cause(LATER, right_at=renewed, read_until=just) is DriftCause.OWN_BUG
    assert (
        await cause(LATER, right_at=renewed, read_until=long_ago)
        is DriftCause.WHILE_DOWN
    )


async def test_what_was_never_known_or_long_ago_is_no_bug_of_ours() -> None:
    """
    Back-fill began at some time, and lists go back thirty days.
    """
    assert await cause(LATER, read_until=LATER) is DriftCause.WHILE_DOWN
    right_at = LATER - KEPT_FOR
    assert (
        await cause(LATER, right_at=right_at, read_until=LATER) is DriftCause.WHILE_DOWN
    )
