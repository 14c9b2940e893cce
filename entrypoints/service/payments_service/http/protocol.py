"""uvicorn with limits: of a request's header, of waiting, of connections.

uvicorn's protocol reads a header without limits of size and time, accepts any number of
connections, and answers malformed requests in plain text. This module overrides hooks
of uvicorn and httptools; a test lists them all, and uvicorn is pinned to a minor
version.

Rule 1: a header has at most `HEADER_BYTES_MAX` bytes, including its request line, and
        at most `HEADERS_MAX` fields; otherwise the answer is 431. The limit of bytes
        also holds for extensions and trailers of a chunked body; trailers are dropped.
Rule 2: a header must be complete within `HEADER_S_MAX`; otherwise the answer is 408.
        The same holds for the rest of a body that the application no longer reads.
Rule 3: a listener has a limit of connections. A new connection replaces the one that
        has waited longest for a request; if none has waited for `YOUNG_S`, the answer
        is 503. At most half of the connections may be idle between requests.
Rule 4: a client that does not read its answer, or the end of the connection, loses the
        connection.

Rule 5: while the server drains, each answer says that its connection closes. A request
        that has started to arrive is served, also when the listener is closed: rules 2
        and 4 hold until the last connection is closed.

Ordinary requests cost nothing per byte or field: sizes are added up per read, and
deadlines are checked once a second for all connections.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, Literal

import structlog
import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from payments_core.errors import RETRY_AFTER_S
from payments_service.http.answer_writer import AnswerWriter
from payments_service.http.problems import (
    MEDIA_TYPE,
    HttpProblem,
    body_of,
)
from payments_service.settings import KEEP_ALIVE_S

# The limit of nginx (`large_client_header_buffers`); a token has at most 8 KiB.
HEADER_BYTES_MAX: Final = 32 * 1024
# A browser and a chain of proxies send about thirty.
HEADERS_MAX: Final = 100
# Requests that wait for an earlier answer; clients rarely pipeline.
PIPELINED_MAX: Final = 16
# A header has one or two packets; this is enough for the slowest network.
HEADER_S_MAX: Final = 10.0
# An answer has a few kilobytes.
UNREAD_S_MAX: Final = 20.0
# The request of a new connection may have arrived, but not be read yet.
YOUNG_S: Final = 1.0
# How long requests in flight may take after the socket is closed.
GRACE_S: Final = 20
# Shorter, because a probe or a scrape of a stopping process does not matter.
OPS_GRACE_S: Final = 2
# For probes and scrapes.
OPS_CONNECTIONS_MAX: Final = 64
# How often uvicorn ticks.
_TICKS_A_SECOND: Final = 10
# Per field: ": " and the end of the line. Per header: all but method, path and fields.
_FIELD_BYTES: Final = 4
_FRAME_BYTES: Final = len("  HTTP/1.1\r\n\r\n")
# A request without both has no body (RFC 9112, section 6.3).
_ANNOUNCING: Final = frozenset({b"content-length", b"transfer-encoding"})


def _too_large(what: str) -> HttpProblem:
    return HttpProblem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large", what
    )


TOO_LONG: Final = _too_large(f"the header is over {HEADER_BYTES_MAX} bytes")
TOO_MANY: Final = _too_large(f"there are over {HEADERS_MAX} header fields")
TOO_MANY_AT_ONCE: Final = HttpProblem(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_pipelined",
    f"over {PIPELINED_MAX} pipelined requests wait on this connection",
)
MALFORMED: Final = HttpProblem(
    HTTPStatus.BAD_REQUEST, "malformed_request", "the request is not HTTP/1.1"
)
# The parser skips the body of a request with `Upgrade`.
UPGRADE: Final = HttpProblem(
    HTTPStatus.BAD_REQUEST,
    "upgrade_with_body",
    "only HTTP/1.1 is supported: send a body without Upgrade",
)
SLOW: Final = HttpProblem(
    HTTPStatus.REQUEST_TIMEOUT, "slow_header", "the header took too long"
)
FULL: Final = HttpProblem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many_connections",
    "the limit of connections is reached: retry later",
)


class Connections(ServerState):
    """The connections of one listener."""

    def __init__(self, limit: int, keep_alive_s: float) -> None:
        super().__init__()
        self._limit = limit
        self._idle_max = max(1, limit // 2)
        self._keep_alive_s = keep_alive_s
        # Each with its start time, the oldest first. Connections that owe the rest of a
        # header, or of a body that is only skipped:
        self._awaited = dict[LimitedProtocol, float]()
        # Connections that were answered, and have not started a next request:
        self._idle = dict[LimitedProtocol, float]()
        # Connections with written bytes that the client does not read:
        self._unread = dict[LimitedProtocol, float]()
        self._refused = 0
        self.is_draining = False

    def drain(self) -> None:
        """Close each connection after its present requests; their answers say so."""
        self.is_draining = True
        for connection in [*self.connections]:
            if isinstance(connection, LimitedProtocol):
                connection.close_after_answers()

    def admit(self, newcomer: "LimitedProtocol", now: float) -> bool:
        """Say whether a connection is accepted; close an old one for it if possible."""
        if len(self.connections) > self._limit and not self._made_room(now):
            self.connections.discard(newcomer)
            self._refused += 1
            return False
        self._awaited[newcomer] = now
        return True

    def _made_room(self, now: float) -> bool:
        for waiting in (self._idle, self._awaited):
            oldest = next(iter(waiting), None)
            if oldest is not None and now - waiting[oldest] > YOUNG_S:
                self._drop(oldest)
                return True
        return False

    def _drop(self, oldest: "LimitedProtocol") -> None:
        self.lost(oldest)
        self.connections.discard(oldest)
        oldest.transport.abort()

    def awaits(self, connection: "LimitedProtocol", now: float) -> None:
        """Start the deadline for the rest of a header or body, unless it is running."""
        self._idle.pop(connection, None)
        self._awaited.setdefault(connection, now)

    def busy(self, connection: "LimitedProtocol") -> None:
        """Note that a header is complete, or that the connection is closing."""
        self._idle.pop(connection, None)
        self._awaited.pop(connection, None)

    def idle(self, connection: "LimitedProtocol", now: float) -> None:
        """Keep a connection for its next request; close the oldest over the limit."""
        self._awaited.pop(connection, None)
        self._idle[connection] = now
        self._trim(now)

    def _trim(self, now: float) -> None:
        """Close the longest idle, but none whose next request may be on the way."""
        while len(self._idle) > self._idle_max:
            oldest = next(iter(self._idle))
            if now - self._idle[oldest] <= YOUNG_S:
                return
            self.busy(oldest)
            oldest.transport.close()

    def unread(self, connection: "LimitedProtocol", now: float) -> None:
        """Start the deadline for the client to read what was written."""
        self._unread.setdefault(connection, now)

    def read(self, connection: "LimitedProtocol") -> None:
        """Note that the client has read it."""
        self._unread.pop(connection, None)

    def lost(self, connection: "LimitedProtocol") -> None:
        """Forget a connection."""
        self.busy(connection)
        self.read(connection)

    def sweep(self, now: float) -> None:
        """Close connections that are past their deadlines."""
        for connection in _since(self._awaited, now - HEADER_S_MAX):
            connection.time_out()
        # uvicorn's own timer is stopped by any byte, even if no request follows.
        for connection in _since(self._idle, now - self._keep_alive_s - YOUNG_S):
            self.busy(connection)
            connection.transport.close()
        self._trim(now)
        for connection in _since(self._unread, now - UNREAD_S_MAX):
            self._drop(connection)
        for each in [*self.connections]:
            # A closing transport ends only once the client has read the rest.
            if isinstance(each, LimitedProtocol) and each.transport.is_closing():
                self.unread(each, now)
        if self._refused:
            structlog.get_logger().warning(
                "connections refused", count=self._refused, limit=self._limit
            )
            self._refused = 0


def _since(
    waiting: dict["LimitedProtocol", float], before: float
) -> list["LimitedProtocol"]:
    return [connection for connection, since in waiting.items() if since < before]


class _Nowhere(list[tuple[bytes, bytes]]):
    """A list that drops what is appended."""

    @override
    def append(self, field: tuple[bytes, bytes], /) -> None:
        return


_NOWHERE: Final = _Nowhere()


class LimitedProtocol(HttpToolsProtocol):
    """One connection. `server_state` is the listener's `Connections`."""

    server_state: Connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Whether a header is being read; whether a message (header and body) is.
        self._in_header = self._in_message = False
        # The size of the read being parsed, and of the read with the first byte.
        self._read_bytes = self._first_bytes = 0
        # The bytes since then, of a header, or between two parts of a body.
        self._more_bytes = 0
        self._problem: HttpProblem | None = None
        # Further bytes are ignored.
        self._is_refused = False
        # The request whose answer closes the connection because the server drains.
        self._last: RequestResponseCycle | None = None

    # The connection

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if not self.server_state.admit(self, self.loop.time()):
            self.refuse(FULL)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.server_state.lost(self)
        super().connection_lost(exc)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self.server_state.unread(self, self.loop.time())

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self.server_state.read(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._read_bytes = len(data)
        self._more_bytes += len(data)
        super().data_received(data)
        if self._in_message and self._more_bytes > HEADER_BYTES_MAX:
            self.refuse(TOO_LONG)
        elif self._in_header and not self._is_answering:
            self.server_state.awaits(self, self.loop.time())

    # The parser

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_header = self._in_message = True
        self._first_bytes, self._more_bytes = self._read_bytes, 0

    @override
    def on_headers_complete(self) -> None:
        self._check_header()
        is_upgrade = self.parser.should_upgrade()
        if is_upgrade and any(name in _ANNOUNCING for name, _ in self.headers):
            self._stop(UPGRADE)
        before = self.cycle
        super().on_headers_complete()
        self.cycle.transport = AnswerWriter(self.transport, self.scope["method"])
        self._in_header, self._more_bytes = False, 0
        if self.server_state.is_draining:
            self._close_after(before)
        self.server_state.busy(self)
        if is_upgrade:
            # The parser would treat further bytes as the other protocol.
            self._is_refused, self.cycle.keep_alive = True, False
        # The request has its fields; trailers after the body are dropped.
        self.headers = _NOWHERE

    def _close_after(self, before: RequestResponseCycle | None) -> None:
        """Let the latest answer close the connection, instead of the one before."""
        if before is not None and before is self._last and not before.response_started:
            before.keep_alive = True
        self.close_after_answers()

    def close_after_answers(self) -> None:
        """Let the answer to the latest request close the connection."""
        if self._is_answering and self.cycle.keep_alive:
            self._last, self.cycle.keep_alive = self.cycle, False

    @override
    def shutdown(self) -> None:
        """Close the connection, but wait for a header that has started to arrive."""
        if not self._in_header or self._is_answering:
            super().shutdown()

    def _check_header(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            # The waiting requests are answered, then the connection is closed.
            self._stop(TOO_MANY_AT_ONCE)
        if len(self.headers) > HEADERS_MAX:
            self._stop(TOO_MANY)
        # An upper bound, because the first read may contain more than the header. The
        # exact size is computed only if the bound is over the limit.
        if self._first_bytes + self._more_bytes > HEADER_BYTES_MAX:
            size = len(self.parser.get_method()) + len(self.url) + _FRAME_BYTES
            size += sum(len(name) + len(value) for name, value in self.headers)
            if size + _FIELD_BYTES * len(self.headers) > HEADER_BYTES_MAX:
                self._stop(TOO_LONG)

    def _stop(self, problem: HttpProblem) -> None:
        """Stop the parser; uvicorn then calls `send_400_response`."""
        self._problem = problem
        raise problem

    @override
    def on_body(self, body: bytes) -> None:
        self._more_bytes = 0
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()
        if self.cycle.response_complete:
            self.server_state.idle(self, self.loop.time())

    # Answers

    @property
    def _is_answering(self) -> bool:
        # `cycle` is None before the first request.
        return not getattr(self.cycle, "response_complete", True)

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:
            # uvicorn resumes reading after each answer, even if requests wait.
            self.flow.pause_reading()
        if self.transport.is_closing() or self._is_answering:
            return
        if self._in_message:
            self.server_state.awaits(self, self.loop.time())
        else:
            self.server_state.idle(self, self.loop.time())

    @override
    def send_400_response(self, msg: str) -> None:
        self.refuse(self._problem or MALFORMED)

    def time_out(self) -> None:
        """End a connection that did not send the rest of a request in time."""
        if self._in_message:
            self.refuse(SLOW)
        else:
            # No request has started, so there is nothing to answer.
            self.server_state.busy(self)
            self.transport.close()

    def refuse(self, problem: HttpProblem) -> None:
        """Stop reading, send the problem unless another answer is sent, and close."""
        has_answer = self._in_message and not self._in_header
        self._is_refused, self._in_header, self._in_message = True, False, False
        self.server_state.busy(self)
        if not self._is_answering:
            # A request whose body is only skipped was answered already.
            if not has_answer:
                self._write(problem)
        elif not self.cycle.more_body:
            # A later request is refused: the earlier one still gets its answer.
            self.cycle.keep_alive = False
            return
        elif not (self.cycle.response_started or self.pipeline):
            self._write(problem)
            self.cycle.disconnected = True
        self.transport.close()

    def _write(self, problem: HttpProblem) -> None:
        request_id = os.urandom(8).hex()
        body = body_of(problem, request_id)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
        lines = [b"%s: %s\r\n" % header for header in headers]
        self.transport.write(
            b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body])
        )
        structlog.get_logger().info(
            "request refused",
            status=problem.status,
            code=problem.code,
            request_id=request_id,
        )


class Server(uvicorn.Server):
    """A server that leaves signals to its caller, because a process can run two."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self.server_state = self._connections = connections
        self.up = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    def drain(self) -> None:
        """Serve what arrives, and let each answer close its connection."""
        self._connections.drain()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.drain()
        sweeping = asyncio.create_task(self._sweep())
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()

    async def _sweep(self) -> None:
        """Check the deadlines, because `on_tick` no longer runs."""
        while True:
            await asyncio.sleep(1)
            self._connections.sweep(asyncio.get_running_loop().time())

    @override
    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_A_SECOND == 0:
            self._connections.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_of(
    app: Any,  # uvicorn's and Litestar's types of an ASGI app differ
    *,
    lifespan: Literal["on", "off"],
    connections_max: int = OPS_CONNECTIONS_MAX,
    keep_alive_s: int = KEEP_ALIVE_S,
    grace_s: int = GRACE_S,
) -> Server:
    """Return a server of an ASGI app."""
    config = uvicorn.Config(
        app,
        lifespan=lifespan,
        loop="none",
        http=LimitedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=keep_alive_s,
        timeout_graceful_shutdown=grace_s,
    )
    return Server(config, Connections(connections_max, keep_alive_s))
