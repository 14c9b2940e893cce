"""What a user has access to, and what there is to have."""

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from payments_core import errors
from payments_core.use_cases import ReadAccess, ReadCatalogue
from payments_service.http.etags import ETAG, NOT_MODIFIED, tagged
from payments_service.http.parameters import Feature, IfNoneMatch, UserInPath
from payments_service.http.refusals import USER, refuses
from payments_service.http.request_context import user_in_path
from payments_service.http.requests import HttpRequest, no_body
from payments_service.http.revalidation import OF_ACCOUNTS, REVALIDATED, AccountTags
from payments_service.presentation.access import (
    CatalogueOut,
    FeatureAccessOut,
    UserAccessOut,
)


@get(
    "/users/{user:str}/access",
    before_request=no_body,
    response_headers=[ETAG],
    responses=NOT_MODIFIED,
    opt=refuses(*USER, errors.FeatureNotFound) | REVALIDATED,
)
async def get_access(  # noqa: PLR0913  # each of its request or by name
    request: HttpRequest,
    user: UserInPath,
    *,
    read_access: NamedDependency[ReadAccess],
    tags: NamedDependency[AccountTags],
    feature: Feature = None,
    if_none_match: IfNoneMatch = None,
) -> Response[UserAccessOut | FeatureAccessOut]:
    """Say what a user has access to, until when, and because of what.

    By product and by feature; with `feature`, to that one alone.
    """
    named, caller = user_in_path(user), request.user
    out: UserAccessOut | FeatureAccessOut
    if feature is None:
        found = await read_access(named, caller=caller)
        out = UserAccessOut.of(found)
    else:
        found, to = await read_access.to_feature(named, feature, caller=caller)
        out = FeatureAccessOut.of_user(found.user_id, feature, to)
    return tagged(
        out,
        msgspec.json.encode(out),
        given=if_none_match,
        cache=OF_ACCOUNTS,
        tag=tags.of(request.scope, found.user_id, found.version),
    )


@get(
    "/catalogue",
    before_request=no_body,
    response_headers=[ETAG],
    responses=NOT_MODIFIED,
)
async def get_catalogue(
    read_catalogue: NamedDependency[ReadCatalogue],
    if_none_match: IfNoneMatch = None,
) -> Response[CatalogueOut]:
    """List what is sold, and which features it gives.

    It changes when the service is started with another catalogue.
    """
    out = CatalogueOut.of(*read_catalogue())
    body = msgspec.json.encode(out)
    return tagged(out, body, given=if_none_match, cache="private, no-cache")
