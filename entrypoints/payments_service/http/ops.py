"""The second listener: whether the process lives, and may be sent requests."""

import attrs
from litestar import Litestar, Response, get
from litestar.datastructures import State

from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import Unavailable
from payments_service.http import problems
from payments_service.http.edge import Edge


@attrs.define
class Readiness:
    """Whether this process takes requests; falls before the socket closes."""

    _store: PostgresStore
    draining: bool = False

    async def reason_against(self) -> str | None:
        if self.draining:
            return "draining"
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


def create_ops_app(readiness: Readiness) -> Edge:
    app = Litestar(
        [livez, readyz],
        state=State({"readiness": readiness}),
        exception_handlers=problems.HANDLERS,
        logging_config=None,
        openapi_config=None,
    )
    return Edge(app)
