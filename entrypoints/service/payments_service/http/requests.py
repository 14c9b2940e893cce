"""Reading requests: bodies, queries, numbers. Nothing is read beyond its limit."""

import asyncio
import json
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from litestar.types import Receive, Scope
from typing_extensions import override

from payments_core.errors import InvalidValue, Overloaded
from payments_core.events import EVENT_BODY_BYTES_MAX
from payments_service.card_data import find_card_data
from payments_service.http.bodies import Body
from payments_service.http.problems import FieldError, HttpProblem, pointer
from payments_service.lanes import ANY, LANE

BODY_BYTES_MAX: Final = EVENT_BODY_BYTES_MAX
BODY_TIMEOUT_S: Final = 5.0
PAGE_LENGTH_MAX: Final = 100

# Without either there is no body (RFC 9112, section 6.3).
ANNOUNCING: Final = frozenset({b"content-length", b"transfer-encoding"})

_T = TypeVar("_T", bound=Body)


class HttpRequest(Request[Any, Any, State]):
    """A request whose body is always read strictly and within limits.

    Litestar converts the result of `json` to the type of the handler's `data`, and is
    lenient: "1" would become a number. It does not convert an instance of that type.
    """

    __slots__ = ("_text",)

    @override
    async def body(self) -> bytes:
        """Return the body of a route that takes one.

        Raises:
            HttpProblem: see `check_json` and `read_body`; 400, the body is empty.
        """
        if not hasattr(self, "_text"):
            headers = headers_of(self.scope)
            check_json(headers)
            self._text = await read_body(headers, self.receive)
        if not self._text:
            # Litestar would report a missing argument.
            raise _unreadable()
        return self._text

    @override
    async def json(self) -> Any:
        """Return the body in the type that its handler declares.

        Raises:
            HttpProblem: see `body` and `decoded`.
        """
        data = self.route_handler.parsed_fn_signature.parameters["data"]
        return decoded(await self.body(), data.annotation)


def headers_of(scope: Scope) -> Mapping[bytes, bytes]:
    """Return a request's headers by name; the values of a repeated header are joined.

    So neither of two values counts as the only one.
    """
    given = [*scope["headers"]]
    found = dict(given)
    if len(found) < len(given):
        for name in found:
            found[name] = b",".join(value for key, value in given if key == name)
    return found


def check_query(query: bytes, handler: BaseRouteHandler) -> None:
    """Refuse a query with a field that its route does not declare, or that is repeated.

    Raises:
        InvalidValue: such a field; its name is "query" if it is not declared.
    """
    declared = {
        parameter.kwarg_definition.name or name
        for name, parameter in handler.parsed_fn_signature.parameters.items()
        if isinstance(parameter.kwarg_definition, QueryParameter)
    }
    seen = set[str]()
    for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in declared:
            taken = ", ".join(sorted(declared)) or "no field is allowed"
            raise InvalidValue("query", f"has a field that is not one of: {taken}")
        if name in seen:
            raise InvalidValue(name, "given more than once")
        seen.add(name)


def check_json(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body whose content type is not JSON, or that has a content encoding.

    Raises:
        HttpProblem: 415, it is such a body.
    """
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise HttpProblem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            "send the body without a content encoding",
        )
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise HttpProblem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the content type must be application/json",
        )


async def read_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
    """Return the body, within the limits of size and time.

    While the body is awaited, the request does not count as in flight (`lanes`). When
    it is complete, the limit is checked again: many clients could hold back the last
    byte, and then send it at once.

    Raises:
        Overloaded: the body was late, and the limit of requests in flight is reached.
        HttpProblem: 413, it is over `BODY_BYTES_MAX`; 408, the client is too slow; 400,
            the client disconnected before its end.
    """
    # A body that is too large is not read to its end, whether it is announced or not.
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced[:20]) > BODY_BYTES_MAX:
        raise _too_large()
    loop, lane, is_slow = asyncio.get_running_loop(), LANE.get(ANY), False

    def wait(until: float) -> None:
        nonlocal is_slow
        limit.reschedule(until)
        is_slow = True
        lane.in_flight_count -= 1

    try:
        async with asyncio.timeout(None) as limit:
            # The timer is set only if the body is not complete within this turn of the
            # loop: most bodies arrive with their headers, and setting a timer costs a
            # tenth of a webhook's time.
            waiting = loop.call_soon(wait, loop.time() + BODY_TIMEOUT_S)
            try:
                body = await _whole_body(receive)
            finally:
                waiting.cancel()
                # Before a refusal, because the request is uncounted again at its end.
                lane.in_flight_count += is_slow
    except TimeoutError:
        raise HttpProblem(
            HTTPStatus.REQUEST_TIMEOUT, "slow_body", "the body took too long"
        ) from None
    if is_slow and lane.in_flight_count > lane.limit:
        lane.on_shed(lane.name)
        raise Overloaded
    return body


def _too_large() -> HttpProblem:
    return HttpProblem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"the body is over {BODY_BYTES_MAX} bytes",
    )


async def _whole_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise HttpProblem(
                HTTPStatus.BAD_REQUEST, "cut_off", "the body is incomplete"
            )
        body += message["body"]
        if len(body) > BODY_BYTES_MAX:
            raise _too_large()
        if not message["more_body"]:
            return body


def decoded(body: bytes, shape: type[_T]) -> _T:
    """Return a body as an instance of `shape`; unknown fields are refused.

    The fields in `shape.names` are not checked for card numbers.

    Raises:
        HttpProblem: 400, the body is not valid, with the field and the reason; 422, it
            has card data.
    """
    try:
        text = body.decode()
        refuse_card_data(_without(shape.names, msgspec.json.decode(body)))
        _refuse_duplicates(text, shape)
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        field = FieldError(pointer(path.rstrip("`")), reason.replace("`", ""))
        raise HttpProblem(
            HTTPStatus.BAD_REQUEST,
            "invalid_body",
            "a field of the body is not valid",
            [field],
        ) from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise _unreadable() from None


def _unreadable() -> HttpProblem:
    return HttpProblem(
        HTTPStatus.BAD_REQUEST, "invalid_json", "the body is not valid JSON"
    )


def _refuse_duplicates(text: str, shape: type) -> None:
    """Refuse a body in which an object repeats a name: parsers treat it differently.

    Raises:
        HttpProblem: 400, a name is repeated; with the field, if it is known.
        ValueError: this parser does not accept it as JSON.
    """

    def unique(pairs: list[tuple[str, object]]) -> None:
        names = set[str]()
        for name, _ in pairs:
            if name in names:
                known = name in {
                    field.encode_name for field in msgspec.structs.fields(shape)
                }
                raise HttpProblem(
                    HTTPStatus.BAD_REQUEST,
                    "invalid_body",
                    "an object of the body repeats a name",
                    [FieldError(pointer(name) if known else "", "is repeated")],
                )
            names.add(name)

    # Parsed a second time, by a parser with this hook; no numbers are converted.
    json.loads(text, object_pairs_hook=unique, parse_int=len, parse_float=len)


def _without(names: Collection[str], value: object) -> object:
    """Return a body without the text fields in `names`."""
    if not isinstance(value, dict):
        return value
    return {
        name: inner
        for name, inner in value.items()
        if not (name in names and isinstance(inner, str))
    }


def refuse_card_data(value: object, at: str = "") -> None:
    """Refuse a value that contains a card's number, security code or track.

    Raises:
        HttpProblem: 422, it does; with the place, but without the data.
    """
    where = find_card_data(value, at)
    if where is not None:
        raise card_data_refused(where)


def card_data_refused(where: str) -> HttpProblem:
    return HttpProblem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "card_data_refused",
        "card data is not accepted: send Stripe's id of a payment method",
        [FieldError(where, "looks like card data")],
    )


async def no_body(request: Request[Any, Any, Any]) -> None:
    """Refuse a body; an empty object counts as no body.

    Raises:
        HttpProblem: 400, there is a body.
    """
    headers = headers_of(request.scope)
    if not headers.keys() & ANNOUNCING:
        return
    body = await read_body(headers, request.receive)
    if b"".join(body.split()) not in {b"", b"{}"}:
        raise HttpProblem(
            HTTPStatus.BAD_REQUEST, "invalid_body", "this route takes no body"
        )


def whole_number(
    name: str, text: str | None, least: int, most: int, default: int
) -> int:
    """Read a whole number of a query, in plain decimal digits.

    Raises:
        InvalidValue: it is not a whole number, or not in its range; named `name`.
    """
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_number or (text != "0" and text.startswith("0")):
        raise InvalidValue(name, f"not a whole number in {least}..{most}")
    if not least <= int(text) <= most:
        raise InvalidValue(name, f"not in {least}..{most}")
    return int(text)


def truth(name: str, text: str | None) -> bool:
    """Read `true` or `false` of a query; the default is false.

    Raises:
        InvalidValue: it is neither; named `name`.
    """
    if text not in {None, "true", "false"}:
        raise InvalidValue(name, "neither true nor false")
    return text == "true"


def page_limit(text: str | None) -> int:
    """Read `limit`.

    Raises:
        InvalidValue: it is not a whole number in its range.
    """
    if text is None:
        return PAGE_LENGTH_MAX
    if not (text.isascii() and text.isdigit() and len(text) < 4):  # noqa: PLR2004  # three digits
        raise InvalidValue("limit", f"not in 1..{PAGE_LENGTH_MAX}")
    if not 1 <= int(text) <= PAGE_LENGTH_MAX:
        raise InvalidValue("limit", f"not in 1..{PAGE_LENGTH_MAX}")
    return int(text)
