"""How many differences a sweep found, by kind, and how many of them it repaired.

Rule 1: what two lists show (a charge, and a refund of it) is counted once by a process.
        One that goes on with the sweep of another process may count it again.
Rule 2: the numbers are kept with the checkpoint of the nightly sweep, or under a name
        of their own for a reconciliation by hand. Which things differ is not kept.
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

# The checkpoint of the last reconciliation by hand that compared all.
RECONCILIATION: Final = "reconciliation"
# More are counted, and may be counted twice.
TOLD_MAX: Final = 100_000
# Runs of successive days go back equally far.
SAME_RANGE: Final = timedelta(days=1)
_ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.define
class DriftCounts:
    """Counts by kind; `lost_count` of what was repaired because its event was lost.

    `since` is from when on what was made was compared; None: from the beginning.
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
        """Say whether something is left that a later run did not look at.

        It went back less far, by more than `SAME_RANGE`.
        """
        missed = (later.since or _ALWAYS) - (self.since or _ALWAYS)
        return bool(self.left) and missed > SAME_RANGE

    def add(self, finding: Finding) -> bool:
        """Count a finding; say whether it is a new one."""
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
        """Return the counts as JSON has them: `of_facts` reads them."""
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
    """Keep what a reconciliation by hand of all that was made before `until` found.

    Of two that end at once one is kept, and of two of which the later one compared
    less, the earlier one where it left something.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    kept = await checkpoints.claim(RECONCILIATION, now=now, lease=timedelta(0))
    if kept is not None:
        if kept.result and DriftCounts.of_facts(json.loads(kept.result)).outlives(
            counts
        ):
            return
        # It is no work to be done: the next run may write it, by whatever clock.
        lease = kept.lease.released(_ALWAYS)
        result = json.dumps(counts.facts)
        await checkpoints.save(
            attrs.evolve(kept, reached_at=until, result=result, lease=lease)
        )
