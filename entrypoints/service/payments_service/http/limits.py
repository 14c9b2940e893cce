"""Which limit a route's requests are counted by.

A route states it beside its handler, if it is no plain read or change. Webhooks have no
caller.
"""

from collections.abc import Mapping
from typing import Any, Final

from payments_core.caller import Caller
from payments_service.lanes import READING
from payments_service.rate_limits import RateLimiter, RequestKind

_STATED: Final = "counted_as"


def counted_as(kind: RequestKind) -> dict[str, Any]:
    """State how requests of a route are counted, as the `opt` of its handler."""
    return {_STATED: kind}


def count(
    limiter: RateLimiter, caller: Caller, method: str, opt: Mapping[str, Any]
) -> None:
    """Count a request of a verified caller.

    Raises:
        RateLimited: the caller has made too many of its kind.
    """
    if _STATED in opt:
        kind = opt[_STATED]
    else:
        kind = RequestKind.READ if method in READING else RequestKind.CHANGE
    limiter.take(caller, kind)
