"""The refusals of a route: stated by the route, and listed in the OpenAPI document.

A route states the errors of its use case. The refusals of HTTP itself follow from the
route: whether it takes a body, a token, an idempotency key.
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
    """A status and a code that an answer can have, and the meaning."""

    status: HTTPStatus
    code: str
    meaning: str

    @classmethod
    def of(cls, kind: type[errors.PaymentsError]) -> "Refusal":
        """Return the refusal for an error of the core."""
        status = next(STATUSES[it] for it in kind.__mro__ if it in STATUSES)
        # Only its own docstring: `kind.__doc__` could be the parent's.
        told, _, _ = (kind.__dict__.get("__doc__") or "").partition("\n")
        meaning = kind.message or told.rstrip(".") or kind.code.replace("_", " ")
        return cls(status, kind.code, meaning[:1].lower() + meaning[1:])


# Routes of a user; the user's first request registers them.
USER: Final = (
    errors.AccountErased,
    errors.AccountNotFound,
    errors.EmailTaken,
)
# Routes that call the gateway.
GATEWAY: Final = (
    errors.GatewayMisconfigured,
    errors.GatewayNotAttempted,
    errors.GatewayOutcomeUnknown,
    errors.GatewayRefused,
)
# Routes that change something at the gateway.
OPERATION: Final = (
    *GATEWAY,
    errors.Abandoned,
    errors.CalledOff,
    errors.IdempotencyKeyReused,
    errors.OperationInProgress,
)
# Routes that try or charge a card; an administrator can override the declines.
DECLINES: Final = (errors.ScopeRequired, errors.TooManyDeclines)

_BAD: Final = HTTPStatus.BAD_REQUEST
# Refused before the route is known.
ALWAYS: Final = (
    Refusal(_BAD, "bad_host", "the request has no `Host`, or several"),
    Refusal(_BAD, "malformed_request", "the request is not HTTP/1.1"),
    Refusal(HTTPStatus.REQUEST_TIMEOUT, "slow_header", "the header took too long"),
    Refusal(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too_many_pipelined",
        "too many pipelined requests wait on the connection",
    ),
    Refusal(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "header_too_large",
        "the header is over 32 KiB or 100 fields",
    ),
    Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal_error",
        "an error of this service; its log has the `request_id`",
    ),
    Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too_many_connections",
        "the limit of connections is reached",
    ),
    Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "shutting_down",
        "the process is shutting down: retry the request",
    ),
    Refusal.of(errors.Overloaded),
)
# Refusals of every route that needs a token.
CALLER: Final = (
    Refusal(_BAD, "invalid_value", "a value is not valid: `errors` names it"),
    Refusal(HTTPStatus.UNAUTHORIZED, "token_required", "there is no token"),
    Refusal.of(errors.InvalidToken),
    Refusal.of(errors.TokenInvalidated),
    Refusal.of(errors.KeysUnavailable),
    Refusal(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "card_data_refused",
        "the request has card data",
    ),
    Refusal.of(errors.StoreUnavailable),
    Refusal.of(errors.AccountBusy),
)
# The same routes, because their requests are rate-limited.
LIMITED: Final = Refusal.of(errors.RateLimited)
ADMIN: Final = (Refusal.of(errors.ScopeRequired),)
# Also of routes without a body, because they read it if it is sent.
ANY_BODY: Final = (
    Refusal(_BAD, "cut_off", "the body is incomplete"),
    Refusal(HTTPStatus.REQUEST_TIMEOUT, "slow_body", "the body took over 5 s"),
    Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        "the body is over 512 KiB",
    ),
)
NO_BODY: Final = (Refusal(_BAD, "invalid_body", "the route takes no body"),)
TYPED_BODY: Final = (
    Refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "the content type is not `application/json`",
    ),
    Refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_encoding",
        "the body has a content encoding",
    ),
)
JSON_BODY: Final = (
    Refusal(_BAD, "invalid_json", "the body is not valid JSON"),
    Refusal(_BAD, "invalid_body", "a field is not valid, or is repeated"),
)
KEY: Final = (
    Refusal(
        _BAD, "invalid_idempotency_key", "the key is malformed, or there are several"
    ),
)


def refuses(*kinds: type[errors.PaymentsError] | Refusal) -> dict[str, Any]:
    """Return the `opt` of a handler that states what its route refuses."""
    return {_STATED: kinds}


def stated(opt: Mapping[str, Any]) -> Iterable[Refusal]:
    """Return the refusals that a handler states."""
    for kind in opt.get(_STATED, ()):
        yield kind if isinstance(kind, Refusal) else Refusal.of(kind)
