"""What back-fill found, and its failures: counted and logged.

Rule: a refusal by the gateway is logged each time that it is called, with back-off;
      events that are no longer listed are one error, once.
"""

from collections import Counter
from datetime import datetime

import attrs
import structlog
from typing_extensions import override

from payments_core.events import EventState, GatewayEvent
from payments_core.use_cases import BackFillListener
from payments_core.use_cases.back_fill_events import DUPLICATE


@attrs.define
class BackFillReports(BackFillListener):
    """Counts of one process, by the outcome of the events."""

    counts: Counter[str] = attrs.field(init=False)
    failures_count: int = attrs.field(init=False, default=0)

    @counts.default
    def _none_yet(self) -> Counter[str]:
        # An alert on growth misses the first value of a new series.
        return Counter(dict.fromkeys((DUPLICATE, *(it.value for it in EventState)), 0))

    @override
    def found(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count

    @override
    def set_aside(self, event: GatewayEvent, error: Exception) -> None:
        structlog.get_logger().error(
            "event set aside", event_id=event.id, event_type=event.type, exc_info=error
        )

    @override
    def failed(self, error: Exception) -> None:
        self.failures_count += 1
        structlog.get_logger().warning(
            "event back-fill stopped; it goes on later", reason=str(error)
        )

    @override
    def lost(self, since: datetime, until: datetime) -> None:
        structlog.get_logger().error(
            "events may be lost: Stripe does not list them any more",
            since=since.isoformat(),
            until=until.isoformat(),
            advice="only syncs show what changed in this time: "
            f"payments reconcile --since {since:%Y-%m-%d}",
        )
