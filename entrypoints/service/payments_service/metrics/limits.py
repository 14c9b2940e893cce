"""Refusals by limits."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_service.limit_reports import LimitReports
from payments_service.metrics import families


class LimitMetrics(Collector):
    """Refusals by limits, and declines of cards, as this process sees them."""

    def __init__(self, reports: LimitReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.counter(
            "payments_requests_limited",
            "Requests refused because the caller had too many of their kind.",
            ["limit"],
            self._reports.limited,
        )
        yield families.counter(
            "payments_requests_shed",
            "Requests that were refused because too many were in flight.",
            ["lane"],
            self._reports.shed,
        )
        yield CounterMetricFamily(
            "payments_cards_declined",
            "Operations during which the bank declined a card.",
            value=self._reports.declined_count,
        )
        yield CounterMetricFamily(
            "payments_declines_refused",
            "Operations that were refused because of earlier declines.",
            value=self._reports.declines_refused_count,
        )
