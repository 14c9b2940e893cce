"""Authenticate the caller: every route below this middleware needs a valid token."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.middleware import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)
from litestar.types import ASGIApp
from typing_extensions import override

from payments_core.errors import InvalidToken
from payments_core.use_cases import AuthenticateCaller
from payments_service.card_data import find_card_data
from payments_service.http.limits import count
from payments_service.http.problems import HttpProblem
from payments_service.http.requests import card_data_refused, check_query
from payments_service.rate_limits import RateLimiter

HEADER_BYTES_MAX: Final = 8 * 1024
_BEARER: Final = re.compile(rb"(?i:bearer) ([^\s]+)")


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the one bearer token of a request.

    Raises:
        HttpProblem: 401, there is no token.
        InvalidToken: there are several, or the token is malformed.
    """
    given = [value for name, value in headers if name.lower() == b"authorization"]
    if not given:
        raise HttpProblem(
            HTTPStatus.UNAUTHORIZED,
            "token_required",
            "send a token: Authorization: Bearer …",
        )
    match = _BEARER.fullmatch(given[0]) if len(given[0]) <= HEADER_BYTES_MAX else None
    if len(given) > 1 or match is None or not match[1].isascii():
        raise InvalidToken("not one bearer token")
    return match[1].decode()


# A cursor contains ids in base64; only this service writes it.
_OURS: Final = frozenset({"cursor"})


def refuse_cards_in_query(query: bytes) -> None:
    """Refuse card data in a query; bodies are checked later.

    Paths and headers are not checked, except an idempotency key: they are neither
    stored nor sent on, and ids and tokens of other systems can look like a card
    number.

    Raises:
        HttpProblem: 422, the query has card data.
    """
    given = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    judged = [(name, value) for name, value in given if name not in _OURS]
    values = [value for _, value in judged]
    if find_card_data([{name: value} for name, value in judged] + [values]) is not None:
        raise card_data_refused("/query")


class BearerAuthentication(AbstractAuthenticationMiddleware):
    def __init__(
        self, app: ASGIApp, authenticate: AuthenticateCaller, limiter: RateLimiter
    ) -> None:
        super().__init__(app)
        self._authenticate = authenticate
        self._limiter = limiter

    @override
    async def authenticate_request(
        self, connection: ASGIConnection[object, object, object, State]
    ) -> AuthenticationResult:
        query = connection.scope["query_string"]
        if query:
            refuse_cards_in_query(query)
        token = bearer_token(connection.scope["headers"])
        caller = await self._authenticate(token)
        handler = connection.scope["route_handler"]
        count(self._limiter, caller, connection.scope["method"], handler.opt)  # type: ignore[typeddict-item]  # HTTP alone comes here
        if query:
            check_query(query, handler)
        return AuthenticationResult(user=caller, auth=None)


async def admin_only(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Refuse a caller that is not an administrator, before a body is read: a guard.

    Raises:
        ScopeRequired: the caller lacks the scope.
    """
    connection.user.require_admin()


async def feed_only(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Refuse a caller that may not read the feed: a guard.

    Raises:
        ScopeRequired: the caller lacks the scope.
    """
    connection.user.require_feed()
