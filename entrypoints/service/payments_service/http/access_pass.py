"""Access passes, and the keys that they are verified with."""

from typing import Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency

from payments_core.use_cases import ReadPassKeys
from payments_service.http.etags import ETAG, NOT_MODIFIED, tagged
from payments_service.http.parameters import IfNoneMatch
from payments_service.http.requests import no_body
from payments_service.http.schemas import KeySetOut

# A key is published for as long before it signs.
KEYS_MAX_AGE_S: Final = 300


@get(
    "/.well-known/jwks.json",
    before_request=no_body,
    response_headers=[ETAG],
    responses=NOT_MODIFIED,
)
async def get_pass_keys(
    pass_keys: NamedDependency[ReadPassKeys], if_none_match: IfNoneMatch = None
) -> Response[KeySetOut]:
    """Return the keys that access passes are verified with."""
    shape = KeySetOut(pass_keys())
    return tagged(
        shape,
        msgspec.json.encode(shape),
        given=if_none_match,
        cache=f"public, max-age={KEYS_MAX_AGE_S}",
    )
