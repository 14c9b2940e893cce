"""What a user has access to, and the catalogue."""

from collections.abc import Mapping

import msgspec
from litestar import Response, get

from payments_core import errors
from payments_core.caller import Caller
from payments_core.identity import Email, UserId
from payments_core.use_cases import ReadCatalogue
from payments_service.http.account_reads import (
    AccountReads,
    Shown,
    read_by,
    tagged_read,
)
from payments_service.http.etags import ETAG, NOT_MODIFIED, tagged
from payments_service.http.parameters import Feature, IfNoneMatch, UserInPath
from payments_service.http.refusals import USER, refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body
from payments_service.http.wired import Wired
from payments_service.presentation.access import (
    CatalogueOut,
    FeatureAccessOut,
    UserAccessOut,
)


async def _read_access(
    reads: AccountReads, user: UserId | Email, caller: Caller, query: Mapping[str, str]
) -> Shown:
    feature = query.get("feature")
    out: UserAccessOut | FeatureAccessOut
    if feature is None:
        found = await reads.access(user, caller=caller)
        out = UserAccessOut.of(found)
    else:
        found, to = await reads.access.to_feature(user, feature, caller=caller)
        out = FeatureAccessOut.of_user(found.user_id, feature, to)
    return Shown(out, found.user_id, found.version)


@get(
    "/users/{user:str}/access",
    before_request=no_body,
    response_headers=[ETAG],
    responses=NOT_MODIFIED,
    opt=refuses(*USER, errors.FeatureNotFound) | read_by(_read_access),
)
async def get_access(  # each of its request or by name
    request: HttpRequest,
    user: UserInPath,
    *,
    reads: Wired[AccountReads],
    feature: Feature = None,
    if_none_match: IfNoneMatch = None,
) -> Response[UserAccessOut | FeatureAccessOut]:
    """Show what a user has access to, until when, and why.

    Access is listed by product and by feature; with `feature`, only for that feature.
    """
    query = {} if feature is None else {"feature": feature}
    shown = await _read_access(reads, user_in_path(user), request.user, query)
    return tagged_read(request.scope, reads, shown, given=if_none_match)


@get(
    "/catalogue",
    before_request=no_body,
    response_headers=[ETAG],
    responses=NOT_MODIFIED,
)
async def get_catalogue(
    read_catalogue: Wired[ReadCatalogue],
    if_none_match: IfNoneMatch = None,
) -> Response[CatalogueOut]:
    """List the products of the catalogue, and the features that they give.

    The list changes when the service is started with another catalogue.
    """
    out = CatalogueOut.of(*read_catalogue())
    body = msgspec.json.encode(out)
    return tagged(out, body, given=if_none_match, cache="private, no-cache")
