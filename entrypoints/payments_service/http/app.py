"""The application: routes, what they need, and what happens to errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.types import ASGIApp

from payments_adapters.group_commit import GroupCommit
from payments_adapters.postgres.store import PostgresStore
from payments_core.use_cases import (
    AuthenticateCaller,
    GetPaymentStatus,
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
    ReceiveEvent,
    RegisterUser,
)
from payments_service.container import Container
from payments_service.http import PREFIX, problems, tokens, users
from payments_service.http.authentication import BearerAuthentication
from payments_service.http.edge import Edge
from payments_service.http.webhooks import webhooks

_NEEDS: Final = {
    "cut_off": InvalidateUserTokens,
    "invalidate": InvalidateToken,
    "register": RegisterUser,
    "revocations": ListInvalidatedTokens,
    "status": GetPaymentStatus,
}


def create_app(container: Container) -> Edge:
    """Return the whole application; its lifespan opens and closes the database."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with container[PostgresStore].opened():
            yield
            await container[GroupCommit].drain()

    # A function, because Litestar copies deeply what it is given, adapters included.
    def authenticated(app: ASGIApp) -> ASGIApp:
        return BearerAuthentication(app, container[AuthenticateCaller])

    for_callers = Router(
        "/",
        route_handlers=[
            users.put_user,
            users.get_payment_status,
            tokens.invalidate_token,
            tokens.invalidate_user_tokens,
            tokens.invalidated_tokens,
        ],
        middleware=[authenticated],
    )
    app = Litestar(
        [
            Router(
                PREFIX,
                route_handlers=[webhooks(container[ReceiveEvent]), for_callers],
            )
        ],
        dependencies={name: _provide(container, kind) for name, kind in _NEEDS.items()},
        exception_handlers=problems.HANDLERS,
        lifespan=[lifespan],
        # `logs` has configured them.
        logging_config=None,
        openapi_config=None,
    )
    return Edge(app)


def _provide(container: Container, kind: type[object]) -> Provide:
    use_case = container[kind]

    def provided() -> object:
        return use_case

    # Litestar builds its signature model from this.
    provided.__annotations__["return"] = kind
    return Provide(provided, sync_to_thread=False)
