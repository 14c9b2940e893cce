"""The contracts of the stores, on a real Postgres."""

import asyncio
import uuid
from typing import Final

import attrs
import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from contracts.account_directory import AccountDirectoryContract
from contracts.event_log import EventLogContract
from contracts.examples import NOON, a_job, a_job_key, an_account, an_intent
from contracts.intents_in_turn import IntentDirectoryContract
from contracts.jobs_kept import asked
from contracts.jobs_settled import SettlingContract
from contracts.keeping import kept
from contracts.token_store import TokenStoreContract
from contracts.unit_of_work import (
    IntentStoreContract,
    JobStoreContract,
    SubscriptionStoreContract,
    UnitOfWorkContract,
)
from payments_adapters.postgres.queries import (
    PostgresDirectory,
    PostgresEventLog,
    PostgresIntentDirectory,
    PostgresTokens,
)
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import METADATA
from payments_adapters.postgres.unit_of_work import PostgresUnitsOfWork
from payments_core.ports import (
    AccountDirectory,
    EventLog,
    IntentDirectory,
    OpenUnitOfWork,
    TokenStore,
)
from support import databases

pytestmark = pytest.mark.anyio

# Far below the time-outs of locks: whoever waits for one does not get here.
AT_ONCE_S: Final = 1.5


class _OnPostgres:
    @pytest.fixture
    def open_unit_of_work(self, store: PostgresStore) -> OpenUnitOfWork:
        return PostgresUnitsOfWork(store)


class TestPostgresUnitOfWork(_OnPostgres, UnitOfWorkContract):
    pass


class TestPostgresSubscriptions(_OnPostgres, SubscriptionStoreContract):
    pass


class TestPostgresIntents(_OnPostgres, IntentStoreContract):
    pass


class TestPostgresJobs(_OnPostgres, JobStoreContract):
    pass


class TestPostgresSettling(_OnPostgres, SettlingContract):
    @pytest.fixture
    def event_log(self, store: PostgresStore) -> EventLog:
        return PostgresEventLog(store)


class TestPostgresIntentDirectory(_OnPostgres, IntentDirectoryContract):
    @pytest.fixture
    def directory(self, store: PostgresStore) -> IntentDirectory:
        return PostgresIntentDirectory(store)


class TestPostgresDirectory(_OnPostgres, AccountDirectoryContract):
    @pytest.fixture
    def directory(self, store: PostgresStore) -> AccountDirectory:
        return PostgresDirectory(store)


class TestPostgresEventLog(_OnPostgres, EventLogContract):
    @pytest.fixture
    def event_log(self, store: PostgresStore) -> EventLog:
        return PostgresEventLog(store)


class TestPostgresTokens(TokenStoreContract):
    @pytest.fixture
    def token_store(self, store: PostgresStore) -> TokenStore:
        return PostgresTokens(store)


async def test_due_intents_that_another_transaction_holds_are_left_out(
    store: PostgresStore,
) -> None:
    """
    Nobody waits for them: the next ones come at once, and those when it has ended.
    """
    open_unit_of_work = PostgresUnitsOfWork(store)
    ids = ["int_1", "int_2", "int_3"]
    await kept(open_unit_of_work, an_account())
    async with open_unit_of_work() as work:
        for id_ in ids:
            await work.save_intent(an_intent(id_, subject=id_), at=NOON)
        await work.commit()

    async with asyncio.timeout(AT_ONCE_S), open_unit_of_work() as first:
        held = await first.due_intents(now=NOON, limit=2)
        async with open_unit_of_work() as second:
            others = await second.due_intents(now=NOON, limit=9)
    async with open_unit_of_work() as work:
        later = await work.due_intents(now=NOON, limit=9)
    assert [it.id for it in held] == ids[:2]
    assert [it.id for it in others] == ids[2:]
    assert [it.id for it in later] == ids


async def test_due_jobs_that_another_transaction_holds_are_left_out(
    store: PostgresStore,
) -> None:
    """
    As with intents; and asking for one of them waits, and is not lost.
    """
    open_unit_of_work = PostgresUnitsOfWork(store)
    keys = [a_job_key(f"sub_{n}") for n in range(3)]
    await asked(open_unit_of_work, *(a_job(key.subject) for key in keys))

    async with asyncio.timeout(AT_ONCE_S):
        async with open_unit_of_work() as first:
            (held,) = await first.due_jobs(now=NOON, limit=1)
            async with open_unit_of_work() as second:
                others = await second.due_jobs(now=NOON, limit=9)
            asking = asyncio.create_task(
                asked(open_unit_of_work, a_job(held.key.subject))
            )
            await first.save_job(held.leased(NOON))
            await first.commit()
        await asking
    async with open_unit_of_work() as work:
        after = await work.job(held.key)
    assert [held.key, *(it.key for it in others)] == keys
    assert after == attrs.evolve(held.leased(NOON), asked=2)


# What a migration makes, each with its name and its definition. How bytes are stored
# is left out: that is the server's to say.
_COLUMNS: Final = """
select table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable,
    column_default)
from information_schema.columns where table_schema = 'public'
"""
_CONSTRAINTS: Final = """
select conname, conrelid::regclass || ' ' || pg_get_constraintdef(oid)
from pg_constraint where connamespace = 'public'::regnamespace
"""
_INDEXES: Final = """
select indexname, indexdef from pg_indexes where schemaname = 'public'
"""
_REST: Final = """
select relname, relkind::text
from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'S')
"""
_ALEMBIC: Final = "alembic_version"


async def shape_of(dsn: str) -> set[tuple[str, str]]:
    """Return what a database is made of, but for Alembic's own table."""
    return {
        (name, made)
        for query in (_COLUMNS, _CONSTRAINTS, _INDEXES, _REST)
        for name, made in await databases.fetch(dsn, query)
        if not name.startswith(_ALEMBIC)
    }


async def test_migrations_make_what_the_tables_say(
    postgres: str, database_url: str
) -> None:
    """
    No drift: every table, column, check, key and index, and nothing else.
    """
    name = f"made_{uuid.uuid4().hex}"
    made = databases.named(postgres, name)
    await databases.execute(postgres, f"create database {name}")
    engine = create_async_engine(
        made.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    await engine.dispose()
    expected = await shape_of(made)
    await databases.execute(postgres, f"drop database {name} with (force)")

    assert len(expected) > 100
    assert await shape_of(database_url) == expected
