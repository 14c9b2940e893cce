"""The results of deliveries: counted, and failures logged."""

from collections import Counter
from typing import Final

import attrs
import structlog
from typing_extensions import override

from payments_core.deliveries import Delivery
from payments_core.jobs import DeliveryListener

_WORDS: Final = ("delivered", "failed", "dead")


@attrs.define
class DeliveryReports(DeliveryListener):
    """Counts of one process, by endpoint and result of the attempt."""

    counts: Counter[tuple[str, str]] = attrs.field(init=False, factory=Counter)

    def begin(self, endpoint: str) -> None:
        """Begin at zero: an alert on growth misses the first value of a new series."""
        self.counts.update({(endpoint, word): 0 for word in _WORDS})

    @override
    def delivered(self, delivery: Delivery) -> None:
        self.counts[delivery.key.endpoint, "delivered"] += 1

    @override
    def failed(self, after: Delivery) -> None:
        log = structlog.get_logger().bind(
            delivery=after.key.id, attempts=after.lease.attempts, reason=after.reason
        )
        if after.dead:
            self.counts[after.key.endpoint, "dead"] += 1
            log.error("delivery is dead")
            return
        self.counts[after.key.endpoint, "failed"] += 1
        log.warning("delivery failed")

    @override
    def bug(self, delivery: Delivery, error: Exception) -> None:
        structlog.get_logger().error("bug", delivery=delivery.key.id, exc_info=error)
