"""Databases for tests: each a copy of one that was migrated once."""

import asyncio
import os
import uuid
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from payments_adapters.postgres import schema
from payments_service.dev.postgres import embedded_postgres

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


def named(dsn: str, database: str) -> str:
    """Return the DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(dsn: str, query: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(query, *values))
    finally:
        await connection.close()


async def only_read(dsn: str, *, on: bool) -> None:
    """Let new sessions of a database only read; those that there are stay as they are.

    A failover leaves such sessions, too.
    """
    setting = f"default_transaction_read_only = {'on' if on else 'off'}"
    name = dsn.rpartition("/")[2]
    # From another database, whose sessions may write.
    await execute(named(dsn, "postgres"), f"alter database {name} set {setting}")


@contextmanager
def server() -> Iterator[str]:
    """Lend a server: the one that PAYMENTS_TEST_DATABASE_URL names, or our own."""
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
    """Lend a database that nobody has migrated."""
    name = f"empty_{uuid.uuid4().hex}"
    run(execute(dsn, f"create database {name}"))
    yield named(dsn, name)
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
    yield named(dsn, name)
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
    """Return what is in every table, as one hash each: equal means unchanged."""

    async def read() -> dict[str, str]:
        connection = await asyncpg.connect(dsn)
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
