"""What the nightly sweep found: counted and logged.

Rule: a log line has kinds and ids, and never the values: they may be e-mails.
"""

from collections import Counter
from datetime import datetime

import attrs
import structlog
from typing_extensions import override

from payments_core.drift import DriftKind
from payments_core.errors import PaymentsError
from payments_core.jobs import Finding, SweepListener
from payments_core.object_lists import ObjectList


@attrs.define
class SweepReports(SweepListener):
    """Counts of one process: drift by its kind, objects by their list."""

    drifts: Counter[str] = attrs.field(init=False)
    objects: Counter[str] = attrs.field(init=False)
    failures_count: int = attrs.field(init=False, default=0)

    @drifts.default
    def _no_drift_yet(self) -> Counter[str]:
        # An alert on growth misses the first value of a new series.
        return Counter(dict.fromkeys((it.value for it in DriftKind), 0))

    @objects.default
    def _no_object_yet(self) -> Counter[str]:
        return Counter(dict.fromkeys((it.value for it in ObjectList), 0))

    @override
    def read(self, list_: ObjectList, objects: int) -> None:
        self.objects[list_.value] += objects

    @override
    def found(self, finding: Finding) -> None:
        drift = finding.drift
        self.drifts[drift.kind.value] += 1
        structlog.get_logger().warning(
            "drift",
            kind=drift.kind.value,
            subject=drift.subject,
            user_id=drift.user_id,
            cause=finding.cause.value,
            repaired=finding.repaired,
        )

    @override
    def ended(self, until: datetime) -> None:
        structlog.get_logger().info("sweep ended", compared_until=until.isoformat())

    @override
    def failed(self, error: Exception) -> None:
        self.failures_count += 1
        said = "sweep stopped; it goes on later"
        if isinstance(error, PaymentsError):
            structlog.get_logger().warning(said, reason=str(error))
        else:
            # A bug, whose message may quote anything.
            reason = type(error).__name__
            structlog.get_logger().error(said, reason=reason, exc_info=error)
