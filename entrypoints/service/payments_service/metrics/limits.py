"""What limits refused."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_service.limit_reports import LimitReports


class LimitMetrics(Collector):
    """What limits refused, and declines of cards, as this process sees it."""

    def __init__(self, reports: LimitReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        for name, label, text, counts in (
            (
                "payments_requests_limited",
                "limit",
                "Requests of callers that had too many of their kind.",
                self._reports.limited,
            ),
            (
                "payments_requests_shed",
                "lane",
                "Requests that were refused because too many were in flight.",
                self._reports.shed,
            ),
        ):
            metric = CounterMetricFamily(name, text, labels=[label])
            for value, count in counts.items():
                metric.add_metric([value], count)
            yield metric
        yield CounterMetricFamily(
            "payments_cards_declined",
            "Operations during which the bank declined a card.",
            value=self._reports.declined_count,
        )
        yield CounterMetricFamily(
            "payments_declines_refused",
            "Operations that were refused because of declines before them.",
            value=self._reports.declines_refused_count,
        )
