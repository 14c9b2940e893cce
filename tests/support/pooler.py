"""A pooler in front of Postgres that gives each transaction another session.

As PgBouncer 1.18 does in transaction mode, which does not track prepared statements: a
statement stays in the session in which it was prepared. Stricter than PgBouncer:
sessions take turns, so no client has one of them twice in a row.
`PAYMENTS_TEST_PGBOUNCER` names a real PgBouncer to be used instead.
"""

import asyncio
import itertools
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import asyncpg
import attrs
from typing_extensions import override

from support.databases import direct
from support.pgbouncer import through_pgbouncer
from support.round_trips import in_front_of

SESSIONS_COUNT: Final = 3
_TLS: Final = 80877103
_CANCEL: Final = 80877102
_NO_TRANSACTION: Final = b"I"
_PARAMETERS: Final = (
    "server_version",
    "client_encoding",
    "integer_datetimes",
    "standard_conforming_strings",
    "TimeZone",
)


@contextmanager
def pooled(dsn: str) -> Iterator[str]:
    """Lend the DSN that leads to a database through a pooler."""
    dsn = direct(dsn)
    if path := os.environ.get("PAYMENTS_TEST_PGBOUNCER"):
        with through_pgbouncer(path, dsn, SESSIONS_COUNT) as through:
            yield through
        return
    pooler = _Pooler(dsn)
    with in_front_of(dsn, pooler.connected, pooler.close) as through:
        yield through


def _message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!I", len(content) + 4) + content


@attrs.define(eq=False)
class _Session(asyncio.Protocol):
    """A connection to the server, lent to one client after the other."""

    pooler: "_Pooler"
    connection: Any
    transport: Any
    client: asyncio.StreamWriter | None = None
    # Replies for which the client waits: to what it sent, and to what it has begun.
    _answers: int = 0
    _has_begun: bool = False
    _buffer: bytes = b""

    def send(self, kind: bytes, message: bytes) -> None:
        ends = kind in {b"S", b"Q"}
        self._answers += ends
        self._has_begun = not ends
        self.transport.write(message)

    @override
    def data_received(self, data: bytes) -> None:
        if self.client is None:
            return
        self._buffer += data
        client = self.client
        while len(self._buffer) > 4:
            end = 1 + struct.unpack_from("!I", self._buffer, 1)[0]
            if len(self._buffer) < end:
                break
            message, self._buffer = self._buffer[:end], self._buffer[end:]
            if message[:1] == b"Z":
                self._answers -= 1
                if message[5:] == _NO_TRANSACTION and not self.is_waited_for:
                    # Before the client gets the reply: what it sends next uses another
                    # session.
                    self.client = None
                    self.pooler.free.put_nowait(self)
            client.write(message)

    @property
    def is_waited_for(self) -> bool:
        return self._has_begun or self._answers > 0

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            self.client.close()


@attrs.define(eq=False)
class _Pooler:
    _dsn: str
    free: "asyncio.Queue[_Session]" = attrs.field(init=False, factory=asyncio.Queue)
    _sessions: list[_Session] = attrs.field(init=False, factory=list)
    _opening: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)
    _parameters: dict[str, str] = attrs.field(init=False, factory=dict)
    _clients: dict[bytes, _Session | None] = attrs.field(init=False, factory=dict)
    _numbers: "itertools.count[int]" = attrs.field(init=False, factory=itertools.count)

    async def _open(self) -> None:
        connection: Any = await asyncpg.connect(self._dsn, statement_cache_size=0)
        settings = connection.get_settings()
        self._parameters = {it: str(getattr(settings, it, "")) for it in _PARAMETERS}
        self._parameters["server_version"] = await connection.fetchval(
            "show server_version"
        )
        # The driver has logged in; from here on the session serves our clients.
        transport = connection._transport
        session = _Session(self, connection, transport)
        transport.set_protocol(session)
        self._sessions.append(session)
        self.free.put_nowait(session)

    def close(self) -> None:
        for session in self._sessions:
            session.connection.terminate()

    async def connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        key = struct.pack("!I", next(self._numbers)) + secrets.token_bytes(4)
        try:
            if await self._greeted(reader, writer, key):
                await self._serve(reader, writer, key)
        except (asyncio.IncompleteReadError, ConnectionError):
            # The client closed its connection.
            pass
        finally:
            held = self._clients.pop(key, None)
            if held is not None and held.client is writer:
                held.client = None
                held.connection.terminate()
                self._sessions.remove(held)
                await self._open()
            writer.close()

    async def _greeted(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes
    ) -> bool:
        """Accept a client; return False if there is nothing to serve."""
        while True:
            (length,) = struct.unpack("!I", await reader.readexactly(4))
            content = await reader.readexactly(length - 4)
            (version,) = struct.unpack_from("!I", content)
            if version == _CANCEL:
                self._cancel(content[4:])
                return False
            if version != _TLS:
                break
            writer.write(b"N")
        async with self._opening:
            while len(self._sessions) < SESSIONS_COUNT:
                await self._open()
        writer.write(_message(b"R", struct.pack("!I", 0)))
        for name, value in self._parameters.items():
            writer.write(_message(b"S", f"{name}\0{value}\0".encode()))
        writer.write(_message(b"K", key) + _message(b"Z", _NO_TRANSACTION))
        self._clients[key] = None
        return True

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: bytes
    ) -> None:
        session: _Session | None = None
        while (kind := await reader.readexactly(1)) != b"X":
            size = await reader.readexactly(4)
            content = await reader.readexactly(struct.unpack("!I", size)[0] - 4)
            if session is None or session.client is not writer:
                session = await self.free.get()
                session.client = writer
                self._clients[key] = session
            session.send(kind, kind + size + content)

    def _cancel(self, key: bytes) -> None:
        session = self._clients.get(key)
        if session is not None and session.client is not None:
            session.connection._cancel_current_command(
                asyncio.get_running_loop().create_future()
            )
