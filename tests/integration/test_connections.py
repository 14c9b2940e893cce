"""What one or many connections can cost a service: a real process, plain sockets."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from typing_extensions import override

from support import databases
from support.plain_http import TLS
from support.profiles import only_in_prove
from support.service import ServiceProcess, World, running

FLOOD_BYTES = 40 * 1024 * 1024
PIECE_BYTES = 64 * 1024
MEMORY_KB_MAX = 32 * 1024
CONNECTIONS_MAX = 8

ports = pytest.mark.parametrize("port", ["port", "ops_port"])


@attrs.frozen
class SmallWorld(World):
    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        env = super().env(port, ops_port)
        return env | {"PAYMENTS_CONNECTIONS_MAX": str(CONNECTIONS_MAX)}


@pytest.fixture(scope="module")
def small(postgres: str, template: str) -> Iterator[ServiceProcess]:
    """A service that accepts few connections."""
    with (
        databases.copy_of(postgres, template) as dsn,
        running(SmallWorld(dsn)) as [service],
    ):
        yield service


def connected(service: ServiceProcess, port: str = "port") -> socket.socket:
    return socket.create_connection(("127.0.0.1", getattr(service, port)), 30)


def memory_kb(service: ServiceProcess) -> int:
    """Return the peak memory of a process."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1])


def answer_on(connection: socket.socket) -> bytes:
    """Read until the other side closes or resets the connection."""
    read = b""
    with suppress(ConnectionError):
        while piece := connection.recv(PIECE_BYTES):
            read += piece
    return read


def problem_in(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json\r\n" in head + b"\r\n"
    problem: dict[str, Any] = json.loads(body)
    assert f"x-request-id: {problem['request_id']}".encode() in head
    assert head.startswith(f"HTTP/1.1 {problem['status']} ".encode())
    return problem


def assert_serves(service: ServiceProcess) -> None:
    answer = httpx.get(f"{service.ops_url}/readyz", timeout=30, verify=TLS)
    unknown = httpx.get(f"{service.url}/nothing", timeout=30, verify=TLS)
    assert (answer.status_code, unknown.status_code) == (200, 404)


@ports
@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b"a: b\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\na: ", b"b"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b""),
    ],
    ids=["short fields", "one field", "trailers"],
)
def test_t65_forty_megabytes_of_header_cost_no_memory(
    service: ServiceProcess, port: str, begin: bytes, more: bytes
) -> None:
    """
    431 or a closed connection, on both ports; the service continues as before.
    """
    assert_serves(service)
    before = memory_kb(service)
    piece = (more or b"a: b\r\n") * (PIECE_BYTES // len(more or b"a: b\r\n"))

    with closing(connected(service, port)) as connection:
        sent = 0
        with suppress(ConnectionError):
            connection.sendall(begin)
            while sent < FLOOD_BYTES:
                connection.sendall(piece)
                sent += len(piece)
        answer = answer_on(connection)

    statuses = set(re.findall(rb"HTTP/1.1 (\d+) ", answer))
    assert sent < FLOOD_BYTES
    # A complete request before it has its answer.
    assert statuses <= {b"431", b"404"}
    assert memory_kb(service) - before < MEMORY_KB_MAX
    assert_serves(service)


@ports
@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"hello\r\n\r\n", 400, "malformed_request"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 100 + b"\r\n",
            431,
            "header_too_large",
        ),
    ],
)
def test_t56_t65_what_the_parser_refuses_is_a_problem(
    service: ServiceProcess, port: str, sent: bytes, status: int, code: str
) -> None:
    """
    As for every other error, and the connection is closed.
    """
    with closing(connected(service, port)) as connection:
        connection.sendall(sent)
        problem = problem_in(answer_on(connection))

    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:payments-gateway:problem:{code}"
    assert {"title", "detail"} <= problem.keys()


@only_in_prove
def test_t65_who_never_ends_a_header_is_cut_off(service: ServiceProcess) -> None:
    """
    408 for half a header, a closed connection for a silent client, on both ports.
    """
    with ExitStack() as stack:
        half = list[socket.socket]()
        silent = list[socket.socket]()
        for port in ("port", "ops_port"):
            for waiting in (half, silent):
                waiting.append(stack.enter_context(closing(connected(service, port))))
        for connection in half:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")

        problems = [problem_in(answer_on(connection)) for connection in half]
        nothing = [answer_on(connection) for connection in silent]

    assert [(it["status"], it["code"]) for it in problems] == [(408, "slow_header")] * 2
    assert nothing == [b"", b""]


def test_t65_f53_a_connection_beyond_the_limit_is_refused(
    small: ServiceProcess,
) -> None:
    """
    503 at once; when another connection is closed, there is room. The ops port has its
    own limit.
    """
    with ExitStack() as stack:
        open_ = [
            stack.enter_context(closing(connected(small)))
            for _ in range(CONNECTIONS_MAX)
        ]
        beyond = stack.enter_context(closing(connected(small)))
        problem = problem_in(answer_on(beyond))
        ready = httpx.get(f"{small.ops_url}/readyz", timeout=30, verify=TLS)
        for connection in open_:
            connection.shutdown(socket.SHUT_WR)
            assert answer_on(connection) == b""

        assert (problem["status"], problem["code"]) == (503, "too_many_connections")
        assert ready.status_code == 200
        assert_serves(small)
