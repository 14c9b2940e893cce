"""Stripe, as this process sees it."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_adapters.rate_limited_gateway import (
    KEY,
    BreakerState,
    CircuitBreaker,
)
from payments_service.gateway_reports import GatewayReports
from payments_service.metrics import families


class GatewayMetrics(Collector):
    """The state of the payment gateway, as this process sees it."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.gauges(
            "payments_gateway_breaker",
            "1 for the state that the circuit breaker of Stripe is in.",
            "state",
            {it.value: float(it is self._breaker.state) for it in BreakerState},
        )
        yield CounterMetricFamily(
            "payments_gateway_breaker_opened",
            "How often the circuit breaker opened.",
            value=self._breaker.opened,
        )
        yield CounterMetricFamily(
            "payments_gateway_silent_calls",
            "Calls to Stripe that got no definite answer.",
            value=self._breaker.unknown_total,
        )
        refused = self._breaker.key.refused
        yield families.gauges(
            "payments_gateway_key_refused",
            "1 for what Stripe refuses our key: `key` means everything.",
            "what",
            {it: float(it in refused) for it in {KEY, *refused}},
        )
        yield CounterMetricFamily(
            "payments_gateway_key_refusals",
            "Calls that Stripe refused because of our key.",
            value=self._breaker.key.refused_total,
        )


class GatewayCallMetrics(Collector):
    """Calls to Stripe by operation, and how often the budget was used up."""

    def __init__(self, reports: GatewayReports) -> None:
        self._reports = reports

    @override
    def collect(self) -> Iterator[Metric]:
        yield from families.calls(
            "payments_gateway_calls",
            "payments_gateway_call_duration_seconds",
            "Calls to Stripe",
            "operation",
            self._reports.calls,
        )
        yield families.counter(
            "payments_gateway_budget_waits",
            "How often a call found the shared budget used up, and waited.",
            ["endpoint"],
            self._reports.waits,
        )
