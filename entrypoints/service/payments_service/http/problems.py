"""The one table from errors to problems (RFC 9457). A problem never echoes input."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import msgspec
import structlog
from litestar import Response
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.types import Send

from payments_core import errors
from payments_service.logs import TRACE_ID

MEDIA_TYPE: Final = "application/problem+json"

Connection = ASGIConnection[Any, Any, Any, State]

STATUSES: Final = {
    errors.InvalidValue: HTTPStatus.BAD_REQUEST,
    errors.EventTypeMismatch: HTTPStatus.BAD_REQUEST,
    errors.BadSignature: HTTPStatus.BAD_REQUEST,
    errors.ScopeRequired: HTTPStatus.FORBIDDEN,
    errors.PriceNotAllowed: HTTPStatus.FORBIDDEN,
    errors.TrialNotAllowed: HTTPStatus.FORBIDDEN,
    errors.AccountNotFound: HTTPStatus.NOT_FOUND,
    errors.NotRecorded: HTTPStatus.NOT_FOUND,
    errors.FeatureNotFound: HTTPStatus.NOT_FOUND,
    errors.TokenNotFound: HTTPStatus.NOT_FOUND,
    errors.EventNotFound: HTTPStatus.NOT_FOUND,
    errors.EventApplied: HTTPStatus.CONFLICT,
    errors.EventClosed: HTTPStatus.CONFLICT,
    errors.EventOfOtherMode: HTTPStatus.CONFLICT,
    errors.EventNotLinkable: HTTPStatus.CONFLICT,
    errors.EventBodyGone: HTTPStatus.GONE,
    errors.JobNotFound: HTTPStatus.NOT_FOUND,
    errors.EmailTaken: HTTPStatus.CONFLICT,
    errors.PositionNotGiven: HTTPStatus.GONE,
    errors.PassesNotOffered: HTTPStatus.CONFLICT,
    errors.CustomerTaken: HTTPStatus.CONFLICT,
    errors.AccountErased: HTTPStatus.GONE,
    errors.AccountInUse: HTTPStatus.CONFLICT,
    errors.PaymentLinked: HTTPStatus.CONFLICT,
    errors.SubscriptionLinked: HTTPStatus.CONFLICT,
    errors.PaymentOfSubscription: HTTPStatus.CONFLICT,
    errors.PaymentNotFound: HTTPStatus.NOT_FOUND,
    errors.SubscriptionNotFound: HTTPStatus.NOT_FOUND,
    errors.IntentNotFound: HTTPStatus.NOT_FOUND,
    errors.IntentEnded: HTTPStatus.CONFLICT,
    errors.NotToBeCalledOff: HTTPStatus.CONFLICT,
    errors.CalledOff: HTTPStatus.CONFLICT,
    errors.AlreadySubscribed: HTTPStatus.CONFLICT,
    errors.SubscriptionEnded: HTTPStatus.CONFLICT,
    errors.PeriodNotPaid: HTTPStatus.CONFLICT,
    errors.OperationInProgress: HTTPStatus.CONFLICT,
    errors.CardDeclined: HTTPStatus.PAYMENT_REQUIRED,
    errors.Abandoned: HTTPStatus.GATEWAY_TIMEOUT,
    errors.SyncedRecently: HTTPStatus.TOO_MANY_REQUESTS,
    errors.RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    errors.TooManyDeclines: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Rejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Untrusted: HTTPStatus.UNAUTHORIZED,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.PaymentsError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field; `pointer` is a JSON pointer (RFC 6901)."""

    pointer: str
    reason: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    # Only if the request is traced.
    trace_id: str | None = None
    errors: Sequence[FieldError] = ()
    # Of some problems: the bank's reason, and the object that prevents the request.
    decline_code: str | None = None
    intent_id: str | None = None
    subscription_id: str | None = None


_MORE: Final = ("decline_code", "intent_id", "subscription_id")


class HttpProblem(Exception):  # noqa: N818  # an answer, not a failure of ours
    """A request that the HTTP layer refuses, before any use case runs."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        fields: Sequence[FieldError] = (),
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields
        self.more = more


BUG: Final = HttpProblem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal_error",
    "an error of this service; its log has the request id",
)


def request_id_of(connection: Connection) -> str:
    return str(connection.scope.get("state", {}).get("request_id", ""))


def body_of(problem: HttpProblem, request_id: str) -> bytes:
    """Return the body of a problem, also for answers without Litestar."""
    return msgspec.json.encode(shown(problem, request_id))


def shown(problem: HttpProblem, request_id: str) -> Problem:
    """Return a problem as an answer shows it."""
    return Problem(
        type=f"urn:payments-gateway:problem:{problem.code}",
        title=problem.status.phrase,
        status=problem.status,
        detail=problem.detail,
        code=problem.code,
        request_id=request_id,
        trace_id=TRACE_ID.get() or None,
        errors=problem.fields,
        **problem.more,
    )


async def send_problem(problem: HttpProblem, request_id: str, send: Send) -> None:
    """Answer with a problem without Litestar."""
    body = body_of(problem, request_id)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    if problem.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", str(errors.RETRY_AFTER_S).encode()))
    await send(
        {"type": "http.response.start", "status": problem.status, "headers": headers}
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _answer(
    connection: Connection, problem: HttpProblem, **headers: str
) -> Response[bytes]:
    return Response(
        body_of(problem, request_id_of(connection)),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={
            "Cache-Control": "no-store",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


def of_error(connection: Connection, error: errors.PaymentsError) -> Response[bytes]:
    """Answer an error of the core."""
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    headers = {}
    is_told = isinstance(error, errors.KeysUnavailable)
    # Missing keys are logged once elsewhere, not for each unauthenticated request.
    if status is HTTPStatus.SERVICE_UNAVAILABLE and not is_told:
        structlog.get_logger().warning("unavailable", exc_info=error.__cause__ or error)
    if error.retry_after_s is not None:
        headers["Retry_After"] = str(error.retry_after_s)
    if isinstance(error, errors.RateLimited):
        # The format of draft-ietf-httpapi-ratelimit-headers-11.
        headers["RateLimit_Policy"] = (
            f'"{error.policy}";q={error.quota};w={error.window_s}'
        )
        headers["RateLimit"] = f'"{error.policy}";r=0;t={error.retry_after_s}'
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW_Authenticate"] = 'Bearer error="invalid_token"'
    more = {name: value for name in _MORE if (value := getattr(error, name, None))}
    problem = HttpProblem(status, error.code, str(error), _fields_of(error), more)
    return _answer(connection, problem, **headers)


def _fields_of(error: errors.PaymentsError) -> Sequence[FieldError]:
    field, reason = getattr(error, "field", None), getattr(error, "reason", None)
    if field is None or reason is None:
        return ()
    return [FieldError(pointer(field), reason)]


def of_bad_request(connection: Connection, error: HttpProblem) -> Response[bytes]:
    """Answer a request that the HTTP layer refuses."""
    if error.status is HTTPStatus.UNAUTHORIZED:
        return _answer(connection, error, WWW_Authenticate="Bearer")
    return _answer(connection, error)


def of_http(connection: Connection, error: HTTPException) -> Response[bytes]:
    """Answer a refusal of the framework (404, 405, 413), whose text may echo input."""
    status = HTTPStatus(error.status_code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return of_bug(connection, error)
    # Litestar spells the name of the header in lower case.
    allowed = (error.headers or {}).get("allow")
    headers = {"Allow": allowed} if allowed is not None else {}
    problem = HttpProblem(status, status.name.lower(), status.description)
    return _answer(connection, problem, **headers)


def of_bug(connection: Connection, error: Exception) -> Response[bytes]:
    """Answer an unexpected exception; its details are only logged."""
    structlog.get_logger().error("bug", exc_info=error)
    return _answer(connection, BUG)


def pointer(field: str) -> str:
    """Turn `data.object.amount` or `items[0]` into a JSON pointer."""
    path = field.replace("[", ".").replace("]", "")
    return "".join(f"/{part}" for part in path.split(".") if part)


HANDLERS: Final[dict[int | type[Exception], Any]] = {
    errors.PaymentsError: of_error,
    HttpProblem: of_bad_request,
    HTTPException: of_http,
    Exception: of_bug,
}
