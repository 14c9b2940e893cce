"""What HTTP is read by: the connection, headers, queries and bodies."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import msgspec
from litestar import Response, get
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from fuzz.reader import CANARY, Reader
from payments_adapters.webhooks_out import sender
from payments_client import client
from payments_core.errors import InvalidToken, InvalidValue
from payments_service.http import bodies
from payments_service.http.authentication import bearer_token, refuse_cards_in_query
from payments_service.http.etags import tagged
from payments_service.http.operations import idempotency_key
from payments_service.http.parameters import Cursor, Limit
from payments_service.http.problems import HttpProblem
from payments_service.http.requests import (
    HttpRequest,
    check_json,
    check_query,
    decoded,
    headers_of,
    read_body,
)
from support.connection import Listener, rounds
from support.stripe_bodies import NOON

_PROBLEMS: Final = (HttpProblem, InvalidToken, InvalidValue)


# The connection


class _Connection:
    """Sends a listener what comes in packets; the first byte says how long they are."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._failed)
        self._error: object = None

    def _failed(self, _: object, context: Mapping[str, Any]) -> None:
        self._error = context.get("exception") or context["message"]

    def __call__(self, data: bytes) -> object:
        kind = self._loop.run_until_complete(self._sent(data))
        if self._error is not None:
            error, self._error = self._error, None
            raise error if isinstance(error, Exception) else AssertionError(error)
        return kind

    async def _sent(self, data: bytes) -> object:
        listener = Listener()
        listener.reads_body = True
        listener.go.set()
        connection, transport = listener.connect()
        length = (data[0] + 1 if data and data[0] < 255 else len(data)) or 1
        for begin in range(1, len(data), length):
            connection.data_received(data[begin : begin + length])
            if begin % 64 == 1:
                await rounds(2)
        await rounds(4)
        connection.connection_lost(None)
        await rounds(4)
        connections = listener.connections
        if connections.connections or connections._awaited or connections._idle:
            raise AssertionError("a connection that is gone is still known")
        return _statuses(transport.written)


def _statuses(written: bytes) -> Sequence[bytes]:
    """Return the statuses of the answers; each has the length that it says."""
    statuses = list[bytes]()
    while written:
        head, between, rest = written.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        if not between or f"{lines[0].decode()}\r\n".encode() not in _STATUS_LINES:
            raise AssertionError(f"no answer: {head!r}")
        fields = dict(line.split(b": ", 1) for line in lines[1:])
        if lines[0] == _CONTINUE:
            written = rest
            continue
        statuses.append(lines[0])
        written = rest[int(fields[b"content-length"]) :]
    return tuple(statuses)


_CONTINUE: Final = b"HTTP/1.1 100 Continue"
_STATUS_LINES: Final = frozenset(STATUS_LINE.values())
_REQUESTS: Final = (
    b"GET /held?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n"
        b"Expect: 100-continue\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n"
    ),
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    (
        b"GET /a%20b HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nContent-Length: 1\r\n\r\nx"
    ),
)

# Headers


def _fields(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields of a header; uvicorn gives names in lower case."""
    parted = (line.partition(b": ") for line in data.split(b"\n"))
    return [(name.lower(), value) for name, _, value in parted]


async def _receive() -> Any:
    return {"type": "http.request", "body": b"{}", "more_body": False}


def _headers(data: bytes) -> object:
    fields = _fields(data)
    headers = headers_of({"headers": fields})  # type: ignore[arg-type]  # all it reads
    loop = asyncio.new_event_loop()
    try:
        body = loop.run_until_complete(read_body(headers, _receive))
    finally:
        loop.close()
    check_json(headers)
    return (bool(bearer_token(fields)), body)


def _bearer(data: bytes) -> object:
    return bool(bearer_token([(b"authorization", data)]))


class _Caller:
    class token:  # noqa: N801  # as the caller has it
        issuer = "users"
        user_id = "ada"


def _key(data: bytes) -> object:
    values = data.split(b"\n")
    scope = {
        "type": "http",
        "method": "POST",
        "path_template": "/x",
        "user": _Caller,
        "headers": [(b"idempotency-key", it) for it in values],
    }
    request = HttpRequest(scope)  # type: ignore[arg-type]  # all that is read
    key = idempotency_key(request, values[0].decode("latin-1"))
    if key is None or not key.isprintable():
        raise AssertionError("it is stored as it is")
    return True


def _if_none_match(data: bytes) -> object:
    answer: Response[Any] = tagged(
        {}, b"{}", given=data.decode("latin-1"), cache="no-store"
    )
    return answer.status_code


# Queries


@get("/")
async def _listed(cursor: Cursor = None, limit: Limit = None) -> None:
    """Take what lists take."""


def _query(data: bytes) -> object:
    refuse_cards_in_query(data)
    check_query(data, _listed)
    return True


# Bodies

_SHAPES: Final = (
    bodies.UserIn,
    bodies.LinkIn,
    bodies.UnlinkIn,
    bodies.CardIn,
    bodies.OrderIn,
    bodies.ChangeIn,
    bodies.PreviewIn,
    bodies.TokenIn,
)


def _body(data: bytes) -> object:
    kinds = list[object]()
    problem: HttpProblem | None = None
    for shape in _SHAPES:
        try:
            found = decoded(data, shape)
        except HttpProblem as error:
            problem = error
            continue
        kinds.append(shape)
        match found:
            case bodies.OrderIn():
                found.order()
            case bodies.ChangeIn():
                found.change()
            case _:
                pass
    if problem is not None and not kinds:
        raise problem
    return tuple(kinds)


def _examples() -> list[bytes]:
    examples = [it for shape in _SHAPES for it in shape.examples()]
    return [
        *(msgspec.json.encode(it) for it in examples),
        json.dumps({"reason": CANARY, "user_id": CANARY, "password": CANARY}).encode(),
    ]


# Answers


def _problem(data: bytes) -> object:
    """Read what the service, or a proxy in front of it, answers our client."""
    fields, _, body = data.partition(b"\n\n")
    headers = [(b"content-type", b"application/problem+json"), (b"retry-after", fields)]
    answer = httpx.Response(503, headers=headers, content=body)
    return (type(client._told(answer)), type(client._retry_after_s(answer)))


def _retry_after(data: bytes) -> object:
    """Read what a receiver of webhooks answers."""
    return type(sender._retry_after(data.decode("latin-1"), NOON))


_PROBLEM: Final = {
    "type": "about:blank",
    "title": "t",
    "status": 503,
    "detail": "d",
    "code": "c",
    "request_id": "r",
    "errors": [{"pointer": "/a", "reason": "b"}],
}
_HEADER: Final = (
    b"content-type: application/json; charset=utf-8\ncontent-length: 2\n"
    b"content-encoding: identity\nhost: a\n"
    b"authorization: Bearer " + CANARY.encode() + b".b.c"
)

HTTP: Final = (
    Reader(
        "connection",
        _Connection(),
        [
            *(bytes([size]) + it for it in _REQUESTS for size in (0, 6, 255)),
            bytes([40]) + b"".join(_REQUESTS) * 4,
        ],
        bytes_max=100_000,
        weight=0.4,
    ),
    Reader("header fields", _headers, [_HEADER], _PROBLEMS, weight=0.3),
    Reader(
        "authorization",
        _bearer,
        [b"Bearer " + CANARY.encode() + b".b.c"],
        _PROBLEMS,
    ),
    Reader(
        "idempotency key",
        _key,
        [b"a-key_1.2:3", b'"a-key"', b"a\nb", CANARY.encode() + b" "],
        _PROBLEMS,
        weight=0.5,
    ),
    Reader(
        "if-none-match",
        _if_none_match,
        [b'W/"a", "b"', b"*"],
        bytes_max=33_000,
        weight=0.5,
    ),
    Reader(
        "query",
        _query,
        [b"cursor=a%20b&limit=1", b"cursor=4242+4242+4242+4242&a=" + CANARY.encode()],
        _PROBLEMS,
        bytes_max=33_000,
    ),
    Reader(
        "body", _body, _examples(), (HttpProblem, InvalidValue), 520_000, weight=0.5
    ),
    Reader(
        "answer to the client",
        _problem,
        [
            b"30\n\n" + json.dumps(_PROBLEM).encode(),
        ],
        weight=0.3,
    ),
    Reader(
        "retry-after",
        _retry_after,
        [b"120", b"Wed, 21 Oct 2026 07:28:00 GMT", b"Wed, 21 Oct 2026 07:28 +2359"],
    ),
)
