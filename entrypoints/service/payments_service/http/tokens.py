"""Tokens: revoke one, revoke all of a user's, list the revoked ones."""

from litestar import get, post
from litestar.di import NamedDependency

from payments_core.errors import InvalidValue
from payments_core.use_cases import (
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
)
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import (
    HttpRequest,
    json_body,
    no_body,
    page_limit,
    query_value,
)
from payments_service.http.schemas import (
    CutOffOut,
    RevocationsOut,
    TokenIn,
    TokenInvalidatedOut,
)
from payments_service.presentation.arguments import decode_cursor


@post("/tokens/invalidate", status_code=200)
async def invalidate_token(
    request: HttpRequest, invalidate: NamedDependency[InvalidateToken]
) -> TokenInvalidatedOut:
    given = await json_body(request, TokenIn, ids=("token", "issuer", "jti"))
    by_id = (given.issuer, given.jti, given.expires_at)
    if given.token is not None and by_id == (None, None, None):
        await invalidate(given.token, caller=request.user)
    elif given.token is None and given.issuer and given.jti and given.expires_at:
        await invalidate.by_id(
            given.issuer, given.jti, given.expires_at, caller=request.user
        )
    else:
        raise InvalidValue("token", "give a token, or issuer, jti and expires_at")
    return TokenInvalidatedOut()


@post("/users/{user:str}/tokens/invalidate", status_code=200, before_request=no_body)
async def invalidate_user_tokens(
    request: HttpRequest, user: str, revoke_all: NamedDependency[InvalidateUserTokens]
) -> CutOffOut:
    done = await revoke_all(user_in_path(user), caller=request.user)
    return CutOffOut(done.user_id, done.at)


@get("/tokens/invalidated", before_request=no_body)
async def invalidated_tokens(
    request: HttpRequest, revocations: NamedDependency[ListInvalidatedTokens]
) -> RevocationsOut:
    page = await revocations(
        after=decode_cursor(query_value(request, "cursor")),
        limit=page_limit(query_value(request, "limit")),
        caller=request.user,
    )
    return RevocationsOut.of(page)
