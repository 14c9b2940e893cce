"""The reads of a call, by table, and every statement that it executes.

Not its time: rows and pages, as the server itself counts them, also in functions and
triggers. The texts are read on the wire: the server reports a statement within a
function when it plans it, which is at its first execution.
"""

import asyncio
import re
import struct
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import attrs
import sqlalchemy as sa

from payments_adapters.postgres.store import PostgresStore
from support.databases import direct
from support.round_trips import CHUNK_BYTES, in_front_of, until_one_ends

# Each plan is reported when it is made, to the client only.
_TELLS_PLANS: Final = {
    "sslmode": "disable",
    "client_min_messages": "log",
    "log_min_messages": "panic",
    "debug_print_plan": "on",
    "debug_pretty_print": "off",
    "jit": "off",
    # In tables as small as these a scan may be cheaper: it counts as avoidable if
    # another plan exists.
    "enable_seqscan": "off",
}
_COUNTED: Final = """
select relname, coalesce(seq_scan, 0) as scans, coalesce(seq_tup_read, 0) + (
    select coalesce(sum(i.idx_tup_read), 0)::bigint from pg_stat_user_indexes i
    where i.relid = s.relid
) as rows, coalesce((
    select heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit, 0)
        + coalesce(idx_blks_read, 0)
    from pg_statio_user_tables b where b.relid = s.relid
), 0) as pages
from pg_stat_user_tables s
"""
_FLUSH: Final = "select pg_stat_force_next_flush()"


@attrs.frozen
class Count:
    """Sequential scans, rows read by whatever scan, and pages, also of indexes."""

    scans: int = 0
    rows: int = 0
    pages: int = 0

    def __sub__(self, other: "Count") -> "Count":
        return Count(
            self.scans - other.scans,
            self.rows - other.rows,
            self.pages - other.pages,
        )


Counts = Mapping[str, Count]


@attrs.define
class Told:
    """The statements on the wire, and those within functions."""

    statements: set[str] = attrs.field(factory=set)
    within: set[str] = attrs.field(factory=set)
    functions: set[str] = attrs.field(factory=set)

    def of_client(self, kind: int, body: bytes) -> None:
        if kind == ord("P"):
            self.statements.add(plain(body.split(b"\0")[1].decode()))
        elif kind == ord("Q"):
            self.statements.add(plain(body.rstrip(b"\0").decode()))

    def of_server(self, kind: int, body: bytes) -> None:
        if kind != ord("N"):
            return
        fields = {it[:1]: it[1:].decode() for it in body.split(b"\0") if it}
        where = fields.get(b"W", "")
        # The innermost of them is the planned one.
        if found := re.match(
            r'(?:SQL statement|PL/pgSQL (?:expression|assignment)) "(.*?)"\n(?=PL|SQL)',
            where,
            re.DOTALL,
        ):
            self.within.add(plain(found[1]))
        self.functions.update(re.findall(r'SQL function "(\w+)"', where))


def plain(text: str) -> str:
    """Return a statement without comments, in one line, and in lower case."""
    text = re.sub(r"--[^\n]*", "", text)
    return re.sub(r"\s+", " ", text).strip().lower()


Listener = Callable[[int, bytes], None]


@contextmanager
def told(dsn: str) -> Iterator[tuple[Told, str]]:
    """Lend the reported plans, and the DSN that reports them."""
    found = Told()
    # The server reports to the client of a session.
    dsn = direct(dsn)
    parts = urlsplit(dsn)

    async def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there = await asyncio.open_connection(parts.hostname, parts.port)
        await until_one_ends(
            (writer, there[1]),
            _pass(reader, there[1], found.of_client, begun=False),
            _pass(there[0], writer, found.of_server, begun=True),
        )

    with in_front_of(dsn, connected) as through:
        options = "&".join(f"{name}={value}" for name, value in _TELLS_PLANS.items())
        yield found, f"{through}?{options}"


async def _pass(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    listener: Listener,
    *,
    begun: bool,
) -> None:
    # A client's first message has no type.
    buffer, header = b"", 1 if begun else 0
    while data := await reader.read(CHUNK_BYTES):
        buffer += data
        while len(buffer) >= header + 4:
            (length,) = struct.unpack_from("!I", buffer, header)
            if len(buffer) < header + length:
                break
            if header:
                listener(buffer[0], buffer[5 : header + length])
            buffer, header = buffer[header + length :], 1
        writer.write(data)


async def _counted(store: PostgresStore) -> Counts:
    # Of all existing connections: unused ones have nothing to report.
    await store.execute(sa.text(_FLUSH))
    async with store.connection() as connection:
        await connection.execute(_FLUSH)
        found = await connection.fetch(_COUNTED)
    return {row["relname"]: Count(*tuple(row)[1:]) for row in found}


async def read_by_each(
    store: PostgresStore, works: Iterable[Callable[[], Awaitable[object]]]
) -> Sequence[Counts]:
    """Run one after the other; return what each has read, by table."""
    found, before = list[Counts](), await _counted(store)
    for work in works:
        await work()
        after = await _counted(store)
        read = {name: it - before.get(name, Count()) for name, it in after.items()}
        found.append({name: it for name, it in read.items() if it != Count()})
        before = after
    return found
