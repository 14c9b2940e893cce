"""The partitions of event bodies: one per day, created ahead, and dropped when old.

A body of a day without a partition goes to the default one, so nothing is refused.
"""

from contextlib import suppress
from datetime import date, timedelta
from typing import Final

import asyncpg

from payments_adapters.postgres.store import PostgresStore

DAYS_AHEAD: Final = 14
_EXISTS: Final = "select to_regclass($1) is not null"
# Shorter than the lock timeout of a save (`save_v1`): a save that waits for us never
# times out.
_DROP_LOCK: Final = "set local lock_timeout = '50ms'"
# Also a partition that a process detached and did not drop before it ended.
_DAYS_BEFORE: Final = r"""
select relname from pg_class
where relnamespace = (
        select relnamespace from pg_class where oid = to_regclass('event_bodies')
    )
    and relkind = 'r' and relname ~ '^event_bodies_\d{8}$' and relname < $1
order by relname limit $2
"""
_IS_ATTACHED: Final = "select relispartition from pg_class where oid = to_regclass($1)"
# Not every build has lz4; the server knows.
HAS_LZ4: Final = (
    "select 'lz4' = any(enumvals) from pg_settings"
    " where name = 'default_toast_compression'"
)
# Without lz4 bodies are stored uncompressed, and most fit a page: they stay in the row,
# out of the TOAST table. Unlike the columns' storage, partitions do not inherit this.
_IN_THE_ROW: Final = " with (toast_tuple_target = 8160)"


def storage(*, has_lz4: bool) -> str:
    """Return the statement that makes storing bodies cheap.

    Postgres compresses large values with pglz by default, which takes a quarter of the
    time of a webhook.
    """
    how = "compression lz4" if has_lz4 else "storage external"
    return f"alter table event_bodies alter column body set {how}"


def name_of(day: date | None) -> str:
    return "event_bodies_default" if day is None else f"event_bodies_{day:%Y%m%d}"


def creation(day: date | None, *, has_lz4: bool) -> str:
    """Return the statement that creates the partition of a day, or the default one."""
    values = "default"
    if day is not None:
        values = f"for values from ('{day}') to ('{day + timedelta(days=1)}')"
    return (
        f"create table if not exists {name_of(day)} partition of event_bodies"
        f" {values}{'' if has_lz4 else _IN_THE_ROW}"
    )


async def prepare(store: PostgresStore, today: date) -> None:
    """Create the partitions of the coming days.

    Existing partitions are not touched. We do not wait for current readers of bodies,
    because every save would wait behind us: that day's partition is created the next
    time. Several processes may do this concurrently.

    Raises:
        StoreUnavailable: the database does not answer; try again.
    """
    async with store.connection() as connection:
        has_lz4 = bool(await connection.fetchval(HAS_LZ4))
        for ahead in range(1, DAYS_AHEAD + 1):
            day = today + timedelta(days=ahead)
            if await connection.fetchval(_EXISTS, name_of(day)):
                continue
            # Another process created it meanwhile; or a transaction is reading; or
            # bodies of that day are in the default partition, where they can stay.
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
    """Return the days before a day that have a partition of bodies, oldest first.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    async with store.connection() as connection:
        found = await connection.fetch(_DAYS_BEFORE, name_of(day), limit)
    return [date.fromisoformat(name[-len("20260131") :]) for (name,) in found]


async def drop(store: PostgresStore, day: date, batch: int) -> bool:
    """Drop the bodies of a day; return whether it was done.

    Pending and quarantined events take their bodies along first, `batch` at a time. If
    bodies are in use, the call waits no longer than it takes to find out: it is done
    the next time. Several processes may do this concurrently.

    Raises:
        StoreUnavailable: the database does not answer; try again.
    """
    name, needed = name_of(day), _needed(day)
    async with store.connection() as connection:
        try:
            while await connection.fetchval(_kept_beside(day, needed), batch):
                continue
            # Detached under a short lock; its files are deleted after that.
            async with connection.transaction():
                await connection.execute(_DROP_LOCK)
                await connection.execute("lock table event_bodies")
                if await connection.fetchval(f"select exists (select {needed})"):
                    # The event's row is locked.
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
    """Return the query for the events of a day that still need their bodies."""
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
