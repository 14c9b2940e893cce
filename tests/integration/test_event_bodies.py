"""How the bodies of events are stored."""

from datetime import UTC, datetime, timedelta

import pytest

from payments_adapters.postgres import partitions
from payments_adapters.postgres.store import PostgresStore

pytestmark = pytest.mark.anyio

_KEEP = (
    "insert into event_bodies (received_on, id, type, body) values ($1, 'a', $2, $3)"
)
_STORED = """
select pg_column_compression(b.body), pg_relation_size(c.reltoastrelid) = 0
from event_bodies b join pg_class c on c.oid = b.tableoid where b.type = $1
"""


@pytest.mark.parametrize("days", [0, partitions.DAYS_AHEAD + 6, 1_000])
async def test_a_body_is_not_compressed_the_slow_way(
    store: PostgresStore, days: int
) -> None:
    """
    By lz4 if the server has it, otherwise uncompressed, and then a body that fits a
    page stays in its row: in partitions of the migration, of the worker, and in the
    default one.
    """
    today = datetime.now(UTC).date()
    await partitions.prepare(store, today + timedelta(days=10))
    part, stored = b'{"object": "event"} ', dict[str, tuple[str | None, bool]]()
    async with store.connection() as connection:
        has_lz4 = await connection.fetchval(partitions.HAS_LZ4)
        for size, count in {"usual": 200, "large": 1_000}.items():
            day = today + timedelta(days=days)
            await connection.execute(_KEEP, day, size, part * count)
            stored[size] = tuple(await connection.fetchrow(_STORED, size))
    how = "lz4" if has_lz4 else None
    assert stored == {"usual": (how, True), "large": (how, bool(has_lz4))}
