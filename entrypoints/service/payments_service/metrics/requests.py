"""Requests of the public port: how many, their status, how long they took."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_service.metrics import families
from payments_service.tallies import RequestTallies


class RequestMetrics(Collector):
    """Requests by method, route and status."""

    def __init__(self, tallies: RequestTallies) -> None:
        self._tallies = tallies

    @override
    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "payments_http_requests",
            "Requests by the template of their route. `unmatched`: no route has this "
            "path and method; `shed`: refused as too many before routing. Status "
            "`none`: no answer.",
            labels=["method", "route", "status"],
        )
        for (method, route, status), tally in self._tallies.answers.items():
            requests.add_metric([method, route, str(status or "none")], tally.count)
        yield requests
        yield families.histogram(
            "payments_http_request_duration_seconds",
            "How long requests took, from their header to the end of their answer.",
            ["method", "route"],
            self._tallies.durations.items(),
        )
        yield families.gauge(
            "payments_http_requests_in_flight",
            "Requests whose answers are not finished.",
            self._tallies.in_flight_count,
        )
