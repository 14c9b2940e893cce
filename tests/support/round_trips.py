"""A proxy in front of Postgres that counts how often a client waits for an answer."""

import asyncio
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import attrs

# A client's last message before it waits: Sync, or a simple query.
ROUND_TRIPS: Final = frozenset(b"SQ")
TLS_REQUEST_LENGTH: Final = 8
CHUNK_BYTES: Final = 65_536

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@attrs.define
class RoundTrips:
    """Forwards connections to a Postgres, and counts waits for an answer."""

    host: str
    target_port: int
    count: int = 0

    async def connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there = await asyncio.open_connection(self.host, self.target_port)
        await until_one_ends(
            (writer, there[1]),
            self._count_and_pass(reader, there[1]),
            _pass(there[0], writer),
        )

    async def _count_and_pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # The messages before the session have no type: the length comes first.
        buffer, header = b"", 0
        while data := await reader.read(CHUNK_BYTES):
            buffer += data
            while len(buffer) >= header + 4:
                (length,) = struct.unpack_from("!I", buffer, header)
                if len(buffer) < header + length:
                    break
                # Counted before it is forwarded: no answer comes uncounted.
                self.count += header == 1 and buffer[0] in ROUND_TRIPS
                asks_for_tls = header == 0 and length == TLS_REQUEST_LENGTH
                buffer = buffer[header + length :]
                header = 0 if asks_for_tls else 1
            writer.write(data)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)


async def until_one_ends(
    ends: Iterable[asyncio.StreamWriter], *passing: Coroutine[Any, Any, None]
) -> None:
    """Forward in both directions until one of them ends; then close both ends."""
    tasks = [asyncio.create_task(it) for it in passing]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for end in ends:
            end.close()
            with suppress(OSError):
                await end.wait_closed()


@contextmanager
def counting(dsn: str) -> Iterator[tuple[RoundTrips, str]]:
    """Lend a proxy in front of a database, and the DSN that leads through it."""
    parts = urlsplit(dsn)
    trips = RoundTrips(parts.hostname or "", parts.port or 5432)
    with in_front_of(dsn, trips.connected) as through:
        yield trips, through


@contextmanager
def in_front_of(
    dsn: str, connected: Connected, close: Callable[[], object] = lambda: None
) -> Iterator[str]:
    """Answer clients in a thread; lend the DSN that leads there."""
    parts = urlsplit(dsn)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begun() -> asyncio.Server:
        return await asyncio.start_server(connected, "127.0.0.1", 0)

    async def ended() -> None:
        server.close()
        mine = asyncio.current_task()
        left = [task for task in asyncio.all_tasks() if task is not mine]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        close()

    server = asyncio.run_coroutine_threadsafe(begun(), loop).result()
    user = parts.netloc.rpartition("@")[0]
    port = server.sockets[0].getsockname()[1]
    try:
        yield urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}"))
    finally:
        asyncio.run_coroutine_threadsafe(ended(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
