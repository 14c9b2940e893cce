"""A connection without a socket: its limits, its deadlines, and its refusals."""

import inspect
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from httptools import HttpRequestParser
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from payments_service.http import protocol
from payments_service.http.protocol import (
    HEADER_BYTES_MAX,
    HEADER_S_MAX,
    HEADERS_MAX,
    PIPELINED_MAX,
    UNREAD_S_MAX,
    Connections,
    LimitedProtocol,
    server_of,
)
from support.connection import KEEP_ALIVE_S, Listener, Transport, rounds

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELD = b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
READ = 64 * 1024


def problem(transport: Transport) -> tuple[int, str]:
    """Return the status and the code of the only answer, which must be a problem."""
    assert transport.is_closing()
    head, _, body = transport.written.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    told = json.loads(body)
    assert told["request_id"] == headers["x-request-id"]
    assert str(told["status"]) == lines[0].split()[1]
    return told["status"], told["code"]


TOO_LARGE = (431, "header_too_large")


# What is too much


def with_fields(count: int) -> bytes:
    fields = b"".join(b"a%d: b\r\n" % number for number in range(count - 1))
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"


def with_bytes(count: int) -> bytes:
    return (GET[:-2] + b"b: ").ljust(count - 4, b"x") + b"\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1_000, READ])
@pytest.mark.parametrize(
    ("header", "is_taken"),
    [
        (with_fields(HEADERS_MAX), True),
        (with_fields(HEADERS_MAX + 1), False),
        (with_bytes(HEADER_BYTES_MAX), True),
        (with_bytes(HEADER_BYTES_MAX + 1), False),
        (b"GET /" + b"p" * HEADER_BYTES_MAX + b" HTTP/1.1\r\nHost: a\r\n\r\n", False),
    ],
)
async def test_t65_a_header_is_taken_up_to_its_limits(
    header: bytes, size: int, *, is_taken: bool
) -> None:
    """
    To the field and to the byte, in whatever pieces it arrives; beyond, 431.
    """
    listener = Listener()
    connection, transport = listener.connect()

    for at in range(0, len(header), size):
        connection.data_received(header[at : at + size])
    await rounds()

    if is_taken:
        assert transport.written.startswith(b"HTTP/1.1 200")
    else:
        assert problem(transport) == TOO_LARGE
    assert len(listener.seen) == is_taken


FLOODS: dict[str, tuple[bytes, bytes]] = {
    "short fields": (b"GET / HTTP/1.1\r\n", b"a: b\r\n"),
    "one name": (b"GET / HTTP/1.1\r\n", b"a"),
    "one value": (b"GET / HTTP/1.1\r\na: ", b"b"),
    "a path": (b"GET /", b"p"),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n"),
    "one trailer": (CHUNKED + b"1\r\nx\r\n0\r\na: ", b"b"),
    "an extension of a chunk": (CHUNKED + b"1;a=", b"b"),
}


@pytest.mark.parametrize(("begin", "more"), FLOODS.values(), ids=FLOODS.keys())
async def test_t65_a_header_without_an_end_is_cut_off(
    begin: bytes, more: bytes
) -> None:
    """
    So is anything else that the parser would store or skip for ever, trailers included;
    what comes after the refusal is not even parsed.
    """
    listener = Listener()
    listener.reads_body = True
    connection, transport = listener.connect()

    sent = 0
    connection.data_received(begin)
    while not transport.is_closing() and sent < 10 * READ:
        connection.data_received(more * (READ // len(more)))
        sent += READ
        await rounds()
    connection.data_received(GET)
    await rounds()

    assert problem(transport) == TOO_LARGE
    assert sent <= 2 * READ
    assert transport.written.count(b"HTTP/1.1") == 1


async def test_t65_no_trailer_becomes_a_field_of_the_request() -> None:
    """
    A trailer arrives after the request was judged by its header.
    """
    listener = Listener()
    listener.reads_body = True
    connection, transport = listener.connect()

    connection.data_received(CHUNKED)
    await rounds()
    connection.data_received(b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    await rounds()

    assert transport.written.startswith(b"HTTP/1.1 200")
    assert [name for name, _ in listener.seen[0]["headers"]] == [
        b"host",
        b"transfer-encoding",
    ]


async def test_t65_a_large_body_is_no_large_header() -> None:
    """
    Bodies have a limit of their own; a request after one in the same read is whole.
    """
    listener = Listener()
    listener.reads_body = True
    connection, transport = listener.connect()
    size = 3 * HEADER_BYTES_MAX
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size

    connection.data_received(post + b"x" * size + GET[:9])
    connection.data_received(GET[9:])
    await rounds()
    connection.data_received(post)
    for _ in range(3):
        connection.data_received(b"x" * HEADER_BYTES_MAX)
        await rounds()
    connection.data_received(CHUNKED + b"20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\n\r\n")
    await rounds()

    assert transport.written.count(b"HTTP/1.1 200") == 4


async def test_t65_empty_lines_before_a_request_are_none_of_its_header() -> None:
    """
    They are skipped (RFC 9112, section 2.2).
    """
    listener = Listener()
    connection, transport = listener.connect()

    connection.data_received(b"\r\n" * HEADER_BYTES_MAX + GET[:9])
    connection.data_received(GET[9:])
    await rounds()

    assert transport.written.startswith(b"HTTP/1.1 200")


async def test_t65_a_body_that_is_skipped_has_its_answer_already() -> None:
    """
    A later refusal only ends the connection.
    """
    listener = Listener()
    connection, transport = listener.connect()
    connection.data_received(CHUNKED + b"0\r\na: ")
    await rounds()

    connection.data_received(b"b" * READ)

    assert transport.is_closing()
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert transport.written.count(b"HTTP/1.1") == 1


# What is not a request


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        CHUNKED[:-2] + b"Content-Length: 1\r\n\r\n",
        CHUNKED + b"x\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_t56_what_is_not_http_is_a_problem(sent: bytes) -> None:
    """
    400 like every other error: machine-readable, and with a request id.
    """
    listener = Listener()
    listener.reads_body = True
    connection, transport = listener.connect()

    connection.data_received(sent)
    await rounds()

    assert problem(transport) == (400, "malformed_request")


async def test_t56_a_request_before_a_malformed_one_gets_its_own_answer() -> None:
    """
    A request that was done is never answered with another request's error.
    """
    listener = Listener()
    connection, transport = listener.connect()

    connection.data_received(HELD + b"hello\r\n\r\n")
    await rounds()
    before = transport.written
    listener.go.set()
    await rounds()

    assert before == b""
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert transport.written.count(b"HTTP/1.1") == 1
    assert transport.is_closing()


async def test_t56_a_malformed_body_behind_a_request_in_flight_ends_both() -> None:
    """
    An answer in the wrong place would be taken for the first request's.
    """
    listener = Listener()
    connection, transport = listener.connect()

    connection.data_received(HELD + CHUNKED + b"x\r\n")
    await rounds()

    assert (transport.written, transport.is_closing()) == (b"", True)


H2C = b"Connection: upgrade\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize("body", [b"Content-Length: 30", b"Transfer-Encoding: chunked"])
async def test_t56_an_upgrade_with_a_body_is_refused(body: bytes) -> None:
    """
    The parser skips the body: the request would be answered as if it had none, and the
    body would be read as the next one. Some clients request h2c by themselves.
    """
    listener = Listener()
    connection, transport = listener.connect()

    post = b"POST / HTTP/1.1\r\nHost: a\r\n"
    connection.data_received(post + H2C + body + b"\r\n\r\n")
    connection.data_received(GET)
    await rounds()

    assert problem(transport) == (400, "upgrade_with_body")
    assert listener.seen == []


async def test_t56_an_upgrade_without_a_body_is_an_ordinary_request() -> None:
    """
    The last of its connection: what comes after it is not read.
    """
    listener = Listener()
    connection, transport = listener.connect()

    connection.data_received(GET[:-2] + H2C + b"\r\n")
    connection.data_received(GET)
    await rounds()

    assert len(listener.seen) == 1
    assert transport.written.startswith(b"HTTP/1.1 200")
    assert transport.is_closing()


# Deadlines


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ([], None),
        ([b"\r\n"], None),
        ([b"G"], (408, "slow_header")),
        ([GET[:-2]], (408, "slow_header")),
        ([GET, b"GET / HT"], (408, "slow_header")),
    ],
)
async def test_t65_a_header_has_a_deadline(
    sent: list[bytes], answer: tuple[int, str] | None
) -> None:
    """
    From the connection, or from its first byte if there was a request before. A client
    that has sent nothing gets no answer.
    """
    listener = Listener()
    connection, transport = listener.connect()
    for data in sent:
        transport.writes.clear()
        connection.data_received(data)
        await rounds()

    listener.after(HEADER_S_MAX - 1)
    early = transport.is_closing()
    connection.data_received(b"")
    listener.after(HEADER_S_MAX + 1)

    assert not early
    assert transport.is_closing()
    if answer is None:
        assert transport.written == b""
    else:
        assert problem(transport) == answer


async def test_t65_a_body_that_nobody_reads_has_a_deadline() -> None:
    """
    After the answer its bytes are only skipped, but not for ever.
    """
    listener = Listener()
    connection, transport = listener.connect()
    connection.data_received(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234"
    )
    await rounds()
    answered = transport.written

    listener.after(HEADER_S_MAX - 1)
    early = transport.is_closing()
    connection.data_received(b"5")
    listener.after(HEADER_S_MAX + 1)

    assert not early
    assert (transport.is_closing(), transport.written) == (True, answered)


async def test_t65_a_body_that_was_skipped_leaves_an_idle_connection() -> None:
    """
    The next request has its own deadline.
    """
    listener = Listener()
    connection, transport = listener.connect()
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    connection.data_received(post)
    await rounds()

    connection.data_received(b"1234")
    connection.data_received(GET)
    await rounds()
    connection.data_received(post)
    await rounds()
    connection.data_received(b"1234")
    listener.after(KEEP_ALIVE_S)
    early = transport.is_closing()
    listener.after(KEEP_ALIVE_S + 2)

    assert transport.written.count(b"HTTP/1.1 200") == 3
    assert (early, transport.is_closing()) == (False, True)


async def test_t65_an_idle_connection_is_closed_whatever_else_it_sends() -> None:
    """
    Empty lines are not a request, and stop uvicorn's own timer.
    """
    listener = Listener()
    connection, transport = listener.connect()
    connection.data_received(GET)
    await rounds()
    connection.data_received(b"\r\n")

    listener.after(KEEP_ALIVE_S)
    early = transport.is_closing()
    listener.after(KEEP_ALIVE_S + 2)

    assert (early, transport.is_closing()) == (False, True)


async def test_t65_a_request_in_flight_has_no_deadline_here() -> None:
    """
    Its handler has one; nor does the next request's header count against it.
    """
    listener = Listener()
    connection, transport = listener.connect()

    connection.data_received(HELD + b"GET /")
    await rounds()
    listener.after(100)
    listener.go.set()
    await rounds()
    answered = transport.written
    listener.after(HEADER_S_MAX + 1)

    assert answered.startswith(b"HTTP/1.1 200")
    assert transport.written.count(b"HTTP/1.1 408") == 1


@pytest.mark.parametrize("is_closed", [False, True])
async def test_t65_who_takes_no_answer_loses_the_connection(*, is_closed: bool) -> None:
    """
    Also if we close it while the client reads nothing.
    """
    listener = Listener()
    connection, transport = listener.connect()
    if is_closed:
        connection.data_received(b"hello\r\n\r\n")
    else:
        connection.data_received(HELD)
        await rounds()
        connection.pause_writing()

    listener.after(0)
    listener.after(UNREAD_S_MAX - 1)
    early = transport.is_aborted
    listener.after(UNREAD_S_MAX + 1)

    assert (early, transport.is_aborted) == (False, True)
    await rounds()
    assert not listener.connections.connections


async def test_t65_who_takes_an_answer_slowly_keeps_the_connection() -> None:
    """
    It only matters that some bytes are read.
    """
    listener = Listener()
    connection, transport = listener.connect()
    connection.data_received(HELD)
    await rounds()

    connection.pause_writing()
    connection.resume_writing()
    listener.after(UNREAD_S_MAX + 1)

    assert not transport.is_closing()
    listener.go.set()
    await rounds()


# Number of connections


async def requested(listener: Listener) -> Transport:
    """Return a connection that had its answer and waits for the next request."""
    connection, transport = listener.connect()
    connection.data_received(GET)
    await rounds()
    return transport


async def test_t65_half_of_the_connections_may_be_idle() -> None:
    """
    Beyond that, the longest idle are closed; but not at once, because many may be
    answered at the same time, and their next requests be on their way.
    """
    listener = Listener(limit=4)
    transports = [await requested(listener) for _ in range(4)]

    listener.after(0)
    early = [it.is_closing() for it in transports]
    listener.after(2)
    later = [it.is_closing() for it in transports]

    assert early == [False] * 4
    assert later == [True, True, False, False]


async def test_t65_the_next_that_is_idle_takes_the_place_of_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Without waiting for the listener's next check of its connections.
    """
    monkeypatch.setattr(protocol, "YOUNG_S", -1.0)
    listener = Listener(limit=4)

    transports = [await requested(listener) for _ in range(3)]

    assert [it.is_closing() for it in transports] == [True, False, False]


async def test_t65_a_newcomer_beyond_the_limit_is_answered_503() -> None:
    """
    No connection with a request in flight, and no new one, loses its place.
    """
    listener = Listener(limit=2)
    busy, one = listener.connect()
    busy.data_received(HELD)
    _, two = listener.connect()

    newcomer, refused = listener.connect()
    newcomer.data_received(GET)
    await rounds()

    assert problem(refused) == (503, "too_many_connections")
    assert [it["path"] for it in listener.seen] == ["/held"]
    assert b"\r\nretry-after: 1\r\n" in refused.written
    assert (one.is_closing(), two.is_closing()) == (False, False)
    assert len(listener.connections.connections) == 2
    with capture_logs() as told:
        listener.after(0)
        listener.after(0)
    assert [(it["log_level"], it["count"]) for it in told] == [("warning", 1)]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\n", GET])
async def test_t65_a_newcomer_takes_the_place_of_who_waits_longest(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An incomplete or missing header does not block a request for more than a second.
    """
    listener = Listener(limit=2)
    busy, being_answered = listener.connect()
    busy.data_received(HELD)
    waiting, waits = listener.connect()
    waiting.data_received(sent)
    await rounds()
    monkeypatch.setattr(protocol, "YOUNG_S", -1.0)

    newcomer, transport = listener.connect()
    newcomer.data_received(GET)
    await rounds()

    assert waits.is_aborted
    assert not being_answered.is_aborted
    assert transport.written.startswith(b"HTTP/1.1 200")


async def test_t65_a_connection_that_is_lost_makes_room_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Nothing of it is stored that a newcomer could replace.
    """
    monkeypatch.setattr(protocol, "YOUNG_S", -1.0)
    listener = Listener(limit=1)
    connection, _ = listener.connect()
    connection.data_received(GET[:9])

    connection.connection_lost(None)
    busy, transport = listener.connect()
    busy.data_received(HELD)
    _, refused = listener.connect()

    assert not transport.is_closing()
    assert problem(refused) == (503, "too_many_connections")
    assert len(listener.connections.connections) == 1


# The end


def closes(transport: Transport) -> list[bool]:
    """Return for each answer whether it says that its connection ends."""
    _, *answers = transport.written.split(b"HTTP/1.1 ")
    return [b"connection: close\r\n" in it for it in answers]


async def test_f07_each_answer_while_it_drains_says_that_the_connection_ends() -> None:
    """
    Of a request in flight, of one on a connection that was idle, and of a new one; no
    connection is closed without an answer.
    """
    listener = Listener()
    held, idle = listener.connect(), listener.connect()
    held[0].data_received(HELD)
    idle[0].data_received(GET)
    await rounds()

    listener.connections.drain()
    assert not idle[1].is_closing()
    new = listener.connect()
    for connection in (idle[0], new[0]):
        connection.data_received(GET)
    listener.go.set()
    await rounds()

    assert [closes(it) for _, it in (held, idle, new)] == [
        [True],
        [False, True],
        [True],
    ]
    assert all(it.is_closing() for _, it in (held, idle, new))


async def test_f07_requests_that_wait_are_answered_before_the_connection_ends() -> None:
    """
    Requests from before the drain and after it: only the last answer says so.
    """
    listener = Listener()
    connection, transport = listener.connect()
    connection.data_received(HELD + GET)
    await rounds()

    listener.connections.drain()
    connection.data_received(GET)
    await rounds()
    listener.go.set()
    await rounds(60)

    assert closes(transport) == [False, False, True]
    assert transport.is_closing()


async def test_f07_a_header_that_has_begun_is_waited_for() -> None:
    """
    Until it is complete, and no longer than at any other time.
    """
    listener = Listener()
    (slow, answered), (silent, refused), (_, fresh), (idle, ended) = (
        listener.connect() for _ in range(4)
    )
    slow.data_received(GET[:9])
    silent.data_received(GET[:9])
    idle.data_received(GET)
    await rounds()

    listener.connections.drain()
    for connection in list(listener.connections.connections):
        connection.shutdown()
    assert [it.is_closing() for it in (answered, refused)] == [False, False]
    assert [it.is_closing() for it in (fresh, ended)] == [True, True]
    slow.data_received(GET[9:])
    await rounds()
    listener.after(HEADER_S_MAX + 1)

    assert closes(answered) == [True]
    assert problem(refused) == (408, "slow_header")


# Assumptions about uvicorn


def test_uvicorn_is_pinned_to_a_minor_version() -> None:
    """
    Its hooks are not a public interface: the next version is reviewed first.
    """
    [pinned] = [
        it for it in metadata.requires("payments-service") or () if "uvicorn" in it
    ]
    major, minor, *_ = metadata.version("uvicorn").split(".")

    assert sorted(pinned.removeprefix("uvicorn").split(",")) == [
        f"<{major}.{int(minor) + 1}",
        f">={major}.{minor}",
    ]


def _overridden(ours: type, theirs: type) -> list[tuple[str, Callable[..., Any]]]:
    return [
        (name, method)
        for name, method in vars(ours).items()
        if getattr(method, "__override__", False) and hasattr(theirs, name)
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(LimitedProtocol, HttpToolsProtocol), (protocol.Server, uvicorn.Server)],
)
def test_every_hook_that_is_overridden_is_uvicorns(ours: type, theirs: type) -> None:
    """
    With the parameters that it is called with; a hook that uvicorn no longer calls
    would remove a limit silently.
    """
    marked = [
        name for name, it in vars(ours).items() if getattr(it, "__override__", False)
    ]
    hooks = _overridden(ours, theirs)

    assert marked
    assert marked == [name for name, _ in hooks]
    for name, method in hooks:
        parameters = inspect.signature(method).parameters
        assert list(parameters) == list(
            inspect.signature(getattr(theirs, name)).parameters
        )


@pytest.mark.parametrize(
    ("hook", "caller"),
    [
        ("send_400_response", HttpToolsProtocol.data_received),
        ("on_tick", uvicorn.Server.main_loop),
        ("should_upgrade", HttpToolsProtocol.data_received),
        ("connection.shutdown", uvicorn.Server.shutdown),
        ("self.shutdown", uvicorn.Server._serve),
    ],
)
def test_uvicorn_calls_the_hooks_that_nobody_else_calls(
    hook: str, caller: Callable[..., Any]
) -> None:
    """
    The others are called by asyncio, by the parser, or by the cycle of a request.
    """
    assert hook in inspect.getsource(caller)


async def test_the_hooks_find_what_they_use_of_uvicorn() -> None:
    """
    Attributes of the protocol, of a request's cycle and of the parser.
    """
    listener = Listener()
    connection, _ = listener.connect()
    connection.data_received(GET)
    cycle = connection.cycle
    await rounds()

    for name in ("url", "headers", "pipeline", "transport", "loop", "parser"):
        assert hasattr(connection, name), name
    assert isinstance(cycle, RequestResponseCycle)
    for name in ("keep_alive", "more_body", "response_started", "response_complete"):
        assert isinstance(getattr(cycle, name), bool), name
    assert isinstance(cycle.disconnected, bool)
    assert isinstance(connection.parser, HttpRequestParser)


async def test_requests_that_wait_are_answered_and_no_more_are_read() -> None:
    """
    In their order; reading resumes when none waits any longer.
    """
    listener = Listener()
    connection, transport = listener.connect()
    paused = list[bool]()

    connection.data_received(HELD + PIPELINED_MAX * GET)
    await rounds()
    paused.append(transport.is_paused)
    listener.go.set()
    for _ in range(PIPELINED_MAX):
        await rounds()
    paused.append(transport.is_paused)
    connection.data_received(GET)
    await rounds()

    assert paused == [True, False]
    assert transport.written.count(b" 200 ") == PIPELINED_MAX + 2
    assert not transport.is_closing()


async def test_a_paused_connection_stays_paused_while_requests_wait() -> None:
    """
    Otherwise each answer would admit thousands.
    """
    listener = Listener()
    connection, transport = listener.connect()
    connection.data_received(GET + 2 * HELD)
    await rounds()

    assert transport.written.count(b" 200 ") == 1
    assert len(connection.pipeline) == 1
    assert transport.is_paused


@pytest.mark.parametrize("many", [PIPELINED_MAX + 1, 20_000])
async def test_more_requests_at_once_than_the_limit_end_the_connection(
    many: int,
) -> None:
    """
    Those before are answered; nothing of the others is stored.
    """
    listener = Listener()
    connection, transport = listener.connect()

    connection.data_received(HELD + many * GET)
    connection.data_received(many * GET)
    await rounds()
    waiting = len(connection.pipeline)
    listener.go.set()
    for _ in range(PIPELINED_MAX):
        await rounds()

    assert waiting == PIPELINED_MAX
    assert len(listener.seen) == PIPELINED_MAX + 1
    assert transport.written.count(b" 200 ") == PIPELINED_MAX + 1
    assert transport.is_closing()


def test_both_listeners_are_served_by_this_protocol() -> None:
    """
    The public one with its configured limits, the ops port with fewer connections.
    """
    public = server_of(None, lifespan="on", connections_max=9, keep_alive_s=7)
    ops = server_of(None, lifespan="off")

    for server in (public, ops):
        server.config.load()
        assert server.config.http_protocol_class is LimitedProtocol
        assert isinstance(server.server_state, Connections)
    assert public.config.timeout_keep_alive == 7


def test_t25_no_header_says_where_a_caller_is() -> None:
    """
    uvicorn would believe `X-Forwarded-For` of a proxy that it trusts; our code does not
    read it, or any similar header.
    """
    config = server_of(lambda: None, lifespan="off").config
    sources = Path(protocol.__file__).parent.rglob("*.py")

    assert config.proxy_headers is False
    assert [it.name for it in sources if "forwarded" in it.read_text().lower()] == []
