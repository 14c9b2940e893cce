"""A pooler that gives each transaction another session: like PgBouncer up to 1.20."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

import pytest

from contracts.examples import an_account, an_event
from contracts.stores import first_page
from payments_adapters.postgres import partitions, schema
from payments_adapters.postgres.event_log import PostgresEventLog
from payments_adapters.postgres.store import PostgresStore
from payments_core.events import EventState, Outcome
from support import databases
from support.pooler import SESSIONS_COUNT, pooled
from support.postgres_stores import stores_on

pytestmark = pytest.mark.anyio

APPLIED: Final = Outcome(EventState.APPLIED)
_KEPT: Final = "select count(*) from pg_prepared_statements where name <> ''"
TODAY: Final = datetime(2026, 1, 10, 12, tzinfo=UTC).date()


@pytest.fixture
def through(database_url: str) -> Iterator[str]:
    with pooled(database_url) as dsn:
        yield dsn


async def test_a_pooler_gives_each_transaction_another_session(through: str) -> None:
    """
    Otherwise the tests below prove nothing.
    """
    async with PostgresStore(through, SESSIONS_COUNT).opened() as store:
        async with AsyncExitStack() as stack:
            # As many at once as sessions exist.
            for _ in range(SESSIONS_COUNT):
                connection = await stack.enter_async_context(store.connection())
                await stack.enter_async_context(connection.transaction())
                await connection.execute("select 1")
        async with store.connection() as connection:
            pids = {
                await connection.fetchval("select pg_backend_pid()") for _ in range(9)
            }
    assert len(pids) > 1


async def test_processes_behind_a_pooler_load_save_and_claim(through: str) -> None:
    """
    Concurrently and repeatedly: each connection uses the same statement names.
    """

    async def work(name: str) -> int:
        async with PostgresStore(through, 2).opened() as store:
            stores = stores_on(store)
            for number in range(6):
                user = f"{name}-{number}"
                event = an_event(f"e-{user}")
                await stores.keep(an_account(user), events=[(event, APPLIED)])
                assert (await stores.account(user)).user_id == user
                await stores.queue.claim(now=datetime.now(UTC), limit=4)
            found = await first_page(PostgresEventLog(store))
            return sum(it.key.id.startswith(f"e-{name}") for it in found)

    assert await asyncio.gather(*map(work, "abcd")) == [6] * 4


async def test_the_worker_prepares_days_behind_a_pooler(through: str) -> None:
    """
    A setting for a transaction ends with the transaction.
    """
    async with PostgresStore(through, 1).opened() as store:
        await partitions.prepare(store, TODAY)
        query = "select to_regclass('event_bodies_20260111') is not null"
        async with store.connection() as connection:
            assert await connection.fetchval(query)


async def test_a_migration_runs_behind_a_pooler(empty_database: str) -> None:
    """
    From an empty database to the current schema; a second run does nothing.
    """
    with pooled(empty_database) as through:
        await schema.upgrade(through)
        assert await schema.current(through) == schema.head()
        await schema.upgrade(through)


async def test_statements_are_kept_only_where_a_session_is_ours(
    database_url: str, through: str
) -> None:
    """
    They save a round trip each time, and behind a pooler they belong to another client.
    """

    async def kept(dsn: str) -> int:
        async with (
            PostgresStore(dsn, 1).opened() as store,
            store.connection() as connection,
        ):
            for _ in range(9):
                await connection.fetchval("select 1 + $1::int", 1)
            count: int = await connection.fetchval(_KEPT)
            return count

    assert await kept(databases.direct(database_url)) > 0
    assert await kept(through) == 0
