"""Count the drift that a sweep found, by kind, and how much it repaired.

Rule 1: an object on two lists (a charge, and its refund) is counted once by a process.
        A process that continues the sweep of another may count it again.
Rule 2: the counts are stored in the checkpoint of the nightly sweep, or in one of their
        own for a reconciliation by hand. Which things differ is not stored.
"""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import attrs

from payments_core.drift import FOR_A_PERSON
from payments_core.jobs.drift_cause import DriftCause
from payments_core.jobs.reconcile import Finding
from payments_core.ports import Checkpoints

# The checkpoint of the last full reconciliation by hand.
RECONCILIATION: Final = "reconciliation"
# Beyond this number a thing may be counted twice.
TOLD_MAX: Final = 100_000
# Runs of successive days count as equally far back.
SAME_RANGE: Final = timedelta(days=1)
_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.define
class DriftCounts:
    """Counts by kind; `lost_count`: repaired, and caused by a lost event.

    Objects created from `since` on were compared; None: all.
    """

    found: Counter[str] = attrs.field(factory=Counter)
    repaired: Counter[str] = attrs.field(factory=Counter)
    lost_count: int = 0
    since: datetime | None = None
    _told: set[tuple[str, str]] = attrs.field(factory=set, eq=False, repr=False)

    @property
    def left(self) -> Counter[str]:
        """Return what was not repaired."""
        return self.found - self.repaired

    @property
    def left_for_a_person_count(self) -> int:
        return sum(self.left[kind] for kind in FOR_A_PERSON)

    def outlives(self, later: Self) -> bool:
        """Say whether something is left that a later run did not compare.

        The later run went back less far, by more than `SAME_RANGE`.
        """
        missed = (later.since or _ALWAYS) - (self.since or _ALWAYS)
        return bool(self.left) and missed > SAME_RANGE

    def add(self, finding: Finding) -> bool:
        """Count a finding; say whether it is new."""
        kind, cause = finding.drift.kind.value, finding.cause
        key = (kind, finding.drift.subject)
        if key in self._told:
            return False
        if len(self._told) < TOLD_MAX:
            self._told.add(key)
        self.found[kind] += 1
        if finding.repaired:
            self.repaired[kind] += 1
            self.lost_count += cause is DriftCause.EVENT_LOST
        return True

    @property
    def facts(self) -> Mapping[str, object]:
        """Return the counts for JSON; `of_facts` reads them."""
        return {
            "found": {**self.found},
            "repaired": {**self.repaired},
            "lost": self.lost_count,
            "since": self.since.isoformat() if self.since else None,
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Self:
        return cls(
            Counter(facts["found"]),
            Counter(facts["repaired"]),
            facts["lost"],
            datetime.fromisoformat(since) if (since := facts.get("since")) else None,
        )


async def note_reconciliation(
    checkpoints: Checkpoints, counts: DriftCounts, *, until: datetime, now: datetime
) -> None:
    """Store the counts of a full reconciliation by hand of all created before `until`.

    If two end at once, one is stored. If the later compared less and the earlier left
    something, the earlier stays.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    kept = await checkpoints.claim(RECONCILIATION, now=now, lease=timedelta(0))
    if kept is not None:
        if kept.result and DriftCounts.of_facts(json.loads(kept.result)).outlives(
            counts
        ):
            return
        # This row is not work: the next run may write it, by any clock.
        lease = kept.lease.released(_ALWAYS)
        result = json.dumps(counts.facts)
        await checkpoints.save(
            attrs.evolve(kept, reached_at=until, result=result, lease=lease)
        )
