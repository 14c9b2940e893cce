"""What the loops of a worker found and did, as this process sees it."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_service.back_fill_reports import BackFillReports
from payments_service.delivery_reports import DeliveryReports
from payments_service.metrics import families
from payments_service.purge_reports import PurgeReports
from payments_service.sweep_reports import SweepReports
from payments_service.work_reports import WorkReports


class WorkMetrics(Collector):
    """The outcomes of jobs and intents, as this process sees them."""

    def __init__(self, reports: WorkReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        yield from families.calls(
            "payments_work",
            "payments_work_duration_seconds",
            "Jobs and intents that were claimed",
            "kind",
            self._reports.calls,
        )


class BackFillMetrics(Collector):
    """What back-fill found, as this process sees it."""

    def __init__(self, reports: BackFillReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.counter(
            "payments_event_back_fill_events",
            "Events that back-fill found, by outcome.",
            ["outcome"],
            self._reports.counts,
        )
        yield CounterMetricFamily(
            "payments_event_back_fill_failures",
            "Turns of back-fill that stopped before their end.",
            value=self._reports.failures_count,
        )


class SweepMetrics(Collector):
    """What nightly sweeps found, as this process sees it."""

    def __init__(self, reports: SweepReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.counter(
            "payments_drifts",
            "What a nightly sweep found to differ from Stripe, by its kind.",
            ["kind"],
            self._reports.drifts,
        )
        yield families.counter(
            "payments_sweep_objects",
            "Stripe's objects that sweeps compared, by their list.",
            ["list"],
            self._reports.objects,
        )
        yield CounterMetricFamily(
            "payments_sweep_failures",
            "How often a sweep stopped before its end, to continue later.",
            value=self._reports.failures_count,
        )


class PurgeMetrics(Collector):
    """What purges deleted, as this process sees it."""

    def __init__(self, reports: PurgeReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.counter(
            "payments_purged",
            "What was deleted after its retention: rows, or days of bodies.",
            ["kind"],
            self._reports.counts,
        )


class DeliveryMetrics(Collector):
    """The results of attempts to deliver changes, as this process sees them."""

    def __init__(self, reports: DeliveryReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.counter(
            "payments_delivery_attempts",
            "Attempts to deliver a change: delivered, failed, or the last one (dead).",
            ["endpoint", "outcome"],
            self._reports.counts,
        )
