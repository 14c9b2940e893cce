"""Tokens: revoke one, revoke all tokens of a user, list the revoked ones."""

from litestar import get, post
from litestar.params import JSONBody

from payments_core import errors
from payments_core.errors import InvalidValue
from payments_core.use_cases import (
    InvalidateToken,
    InvalidateUserTokens,
    ListInvalidatedTokens,
)
from payments_service.http.authentication import admin_only
from payments_service.http.bodies import TokenIn
from payments_service.http.limits import counted_as
from payments_service.http.parameters import Cursor, Limit, UserInPath
from payments_service.http.refusals import refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body, page_limit
from payments_service.http.schemas import (
    CutOffOut,
    RevocationsOut,
    TokenInvalidatedOut,
)
from payments_service.http.wired import Wired
from payments_service.presentation.arguments import decode_cursor
from payments_service.rate_limits import RequestKind


@post(
    "/tokens/invalidate",
    status_code=200,
    opt=refuses(errors.ScopeRequired, errors.TokenNotFound)
    | counted_as(RequestKind.REVOCATION),
)
async def invalidate_token(
    request: HttpRequest,
    data: JSONBody[TokenIn],
    invalidate: Wired[InvalidateToken],
) -> TokenInvalidatedOut:
    """Revoke a token.

    By its text: the caller's own token, or any token for an administrator; a token that
    is no longer valid is not an error (RFC 7009). By its issuer and id: only for an
    administrator. The revocation is stored at least as long as a token issued now can
    be valid, also if `expires_at` is earlier.
    """
    by_id = (data.issuer, data.jti, data.expires_at)
    if data.token is not None and by_id == (None, None, None):
        await invalidate(data.token, caller=request.user)
    elif data.token is None and data.issuer and data.jti and data.expires_at:
        await invalidate.by_id(
            data.issuer, data.jti, data.expires_at, caller=request.user
        )
    else:
        raise InvalidValue("token", "give a token, or issuer, jti and expires_at")
    return TokenInvalidatedOut()


@post(
    "/users/{user:str}/tokens/invalidate",
    status_code=200,
    before_request=no_body,
    opt=refuses(errors.AccountNotFound) | counted_as(RequestKind.REVOCATION),
)
async def invalidate_user_tokens(
    request: HttpRequest,
    user: UserInPath,
    revoke_all: Wired[InvalidateUserTokens],
) -> CutOffOut:
    """Revoke all tokens of a user that were issued until now.

    For an administrator, an id without an account is not an error: tokens may exist.
    """
    done = await revoke_all(user_in_path(user), caller=request.user)
    return CutOffOut(done.user_id, done.at)


@get("/tokens/invalidated", before_request=no_body, guards=[admin_only])
async def invalidated_tokens(
    request: HttpRequest,
    revocations: Wired[ListInvalidatedTokens],
    cursor: Cursor = None,
    limit: Limit = None,
) -> RevocationsOut:
    """List the tokens that are revoked and have not expired."""
    page = await revocations(
        after=decode_cursor(cursor),
        limit=page_limit(limit),
        caller=request.user,
    )
    return RevocationsOut.of(page)
