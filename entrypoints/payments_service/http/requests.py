"""Reading requests: bodies, paths, cursors. Nothing is read past its limit."""

import asyncio
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request
from litestar.datastructures import State

from payments_core.errors import InvalidValue
from payments_core.events import EVENT_BODY_BYTES_MAX
from payments_service.http.problems import BadRequest, FieldError, pointer

BODY_BYTES_MAX: Final = EVENT_BODY_BYTES_MAX
BODY_TIMEOUT_S: Final = 5.0
PAGE_LENGTH_MAX: Final = 100

HttpRequest = Request[Any, Any, State]
_T = TypeVar("_T")


async def raw_body(request: HttpRequest) -> bytes:
    """Return the body as it came: JSON by its type, not encoded, not too slow.

    Raises:
        BadRequest: 415 for another type or an encoding, 408 for a slow sender.
    """
    headers = request.headers
    if headers.get("content-encoding", "identity") != "identity":
        raise BadRequest(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "send the body as it is, without a content encoding",
        )
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequest(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the content type has to be application/json",
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body()
    except TimeoutError:
        raise BadRequest(
            HTTPStatus.REQUEST_TIMEOUT, "slow_body", "the body took too long"
        ) from None


async def json_body(request: HttpRequest, shape: type[_T]) -> _T:
    """Return the body in its shape; unknown fields are refused.

    Raises:
        BadRequest: 400 with the field and the reason.
    """
    body = await raw_body(request)
    try:
        body.decode()
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        field = FieldError(pointer(path.rstrip("`")), reason.replace("`", ""))
        raise BadRequest(
            HTTPStatus.BAD_REQUEST,
            "invalid_body",
            "a field of the body is not as it has to be",
            [field],
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest(
            HTTPStatus.BAD_REQUEST, "invalid_json", "the body is not readable JSON"
        ) from None


def page_limit(text: str | None) -> int:
    """Read `limit`.

    Raises:
        InvalidValue: not a whole number in its range.
    """
    if text is None:
        return PAGE_LENGTH_MAX
    if not (text.isascii() and text.isdigit() and len(text) < 4):  # noqa: PLR2004  # three digits
        raise InvalidValue("limit", f"not in 1..{PAGE_LENGTH_MAX}")
    if not 1 <= int(text) <= PAGE_LENGTH_MAX:
        raise InvalidValue("limit", f"not in 1..{PAGE_LENGTH_MAX}")
    return int(text)
