"""Who calls. Every route below this middleware needs a valid bearer token."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.middleware import (
    AbstractAuthenticationMiddleware,
    AuthenticationResult,
)
from litestar.types import ASGIApp, Scope
from typing_extensions import override

from payments_core.errors import InvalidToken
from payments_core.use_cases import AuthenticateCaller
from payments_service.card_data import is_card_field
from payments_service.http.problems import HttpProblem
from payments_service.http.requests import refuse_card_data

HEADER_BYTES_MAX: Final = 8 * 1024
_BEARER: Final = re.compile(rb"(?i:bearer) ([^\s]+)")


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the one bearer token of a request.

    Raises:
        HttpProblem: 401, there is none.
        InvalidToken: there are several, or it does not have the form of a token.
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


# Not for reading: whose it is, is not known yet.
_UNREAD: Final = frozenset({b"authorization", b"cookie"})


def refuse_cards_around(scope: Scope) -> None:
    """Refuse card data in the path, the query or a header; bodies come later.

    Raises:
        HttpProblem: 422.
    """
    query = scope.get("query_string", b"").decode("latin-1")
    refuse_card_data(scope["path"], "/path")
    refuse_card_data(unquote_plus(query), "/query")
    for field, _ in parse_qsl(query, keep_blank_values=True):
        if is_card_field(field):
            refuse_card_data({field: ""}, "/query")
    for name, value in scope["headers"]:
        if name not in _UNREAD:
            refuse_card_data(value.decode("latin-1"), "/headers")


class BearerAuthentication(AbstractAuthenticationMiddleware):
    def __init__(self, app: ASGIApp, authenticate: AuthenticateCaller) -> None:
        super().__init__(app)
        self._authenticate = authenticate

    @override
    async def authenticate_request(
        self, connection: ASGIConnection[object, object, object, State]
    ) -> AuthenticationResult:
        refuse_cards_around(connection.scope)
        token = bearer_token(connection.scope["headers"])
        return AuthenticationResult(user=await self._authenticate(token), auth=None)
