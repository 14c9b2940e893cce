"""The second listener: whether the process lives, is ready, and how it does."""

from collections.abc import Callable, Iterator

import attrs
from litestar import Litestar, Response, get
from litestar.datastructures import State
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.rate_limited_gateway import BreakerState, CircuitBreaker
from payments_core.errors import Unavailable
from payments_service.http import problems
from payments_service.http.request_context import RequestContext
from payments_service.http.requests import no_body


@attrs.define
class Readiness:
    """Whether this process takes requests; falls before the socket closes."""

    _store: PostgresStore
    # What else is wrong, in a few words.
    _trouble: Callable[[], str | None] = lambda: None
    draining: bool = False

    async def reason_against(self) -> str | None:
        if self.draining:
            return "draining"
        if trouble := self._trouble():
            return trouble
        try:
            await self._store.ping()
        except Unavailable:
            return "database unavailable"
        return None


@get("/livez")
async def livez() -> dict[str, str]:
    # The event loop answers, that is all: a restart would not mend a database.
    return {"status": "ok"}


@get("/readyz")
async def readyz(state: State) -> Response[dict[str, str]]:
    reason = await state.readiness.reason_against()
    if reason is None:
        return Response({"status": "ok"})
    return Response({"status": "not ready", "reason": reason}, status_code=503)


class GatewayMetrics(Collector):
    """How the payment gateway answers, as this process sees it."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker

    @override
    def collect(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "payments_gateway_breaker",
            "1 for the state that the circuit breaker of the payment gateway is in.",
            labels=["state"],
        )
        for known in BreakerState:
            state.add_metric([known.value], float(known is self._breaker.state))
        yield state
        yield CounterMetricFamily(
            "payments_gateway_breaker_opened",
            "How often the circuit breaker opened.",
            value=self._breaker.opened,
        )
        yield CounterMetricFamily(
            "payments_gateway_silent_calls",
            "Calls to the payment gateway that got no definite answer.",
            value=self._breaker.unknown_total,
        )


@get("/metrics")
async def metrics(state: State) -> Response[bytes]:
    return Response(
        generate_latest(state.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


def create_ops_app(readiness: Readiness, breaker: CircuitBreaker) -> RequestContext:
    registry = CollectorRegistry()
    registry.register(GatewayMetrics(breaker))
    app = Litestar(
        [livez, readyz, metrics],
        state=State({"readiness": readiness, "registry": registry}),
        before_request=no_body,
        exception_handlers=problems.HANDLERS,
        logging_config=None,
        openapi_config=None,
    )
    return RequestContext.of(app)
