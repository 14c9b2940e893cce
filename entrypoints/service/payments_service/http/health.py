"""The ops port: liveness, readiness and metrics of the process."""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Final

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
from payments_service.metrics.families import Measured

# A quick failover does not make a process unready.
READ_ONLY_S_MAX: Final = 5.0


class Reason(StrEnum):
    """Why a process is not ready: a code for programs, see `docs/lifecycle.md`."""

    DRAINING = "draining"
    KEYS_NOT_READ = "keys_not_read"
    STRIPE_KEY_REFUSED = "stripe_key_refused"
    CHILD_PROCESS_DOWN = "child_process_down"
    DATABASE_UNAVAILABLE = "database_unavailable"
    DATABASE_READ_ONLY = "database_read_only"
    REVOCATIONS_NOT_READ = "revocations_not_read"


_DETAILS: Final = {
    Reason.DRAINING: "shutting down; requests that still arrive are answered",
    Reason.DATABASE_UNAVAILABLE: "the database does not answer",
    Reason.DATABASE_READ_ONLY: "the database is read-only, by a failover or a setting",
    Reason.REVOCATIONS_NOT_READ: "it is not known which tokens are revoked",
}


@attrs.frozen
class NotReady:
    """Why a process is not ready; `detail` is for people."""

    reason: Reason
    detail: str

    @classmethod
    def of(cls, reason: Reason) -> "NotReady":
        return cls(reason, _DETAILS[reason])


@attrs.define
class Readiness:
    """Whether this process is ready; it becomes unready before the socket closes.

    `troubles` return other reasons against it, as a short text, or None.
    """

    _store: PostgresStore
    _troubles: Mapping[Reason, Callable[[], str | None]] = attrs.field(factory=dict)
    # Whether it is known which tokens are revoked.
    _is_leased: Callable[[], bool] = lambda: True
    draining: bool = False

    async def reason_against(self) -> NotReady | None:
        if self.draining:
            return NotReady.of(Reason.DRAINING)
        for reason, trouble in self._troubles.items():
            if detail := trouble():
                return NotReady(reason, detail)
        try:
            await self._store.ping()
        except Unavailable:
            return NotReady.of(Reason.DATABASE_UNAVAILABLE)
        is_leased, writes = self._is_leased(), self._store.writability
        # Without writes there is no lease: report the cause.
        if writes.lost_for_s >= READ_ONLY_S_MAX or (writes.is_lost and not is_leased):
            return NotReady.of(Reason.DATABASE_READ_ONLY)
        return None if is_leased else NotReady.of(Reason.REVOCATIONS_NOT_READ)


@get("/livez")
async def livez() -> dict[str, str]:
    # Only the event loop is checked: a restart would not repair a database.
    return {"status": "ok"}


@get("/readyz")
async def readyz(state: State) -> Response[dict[str, str]]:
    against = await state.readiness.reason_against()
    if against is None:
        return Response({"status": "ok"})
    told = {"status": "not ready", "reason": against.reason, "detail": against.detail}
    return Response(told, status_code=503)


@get("/metrics")
async def metrics(state: State) -> Response[bytes]:
    for it in state.measured:
        await it.measure()
    return Response(
        generate_latest(state.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


def create_ops_app(readiness: Readiness, shown: Iterable[Collector]) -> RequestContext:
    """Return the app of the ops port; it calls `Measured.measure` at each scrape."""
    registry, shown = CollectorRegistry(), [*shown]
    for collector in shown:
        registry.register(collector)
    app = Litestar(
        [livez, readyz, metrics],
        state=State(
            {
                "readiness": readiness,
                "registry": registry,
                "measured": [it for it in shown if isinstance(it, Measured)],
            }
        ),
        before_request=no_body,
        exception_handlers=problems.HANDLERS,
        logging_config=None,
        openapi_config=None,
    )
    return RequestContext.of(app)
