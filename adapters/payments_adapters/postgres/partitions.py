"""The partitions of event bodies: one for each day, made ahead, and dropped when old.

A body of a day without a partition goes to the default one, so nothing is refused.
"""

from contextlib import suppress
from datetime import date, timedelta
from typing import Final

import asyncpg

from payments_adapters.postgres.store import PostgresStore

DAYS_AHEAD: Final = 14
_EXISTS: Final = "select to_regclass($1) is not null"
# Nobody who waits behind us comes to the end of a lock time-out of his own (`save_v1`).
_DROP_LOCK: Final = "set local lock_timeout = '50ms'"
# Also one that was taken out of the table by a process that ended then.
_DAYS_BEFORE: Final = r"""
select relname from pg_class
where relnamespace = (
        select relnamespace from pg_class where oid = to_regclass('event_bodies')
    )
    and relkind = 'r' and relname ~ '^event_bodies_\d{8}$' and relname < $1
order by relname limit $2
"""
_IS_ATTACHED: Final = "select relispartition from pg_class where oid = to_regclass($1)"
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


async def days_before(store: PostgresStore, day: date, *, limit: int) -> list[date]:
    """Return the days before a day that have bodies of their own, the oldest first.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    async with store.connection() as connection:
        found = await connection.fetch(_DAYS_BEFORE, name_of(day), limit)
    return [date.fromisoformat(name[-len("20260131") :]) for (name,) in found]


async def drop(store: PostgresStore, day: date, batch: int) -> bool:
    """Drop the bodies of a day; say whether it was done.

    What is pending or quarantined takes its body along first, `batch` at a time. Who
    uses bodies at this moment is waited for no longer than it takes to find that out:
    it is done the next time. Several processes may do it at once.

    Raises:
        StoreUnavailable: the database does not answer; do it again.
    """
    name, needed = name_of(day), _needed(day)
    async with store.connection() as connection:
        try:
            while await connection.fetchval(_kept_beside(day, needed), batch):
                continue
            # Taken out under a lock of a moment; its files go after that.
            async with connection.transaction():
                await connection.execute(_DROP_LOCK)
                await connection.execute("lock table event_bodies")
                if await connection.fetchval(f"select exists (select {needed})"):
                    # The row of its event is in use.
                    return False
                if await connection.fetchval(_IS_ATTACHED, name):
                    await connection.execute(
                        f"alter table event_bodies detach partition {name}"
                    )
            await connection.execute(f"drop table if exists {name}")
        except (asyncpg.LockNotAvailableError, asyncpg.UndefinedTableError):
            return False
    return True


def _needed(day: date) -> str:
    """Return what selects the events of a day that need their bodies still."""
    return (
        f"from webhook_events e join {name_of(day)} b"
        f" on b.received_on = '{day}' and b.id = e.id and b.type = e.type"
        " where e.state in ('pending', 'quarantined') and e.body is null"
        f" and e.received_at >= '{day}T00:00Z'"
        f" and e.received_at < '{day + timedelta(days=1)}T00:00Z'"
    )


def _kept_beside(day: date, needed: str) -> str:
    return f"""
with needed as (select e.id, e.type {needed} limit $1 for update of e skip locked),
kept as (
    update webhook_events e set body = b.body from needed, {name_of(day)} b
    where e.id = needed.id and e.type = needed.type
        and b.received_on = '{day}' and b.id = needed.id and b.type = needed.type
    returning 1
)
select count(*) from kept
"""  # noqa: S608  # our own names
