"""A URL with keys: an HTTP server in a thread, with configured answers."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import attrs
from typing_extensions import override

# Nothing here waits that long, unless something is wrong.
_WAIT_S_MAX: Final = 30.0


@attrs.define
class KeyServer:
    """Answers GET with `document`; `authorizations` are the headers of the requests."""

    url: str
    document: bytes = b""
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    authorizations: list[str | None] = attrs.field(factory=list)
    accepts: list[str | None] = attrs.field(factory=list)
    # While held, it accepts requests and answers nothing.
    go: threading.Event = attrs.field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self.go.set()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, server: KeyServer, *connection: Any) -> None:
        self.of = server
        super().__init__(*connection)

    def do_GET(self) -> None:
        self.of.authorizations.append(self.headers.get("Authorization"))
        self.of.accepts.append(self.headers.get("Accept"))
        self.of.go.wait(_WAIT_S_MAX)
        self.send_response(self.of.status)
        for name, value in self.of.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.of.document)))
        self.end_headers()
        self.wfile.write(self.of.document)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a delayed client may have closed the connection."""


@contextmanager
def serving_keys(
    tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[KeyServer]:
    """Lend an address of this machine, a free one unless a port is given."""
    server = _Server(("127.0.0.1", port), BaseHTTPRequestHandler)
    scheme = "https" if tls else "http"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    keys = KeyServer(f"{scheme}://localhost:{server.server_port}/keys")
    server.RequestHandlerClass = partial(_Handler, keys)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield keys
    finally:
        keys.go.set()
        server.shutdown()
        server.server_close()
        thread.join()
