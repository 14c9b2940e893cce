"""A connection without a socket, and a listener that has some."""

import asyncio
from typing import Any, Final

import uvicorn
from typing_extensions import override

from payments_service.http.protocol import Connections, LimitedProtocol

KEEP_ALIVE_S: Final = 3


class Transport(asyncio.Transport):
    """Records what is written: the other side reads nothing, so closing aborts it."""

    def __init__(self, connection: LimitedProtocol) -> None:
        super().__init__()
        self._connection = connection
        # Each write is a packet.
        self.writes: list[bytes] = []
        self.is_aborted = self.is_paused = False
        self._is_closing = False

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._is_closing:
            self.writes.append(bytes(data))

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    @override
    def close(self) -> None:
        self._is_closing = True

    @override
    def abort(self) -> None:
        self.is_aborted = self._is_closing = True
        asyncio.get_running_loop().call_soon(self._connection.connection_lost, None)

    @override
    def is_closing(self) -> bool:
        return self._is_closing

    @override
    def pause_reading(self) -> None:
        self.is_paused = True

    @override
    def resume_reading(self) -> None:
        self.is_paused = False


class Listener:
    """One listener and its app, which answers `/held` when `go` is set."""

    def __init__(self, limit: int = 8) -> None:
        self.connections = Connections(limit, KEEP_ALIVE_S)
        self.go = asyncio.Event()
        self.reads_body = False
        self.seen: list[Any] = []
        self._config = uvicorn.Config(
            self.app,
            http=LimitedProtocol,
            ws="none",
            interface="asgi3",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        if scope["path"] == "/held":
            await self.go.wait()
        while self.reads_body:
            message = await receive()
            if message["type"] != "http.request" or not message["more_body"]:
                break
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self) -> tuple[LimitedProtocol, Transport]:
        connection = LimitedProtocol(self._config, self.connections, {})
        transport = Transport(connection)
        connection.connection_made(transport)
        return connection, transport

    def after(self, seconds: float) -> None:
        """Let the listener check its connections, so much later."""
        self.connections.sweep(asyncio.get_running_loop().time() + seconds)


async def rounds(count: int = 20) -> None:
    """Let every task run as far as it can."""
    for _ in range(count):
        await asyncio.sleep(0)
