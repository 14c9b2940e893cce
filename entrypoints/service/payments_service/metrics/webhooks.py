"""Webhooks, from their signature to the end of their batch."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_adapters.stripe import StripeSignatures
from payments_service.ingest_queue import IngestQueue
from payments_service.metrics import families
from payments_service.webhook_reports import WebhookReports


class WebhookMetrics(Collector):
    """Webhooks that changed nothing, as this process sees them."""

    def __init__(self, reports: WebhookReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        for name, text, counts in (
            ("refused", "Webhooks that were refused.", self._reports.refused),
            (
                "quarantined",
                "Events that were quarantined.",
                self._reports.quarantined,
            ),
            (
                "ignored",
                "Events that were ignored.",
                self._reports.ignored,
            ),
        ):
            yield families.counter(
                f"payments_webhooks_{name}", text, ["reason"], counts
            )


class ReceivedMetrics(Collector):
    """Verified webhooks: by which secret, and with which immediate outcome."""

    def __init__(self, reports: WebhookReports, signatures: StripeSignatures) -> None:
        self._reports = reports
        self._signatures = signatures

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.counter(
            "payments_webhook_events",
            "Events that webhooks brought, by immediate outcome; `failed` is "
            "answered 503, and Stripe retries.",
            ["type", "outcome"],
            self._reports.received,
        )
        counts = enumerate(self._signatures.verified_counts, 1)
        yield families.counter(
            "payments_webhooks_verified",
            "Webhooks by the position in its setting of the secret that verified them.",
            ["secret"],
            {str(place): count for place, count in counts},
        )


class IngestMetrics(Collector):
    """The queue in which events wait to be recorded together."""

    def __init__(self, queue: IngestQueue) -> None:
        self._queue = queue

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.gauge(
            "payments_ingest_waiting",
            "Events that wait to be recorded, or are being recorded.",
            self._queue.waiting_count,
        )
        yield families.histogram(
            "payments_ingest_batch_events",
            "How many events were recorded together.",
            [],
            [([], self._queue.batches)],
        )
        yield CounterMetricFamily(
            "payments_ingest_retries",
            "How often an event was retried because of a lock.",
            value=self._queue.retries_count,
        )
        yield families.gauge(
            "payments_ingest_busy_accounts",
            "Accounts that are saved alone because they are slow or locked.",
            self._queue.alone_count,
        )
