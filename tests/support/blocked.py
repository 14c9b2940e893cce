"""A proxy in front of Postgres that can stop forwarding, without closing anything."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import attrs

from support.round_trips import CHUNK_BYTES, in_front_of, until_one_ends

# How soon held-back data is forwarded.
_HELD_S: Final = 0.01


@attrs.define
class Line:
    """Open while `is_open` is set; data that arrives meanwhile is forwarded later."""

    _host: str
    _port: int
    is_open: threading.Event = attrs.field(factory=threading.Event)

    async def connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there = await asyncio.open_connection(self._host, self._port)
        await until_one_ends(
            (writer, there[1]),
            self._pass(reader, there[1]),
            self._pass(there[0], writer),
        )

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            while not self.is_open.is_set():  # noqa: ASYNC110  # another thread sets it
                await asyncio.sleep(_HELD_S)
            writer.write(data)


@contextmanager
def blockable(dsn: str) -> Iterator[tuple[Line, str]]:
    """Lend an open proxy, and the DSN that leads through it."""
    parts = urlsplit(dsn)
    line = Line(parts.hostname or "", parts.port or 5432)
    line.is_open.set()
    with in_front_of(dsn, line.connected) as through:
        yield line, through
        line.is_open.set()
