"""The rate limit that a route's requests count against.

A route states its kind in `opt`, if it is not a plain read or change. Webhooks have no
caller, so they are not counted.
"""

from collections.abc import Mapping
from typing import Any, Final

from payments_core.caller import Caller
from payments_service.lanes import READING
from payments_service.rate_limits import RateLimiter, RequestKind

_STATED: Final = "counted_as"


def counted_as(kind: RequestKind) -> dict[str, Any]:
    """Return the `opt` of a handler that states how its requests are counted."""
    return {_STATED: kind}


def count(
    limiter: RateLimiter, caller: Caller, method: str, opt: Mapping[str, Any]
) -> None:
    """Count a request of a verified caller.

    Raises:
        RateLimited: the caller has made too many requests of this kind.
    """
    if _STATED in opt:
        kind = opt[_STATED]
    else:
        kind = RequestKind.READ if method in READING else RequestKind.CHANGE
    limiter.take(caller, kind)
