"""The partitions of event bodies: one for each day, made ahead.

A body of a day without a partition goes to the default one, so nothing is refused.
"""

from contextlib import suppress
from datetime import date, timedelta
from typing import Final

import asyncpg

from payments_adapters.postgres.store import PostgresStore

DAYS_AHEAD: Final = 14
_EXISTS: Final = "select to_regclass($1) is not null"
# Not every build has it; the server knows.
HAS_LZ4: Final = (
    "select 'lz4' = any(enumvals) from pg_settings"
    " where name = 'default_toast_compression'"
)
# Without lz4 bodies are stored as they are, and most fit a page: they stay in the row,
# out of the side table. Unlike the columns' storage no partition inherits this.
_IN_THE_ROW: Final = " with (toast_tuple_target = 8160)"


def storage(*, has_lz4: bool) -> str:
    """Return the statement by which bodies are stored cheaply.

    Postgres compresses large values with pglz by default, which costs a
    quarter of its time for a webhook.
    """
    how = "compression lz4" if has_lz4 else "storage external"
    return f"alter table event_bodies alter column body set {how}"


def name_of(day: date | None) -> str:
    return "event_bodies_default" if day is None else f"event_bodies_{day:%Y%m%d}"


def creation(day: date | None, *, has_lz4: bool) -> str:
    """Return the statement that makes the partition of a day, or the default one."""
    values = "default"
    if day is not None:
        values = f"for values from ('{day}') to ('{day + timedelta(days=1)}')"
    return (
        f"create table if not exists {name_of(day)} partition of event_bodies"
        f" {values}{'' if has_lz4 else _IN_THE_ROW}"
    )


async def prepare(store: PostgresStore, today: date) -> None:
    """Make the partitions of the coming days.

    What exists is not touched. Who reads bodies at this moment is not waited for, for
    every save would wait behind us: that day's partition is made the next time. Several
    processes may do it at once.

    Raises:
        StoreUnavailable: the database does not answer; do it again.
    """
    async with store.connection() as connection:
        has_lz4 = bool(await connection.fetchval(HAS_LZ4))
        for ahead in range(1, DAYS_AHEAD + 1):
            day = today + timedelta(days=ahead)
            if await connection.fetchval(_EXISTS, name_of(day)):
                continue
            # Made by another process meanwhile; or read by somebody; or bodies of that
            # day are in the default partition, where they can stay.
            with suppress(
                asyncpg.DuplicateTableError,
                asyncpg.UniqueViolationError,
                asyncpg.LockNotAvailableError,
                asyncpg.CheckViolationError,
            ):
                async with connection.transaction():
                    await connection.execute("set local lock_timeout = '100ms'")
                    await connection.execute(creation(day, has_lz4=has_lz4))
