"""The second listener: whether the process lives, is ready, and how it does."""

from collections.abc import Callable, Iterable

import attrs
from litestar import Litestar, Response, get
from litestar.datastructures import State
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import Unavailable
from payments_service.http import problems
from payments_service.http.request_context import RequestContext
from payments_service.http.requests import no_body
from payments_service.metrics.backlog import BacklogMetrics


@attrs.define
class Readiness:
    """Whether this process takes requests; falls before the socket closes."""

    _store: PostgresStore
    # What else is wrong, in a few words.
    _trouble: Callable[[], str | None] = lambda: None
    # Whether it is known which tokens are revoked.
    _is_leased: Callable[[], bool] = lambda: True
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
        return None if self._is_leased() else "revocations not read"


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


@get("/metrics")
async def metrics(state: State) -> Response[bytes]:
    if state.backlog is not None:
        await state.backlog.measure()
    return Response(
        generate_latest(state.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


def create_ops_app(
    readiness: Readiness,
    shown: Iterable[Collector],
    backlog: BacklogMetrics | None = None,
) -> RequestContext:
    """Return the app of the ops port.

    `backlog` is that of what is shown which is measured each time.
    """
    registry = CollectorRegistry()
    for collector in shown:
        registry.register(collector)
    app = Litestar(
        [livez, readyz, metrics],
        state=State(
            {
                "readiness": readiness,
                "registry": registry,
                "backlog": backlog,
            }
        ),
        before_request=no_body,
        exception_handlers=problems.HANDLERS,
        logging_config=None,
        openapi_config=None,
    )
    return RequestContext.of(app)
