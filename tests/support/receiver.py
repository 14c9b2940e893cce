"""A receiver of webhooks: a small HTTP server in a thread, with configured answers."""

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import attrs
from typing_extensions import override

# No wait lasts that long, unless something is wrong.
WAIT_S_MAX: Final = 30.0


@attrs.frozen
class Received:
    """One request: its path, its headers by their names in lower case, its body."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def signature(self) -> str:
        return self.headers["stripe-signature"]

    @property
    def event(self) -> Any:  # JSON is anything
        return json.loads(self.body)

    @property
    def object(self) -> Any:  # JSON is anything
        return self.event["data"]["object"]


@attrs.define
class Receiver:
    """Records what arrives; answers each of `statuses` once, and `status` after that.

    A status of None hangs up without an answer. A redirect leads to `/elsewhere`.
    """

    url: str
    status: int | None = 200
    statuses: deque[int | None] = attrs.field(factory=deque)
    received: list[Received] = attrs.field(factory=list)
    _open: threading.Event = attrs.field(factory=threading.Event)
    _came: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(0))

    def __attrs_post_init__(self) -> None:
        self._open.set()

    @property
    def types(self) -> list[str]:
        """Return the types of the events that arrived, in their order."""
        return [it.event["type"] for it in self.received]

    def of_type(self, type_: str) -> list[Received]:
        return [it for it in self.received if it.event["type"] == type_]

    def at(self, path: str) -> list[Received]:
        return [it for it in self.received if it.path == path]

    def hold(self) -> None:
        """Accept requests, but answer none until `let_go`."""
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    def wait_for_one(self) -> None:
        """Return when one more has arrived than were waited for; answered or not."""
        assert self._came.acquire(timeout=WAIT_S_MAX), "nothing arrived"

    def take(self, one: Received) -> int | None:
        """Record one; return the status to answer."""
        status = self.statuses.popleft() if self.statuses else self.status
        self.received.append(one)
        self._came.release()
        assert self._open.wait(WAIT_S_MAX), "held, and never let go"
        return status


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, receiver: Receiver, *connection: Any) -> None:
        self.receiver = receiver
        super().__init__(*connection)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): text for name, text in self.headers.items()}
        status = self.receiver.take(Received(self.path, headers, body))
        if status is None:
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if 300 <= status < 400:
            self.send_header("Location", f"{self.receiver.url}/elsewhere")
        self.end_headers()

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a delayed client may have closed the connection."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Lend a receiver on a free port of this machine."""
    # It handles nothing before it has a receiver, whose address it needs.
    server = _Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = partial(_Handler, receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.let_go()
        server.shutdown()
        server.server_close()
        thread.join()
