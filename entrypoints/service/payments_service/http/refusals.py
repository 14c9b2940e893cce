"""What a route refuses: stated beside it, and told by the OpenAPI document.

A route states the errors of its use case. What HTTP itself refuses follows from how the
route is made: whether it takes a body, a token, an idempotency key.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import attrs

from payments_core import errors
from payments_service.http.problems import STATUSES

_STATED: Final = "refuses"


@attrs.frozen
class Refusal:
    """A status and a code that an answer may have, and what it means."""

    status: HTTPStatus
    code: str
    meaning: str

    @classmethod
    def of(cls, kind: type[errors.PaymentsError]) -> "Refusal":
        """Return what an error of the core is answered with."""
        status = next(STATUSES[it] for it in kind.__mro__ if it in STATUSES)
        # Of its own docstring: an error without one would have its parent's.
        told, _, _ = (kind.__dict__.get("__doc__") or "").partition("\n")
        meaning = kind.message or told.rstrip(".") or kind.code.replace("_", " ")
        return cls(status, kind.code, meaning[:1].lower() + meaning[1:])


# Reaching a user: the first call registers them.
USER: Final = (
    errors.AccountErased,
    errors.AccountNotFound,
    errors.EmailTaken,
)
# Asking the gateway.
GATEWAY: Final = (
    errors.GatewayMisconfigured,
    errors.GatewayNotAttempted,
    errors.GatewayOutcomeUnknown,
    errors.GatewayRefused,
)
# Changing something there.
OPERATION: Final = (
    *GATEWAY,
    errors.Abandoned,
    errors.CalledOff,
    errors.IdempotencyKeyReused,
    errors.OperationInProgress,
)
# And trying a card, or charging one; an administrator's may go on despite that.
DECLINES: Final = (errors.ScopeRequired, errors.TooManyDeclines)

_BAD: Final = HTTPStatus.BAD_REQUEST
# Before anything of the route is looked at.
ALWAYS: Final = (
    Refusal(_BAD, "bad_host", "there is not one `Host`"),
    Refusal(_BAD, "malformed_request", "it is not HTTP/1.1"),
    Refusal(HTTPStatus.REQUEST_TIMEOUT, "slow_header", "the header took too long"),
    Refusal(
        HTTPStatus.TOO_MANY_REQUESTS, "too_many_pipelined", "too many requests wait"
    ),
    Refusal(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "header_too_large",
        "the header is over 32 KiB or 100 fields",
    ),
    Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "our fault; `request_id` finds it in our logs",
    ),
    Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too_many_connections",
        "there are as many connections as may be",
    ),
    Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, "shutting_down", "this process ends: send again"
    ),
    Refusal.of(errors.Overloaded),
)
# What any route of callers' may answer.
CALLER: Final = (
    Refusal(_BAD, "invalid_value", "a value makes no sense: `errors` says which"),
    Refusal(HTTPStatus.UNAUTHORIZED, "token_required", "there is no token"),
    Refusal.of(errors.InvalidToken),
    Refusal.of(errors.TokenInvalidated),
    Refusal.of(errors.KeysUnavailable),
    Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "card_data_refused",
        "card data does not come here",
    ),
    Refusal.of(errors.StoreUnavailable),
    Refusal.of(errors.AccountBusy),
)
# But of those that are not limited.
LIMITED: Final = Refusal.of(errors.RateLimited)
ADMIN: Final = (Refusal.of(errors.ScopeRequired),)
# Also where none is taken: one that is there is looked at.
ANY_BODY: Final = (
    Refusal(_BAD, "cut_off", "the body was cut off"),
    Refusal(HTTPStatus.REQUEST_TIMEOUT, "slow_body", "the body took over 5 s"),
    Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        "the body is over 512 KiB",
    ),
)
NO_BODY: Final = (Refusal(_BAD, "invalid_body", "no body is taken here"),)
TYPED_BODY: Final = (
    Refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "it is not `application/json`",
    ),
    Refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_encoding",
        "it has a content encoding",
    ),
)
JSON_BODY: Final = (
    Refusal(_BAD, "invalid_json", "it is not readable JSON"),
    Refusal(_BAD, "invalid_body", "a field is not as it has to be, or is there twice"),
)
KEY: Final = (
    Refusal(_BAD, "invalid_idempotency_key", "it is no idempotency key, or two"),
)


def refuses(*kinds: type[errors.PaymentsError] | Refusal) -> dict[str, Any]:
    """State what a route refuses, as the `opt` of its handler."""
    return {_STATED: kinds}


def stated(opt: Mapping[str, Any]) -> Iterable[Refusal]:
    """Return what a handler states."""
    for kind in opt.get(_STATED, ()):
        yield kind if isinstance(kind, Refusal) else Refusal.of(kind)
