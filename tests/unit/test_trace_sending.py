"""How spans are sent: what is read of an answer, and the classes of failures."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar, Final

import pytest
import requests
from typing_extensions import override

from payments_service.tracing.sending import ANSWER_BYTES_MAX, CollectorSession
from support.receiver import Receiver, receiving
from support.service import free_port

# More than the buffers between two sockets.
HUGE: Final = 64 * 1024 * 1024
CHUNK: Final = bytes(64 * 1024)


class Pouring(BaseHTTPRequestHandler):
    """Gives an answer too large to be read."""

    poured = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(HUGE))
        # A compressed body is not decompressed.
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            while type(self).poured < HUGE:
                type(self).poured += self.wfile.write(CHUNK)
        except OSError:
            self.close_connection = True

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        # Ends after the present request.
        server.shutdown()
        server.server_close()
        thread.join()


def test_of_a_huge_answer_no_more_than_its_limit_is_read() -> None:
    """
    It would be held in memory, and a collector could exhaust a process's memory.
    """
    Pouring.poured = 0
    with serving(Pouring) as url, CollectorSession() as session:
        answer = session.request("POST", url, data=b"spans")

    assert (answer.status_code, session.failure) == (200, None)
    assert len(answer.content) == ANSWER_BYTES_MAX
    assert Pouring.poured < HUGE


def of_status(status: int) -> Callable[[Receiver], str]:
    def told(receiver: Receiver) -> str:
        receiver.status = status
        return receiver.url

    return told


def held(receiver: Receiver) -> str:
    receiver.hold()
    return receiver.url


@pytest.mark.parametrize(
    ("address", "failure"),
    [
        (of_status(200), None),
        (of_status(400), "it answers 400"),
        (of_status(503), "it answers 503"),
        (of_status(302), "it answers 302; redirects are not followed"),
        (lambda _: f"http://127.0.0.1:{free_port()}", "the connection is refused"),
        (lambda it: it.url.replace("http:", "https:"), "TLS fails"),
        (held, "no answer in time"),
        (lambda _: "localhost:4318", "the address cannot be used"),
    ],
)
def test_a_failure_has_a_class(
    address: Callable[[Receiver], str], failure: str | None
) -> None:
    """
    So that the cause is known; the next success clears it.
    """
    with receiving() as receiver, CollectorSession() as session:
        try:
            session.request(
                "POST",
                address(receiver),
                data=b"spans",
                timeout=0.2 if failure == "no answer in time" else 20,
                allow_redirects=False,
            )
        except requests.RequestException:
            assert session.failure is not None
        assert str(session.failure).startswith(str(failure))

        receiver.let_go()
        receiver.status = 200
        session.request("POST", receiver.url, data=b"spans")
        assert session.failure is None


class Keeping(BaseHTTPRequestHandler):
    """Answers some bytes, and keeps the connection open."""

    protocol_version = "HTTP/1.1"
    clients: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        self.clients.append(self.client_address)
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def test_a_connection_is_used_again() -> None:
    """
    An answer that is within the limit is read to its end.
    """
    Keeping.clients.clear()
    with serving(Keeping) as url, CollectorSession() as session:
        for _ in range(3):
            session.request("POST", url, data=b"spans")
        session.close()

    assert (len(Keeping.clients), len(set(Keeping.clients))) == (3, 1)
