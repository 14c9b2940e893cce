"""Access passes, and the keys that verify them."""

from http import HTTPStatus
from typing import Final

import msgspec
from litestar import Response, get, post

from payments_core import errors
from payments_core.use_cases import IssueAccessPass, ReadPassKeys
from payments_service.http.etags import ETAG, NOT_MODIFIED, tagged
from payments_service.http.parameters import IfNoneMatch, UserInPath
from payments_service.http.refusals import USER, refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body
from payments_service.http.schemas import AccessPassOut, KeySetOut
from payments_service.http.wired import Wired

# A key must be published for this long before it signs.
KEYS_MAX_AGE_S: Final = 300


@post(
    "/users/{user:str}/access-pass",
    status_code=HTTPStatus.OK,
    before_request=no_body,
    opt=refuses(*USER, errors.PassesNotOffered),
)
async def issue_access_pass(
    request: HttpRequest, user: UserInPath, issue: Wired[IssueAccessPass]
) -> AccessPassOut:
    """Issue a signed access pass, to check access without this service.

    It is a JWT (EdDSA) that is valid for some minutes: `features` has each feature of
    the user, with the second in which it ends. `/.well-known/jwks.json` has the keys.
    """
    signed = await issue(user_in_path(user), caller=request.user)
    return AccessPassOut(signed.text, signed.content.expires_at)


@get(
    "/.well-known/jwks.json",
    before_request=no_body,
    response_headers=[ETAG],
    responses=NOT_MODIFIED,
)
async def get_pass_keys(
    pass_keys: Wired[ReadPassKeys], if_none_match: IfNoneMatch = None
) -> Response[KeySetOut]:
    """Return the keys that verify access passes."""
    shape = KeySetOut(pass_keys())
    return tagged(
        shape,
        msgspec.json.encode(shape),
        given=if_none_match,
        cache=f"public, max-age={KEYS_MAX_AGE_S}",
    )
