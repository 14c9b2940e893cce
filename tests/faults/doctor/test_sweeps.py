"""The doctor's report of sweeps, and of their findings."""

import re

import pytest

from faults.doctor.deployment import Deployed
from payments_core.jobs.drift_counts import RECONCILIATION


def test_a_first_sweep_that_never_came_to_its_end_is_late(deployed: Deployed) -> None:
    """As of a worker that is killed in it each time, which counts no failure."""
    first = (
        "update checkpoints set reached_at = null, attempts = 0, "
        "due_at = now() - interval '{}' where name = 'sweep'"
    )
    codes = list[int]()
    for ago in ("1 hour", "3 days"):
        deployed.sql(first.format(ago))
        answer = deployed.doctor()
        codes.append(answer.code)
        assert "sweep: its first run is due at" in answer.out
    assert codes == [0, 7]


@pytest.mark.parametrize(
    ("found", "repaired", "remedies"),
    [
        ({"card": 1}, {}, {"payments reconcile --apply"}),
        ({"unreadable": 2}, {}, {"payments reconcile"}),
        ({"card": 3, "unreadable": 1}, {"card": 2}, None),
    ],
    ids=["by itself", "by a person", "both"],
)
def test_what_differs_still_is_repaired_or_decided(
    deployed: Deployed,
    found: dict[str, int],
    repaired: dict[str, int],
    remedies: set[str] | None,
) -> None:
    """What no repair can fix is named without `--apply`."""
    deployed.swept(found, repaired=repaired)
    answer = deployed.doctor("--json")
    [wrong] = [it for it in answer.json["items"] if it["status"] != "ok"]
    named = set(re.findall("`(.+?)`", wrong["remedy"]))
    assert named == (remedies or {"payments reconcile", "payments reconcile --apply"})


def test_what_a_sweep_repaired_is_well(deployed: Deployed) -> None:
    """It was down, or an event was closed; a sweep without findings says so, too."""
    said = []
    for found in ({}, {"card": 2}):
        deployed.swept(found, repaired=found)
        answer = deployed.doctor("--json")
        assert answer.code == 0
        said += [it["text"] for it in answer.json["items"] if it["check"] == "drift"]
    assert said == [
        "the last sweep, up to 2 h ago, found no differences",
        "the last sweep, up to 2 h ago, repaired all differences: 2",
    ]


@pytest.mark.parametrize("by_hand_later", [True, False])
def test_of_a_sweep_and_a_reconciliation_by_hand_the_later_one_counts(
    deployed: Deployed, *, by_hand_later: bool
) -> None:
    """Either sweep may have found something."""
    ago = ("2 hours", "1 hour")
    deployed.swept({"card": 1}, ago=ago[not by_hand_later])
    deployed.swept({}, by=RECONCILIATION, ago=ago[by_hand_later])
    assert deployed.doctor().code == (0 if by_hand_later else 7)


def test_what_a_longer_run_left_is_told_beside_a_shorter_one(
    deployed: Deployed,
) -> None:
    """The remedy covers the same period."""
    long, short = "2015-01-01T00:00:00+00:00", "2026-10-01T00:00:00+00:00"
    left = {"payment_missing": 1}
    deployed.swept(left, by=RECONCILIATION, ago="3 hours", lost=2, since=long)
    deployed.swept({}, since=short)

    answer = deployed.doctor("--json")

    told = [it for it in answer.json["items"] if it["check"] == "drift"]
    assert [it["status"] for it in told] == ["wrong", "ok"]
    assert "`payments reconcile --since 2015-01-01`" in told[0]["remedy"]
    deployed.swept({}, since=long)
    assert deployed.doctor().code == 0
