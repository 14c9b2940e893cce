"""Databases for tests: each a copy of one that was migrated once.

`PAYMENTS_TEST_THROUGH`, the path of a PgBouncer, makes tests connect through it in
transaction mode, as a deployment would; `direct` bypasses it for a test that needs what
a pooler's client cannot have.
"""

import asyncio
import os
import uuid
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from payments_adapters.postgres import schema
from payments_service.dev.postgres import embedded_postgres
from support.pgbouncer import through_pgbouncer

# Connections to each database: tests hold several at once.
SESSIONS_COUNT: Final = 25
# The address of a server by that of its pooler, and the reverse.
_SERVERS: Final = dict[str, str]()
_POOLERS: Final = dict[str, str]()

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


def named(dsn: str, database: str) -> str:
    """Return the DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def direct(dsn: str) -> str:
    """Return the DSN of the same database without the pooler."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=_SERVERS.get(parts.netloc, parts.netloc)))


def _lent(dsn: str, database: str) -> str:
    """Return the DSN by which a test connects: through a pooler, if any."""
    parts = urlsplit(dsn)
    netloc = _POOLERS.get(parts.netloc, parts.netloc)
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}"))


async def connected(dsn: str) -> Any:
    """Return a connection with a session of its own."""
    return await asyncpg.connect(direct(dsn))


async def execute(dsn: str, *statements: str) -> None:
    connection = await connected(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(dsn: str, query: str, *values: object) -> list[Any]:
    connection = await connected(dsn)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


async def only_read(dsn: str, *, on: bool) -> None:
    """Make new sessions of a database read-only; existing ones stay as they are.

    A failover leaves such sessions, too. It leaves none of a pooler's: these end.
    """
    setting = f"default_transaction_read_only = {'on' if on else 'off'}"
    name = dsn.rpartition("/")[2]
    statements = [f"alter database {name} set {setting}"]
    if direct(dsn) != dsn:
        statements.append(
            "select pg_terminate_backend(pid) from pg_stat_activity"  # noqa: S608  # our own name
            f" where datname = '{name}'"
        )
    # From another database, whose sessions may write.
    await execute(named(dsn, "postgres"), *statements)


@contextmanager
def server() -> Iterator[str]:
    """Lend a server: the one that PAYMENTS_TEST_DATABASE_URL names, or our own."""
    with _server() as dsn, ExitStack() as stack:
        if path := os.environ.get("PAYMENTS_TEST_THROUGH"):
            through = stack.enter_context(through_pgbouncer(path, dsn, SESSIONS_COUNT))
            ours, poolers = urlsplit(dsn).netloc, urlsplit(through).netloc
            _SERVERS[poolers], _POOLERS[ours] = ours, poolers
        yield dsn


@contextmanager
def _server() -> Iterator[str]:
    if url := os.environ.get("PAYMENTS_TEST_DATABASE_URL"):
        yield url
        return
    with embedded_postgres() as postgres:
        yield postgres.dsn


@contextmanager
def template(dsn: str) -> Iterator[str]:
    """Migrate one database; return its name."""
    name = f"template_{uuid.uuid4().hex}"
    run(execute(dsn, f"create database {name}"))
    run(schema.upgrade(named(dsn, name)))
    yield name
    run(execute(dsn, f"drop database {name} with (force)"))


@contextmanager
def empty(dsn: str) -> Iterator[str]:
    """Lend a database that is not migrated."""
    name = f"empty_{uuid.uuid4().hex}"
    run(execute(dsn, f"create database {name}"))
    yield _lent(dsn, name)
    run(execute(dsn, f"drop database {name} with (force)"))


@contextmanager
def copy_of(dsn: str, template_name: str) -> Iterator[str]:
    """Lend an own copy of the migrated database."""
    name = f"test_{uuid.uuid4().hex}"
    run(
        execute(
            dsn, f"create database {name} template {template_name} strategy file_copy"
        )
    )
    yield _lent(dsn, name)
    run(execute(dsn, f"drop database {name} with (force)"))


TABLES = (
    "payment_accounts",
    "payments",
    "webhook_events",
    "event_bodies",
    "subscriptions",
    "paid_periods",
    "invoice_payments",
    "account_log",
    "former_keys",
    "changes_by_hand",
    "link_keys",
    "intents",
    "jobs",
    "invalidated_tokens",
    "token_cut_offs",
)


def digest(dsn: str) -> dict[str, str]:
    """Return a hash of every table: equal means unchanged."""

    async def read() -> dict[str, str]:
        connection = await connected(dsn)
        try:
            return {
                table: await connection.fetchval(
                    f"select md5(string_agg(r::text, '|' order by r::text)) from {table} r"  # noqa: S608, E501  # our own names
                )
                for table in TABLES
            }
        finally:
            await connection.close()

    return run(read())
