"""The socket and the server of a sandbox."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
from typing_extensions import override

HOST: Final = "127.0.0.1"
# Answers that are held back on purpose may never end by themselves.
GRACE_S: Final = 1


class Server(uvicorn.Server):
    """Leaves signals to its caller, and reports when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_of(app: Any) -> Server:  # uvicorn's and Litestar's words for an app differ
    """Return a server of an ASGI app that sets the `Date` of its answers itself."""
    return Server(
        uvicorn.Config(
            app,
            lifespan="off",
            loop="none",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def listen(port: int) -> socket.socket:
    """Bind and listen at once: two processes may bind one port until one listens.

    Port 0 binds a free port.

    Raises:
        OSError: the port is in use.
    """
    # asyncio disables Nagle's algorithm only for a socket that says it is TCP;
    # otherwise each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address by which this machine reaches a listener."""
    return f"http://{HOST}:{listener.getsockname()[1]}"
