"""How much a sweep found, and how much of it remains."""

import json
from datetime import datetime, timedelta

import pytest

from contracts.examples import ADA, NOON
from payments_adapters.memory.checkpoints import MemoryCheckpoints
from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.drift import Drift, DriftKind
from payments_core.jobs import DriftCause, DriftCounts, Finding, drift_counts
from payments_core.jobs.drift_counts import RECONCILIATION, note_reconciliation

pytestmark = pytest.mark.anyio


def finding(
    kind: DriftKind = DriftKind.CARD,
    subject: str = "cus_1",
    *,
    repaired: bool = False,
    cause: DriftCause = DriftCause.WHILE_DOWN,
) -> Finding:
    drift = Drift(kind=kind, subject=subject, user_id=ADA, ours="a", theirs="b")
    return Finding(drift=drift, cause=cause, repaired=repaired)


def test_a_thing_that_two_lists_show_is_one_difference() -> None:
    """
    By its kind and its subject; another kind of it is another difference.
    """
    counts = DriftCounts()
    added = [
        counts.add(it)
        for it in (
            finding(),
            finding(),
            finding(subject="cus_2"),
            finding(DriftKind.CUSTOMER_DELETED),
        )
    ]
    assert added == [True, False, True, True]
    assert counts.found == {"card": 2, "customer_deleted": 1}


def test_what_is_left_is_what_was_not_repaired() -> None:
    """
    Some differences cannot be repaired. Of the repaired ones, lost events are counted.
    """
    counts = DriftCounts()
    lost = DriftCause.EVENT_LOST
    for it in (
        finding(repaired=True),
        finding(subject="cus_2", repaired=True, cause=lost),
        finding(subject="cus_3", cause=lost),
        finding(DriftKind.CUSTOMER_MISSING),
        finding(DriftKind.PAYMENT_REFUND, repaired=True),
    ):
        counts.add(it)

    assert counts.left == {"card": 1, "customer_missing": 1}
    assert counts.left_for_a_person_count == 1
    assert counts.lost_count == 1
    read = DriftCounts.of_facts(json.loads(json.dumps(counts.facts)))
    assert read == counts


def test_what_is_told_apart_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Beyond it a thing may be counted twice, and none is left out.
    """
    monkeypatch.setattr(drift_counts, "TOLD_MAX", 1)
    counts = DriftCounts()
    added = [counts.add(finding(subject=it)) for it in ("a", "b", "b", "a")]
    assert added == [True, True, True, False]


async def test_what_a_reconciliation_found_takes_the_place_of_the_one_before() -> None:
    """
    Also by a clock that is behind.
    """
    checkpoints = MemoryCheckpoints(MemoryDatabase())
    for count, ago in ((2, timedelta(0)), (1, timedelta(hours=1)), (0, timedelta(0))):
        counts = DriftCounts()
        for number in range(count):
            counts.add(finding(subject=f"cus_{number}"))
        until = NOON - ago - timedelta(minutes=5)
        await note_reconciliation(checkpoints, counts, until=until, now=NOON - ago)
        kept = await checkpoints.find(RECONCILIATION)
        assert kept is not None
        assert kept.reached_at == until
        assert DriftCounts.of_facts(json.loads(kept.result or "")) == counts


async def test_what_a_long_reconciliation_left_is_not_forgotten_by_a_short_one() -> (
    None
):
    """
    Only by a reconciliation that goes back as far, within a day, or that left nothing.
    """
    checkpoints = MemoryCheckpoints(MemoryDatabase())

    async def noted(since: datetime | None, found: int) -> int:
        counts = DriftCounts(since=since)
        for number in range(found):
            counts.add(finding(subject=f"cus_{number}"))
        await note_reconciliation(checkpoints, counts, until=NOON, now=NOON)
        kept = await checkpoints.find(RECONCILIATION)
        assert kept is not None
        return DriftCounts.of_facts(json.loads(kept.result or "")).found.total()

    ago = NOON - timedelta(days=40)
    assert await noted(ago, 3) == 3
    assert await noted(ago + timedelta(days=1), 2) == 2
    assert await noted(ago - timedelta(days=900), 1) == 1
    assert await noted(ago, 0) == 1
    assert await noted(ago - timedelta(days=900), 0) == 0
    assert await noted(None, 4) == 4
    assert await noted(ago, 0) == 4
    assert await noted(None, 0) == 0
    assert await noted(ago, 5) == 5
