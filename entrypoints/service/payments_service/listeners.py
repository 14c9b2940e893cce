"""Sockets and servers, for whoever serves: the service and its ops port."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, Final, Literal

import uvicorn
from typing_extensions import override

# Requests in flight get this long to end once the socket is closed.
GRACE_S: Final = 20


class Server(uvicorn.Server):
    """Leaves signals to its caller: there may be two servers and one process."""

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


def server_of(
    app: Any,  # uvicorn's and Litestar's words for an ASGI app differ
    *,
    lifespan: Literal["on", "off"],
) -> Server:
    """Return a server of an ASGI app."""
    return Server(
        uvicorn.Config(
            app,
            lifespan=lifespan,
            loop="none",
            http="httptools",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen at once: two processes may bind one port until one listens.

    Port 0 takes a free one.

    Raises:
        OSError: the address is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off for a socket that says it is TCP; without
    # that each answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def url_of(listener: socket.socket, host: str) -> str:
    """Return the address by which this machine reaches a listener."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port_of(listener)}"
