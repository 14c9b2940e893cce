"""Migrations: upgrade a database to this release's schema, and read its revision.

Alembic's context is global to the process: one upgrade at a time in a process. Any
number of processes may try concurrently; they take turns on a transaction lock.

Alembic is imported only where migrations run: a process that serves only reads the
revision, and would keep ten megabytes of it in memory.
"""

import re
from collections.abc import Sequence
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from payments_adapters.postgres.driver_errors import our_errors
from payments_adapters.postgres.engine import COMMAND_TIMEOUT_S, engine_on

if TYPE_CHECKING:
    from alembic.config import Config

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
# Alembic's own table.
_VERSIONS: Final = sa.table("alembic_version", sa.column("version_num", sa.Text))


def _config(
    connection: sa.Connection | None = None, findings: list[str] | None = None
) -> "Config":
    from alembic.config import Config  # noqa: PLC0415  # see above

    config = Config()
    # Alembic reads it as a template: a percent sign in a path must be doubled.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    # What migrations found and left unchanged: a person must decide on it.
    config.attributes["findings"] = findings
    return config


def head() -> str:
    """Return the revision of this release's schema."""
    return max(_revisions())


class SchemaState(Enum):
    """What the revision of a database means to this release."""

    EMPTY = auto()
    # Migrations of this release are missing.
    BEHIND = auto()
    CURRENT = auto()
    LATER = auto()
    # No release of this service wrote it.
    UNKNOWN = auto()


def state_of(revision: str | None) -> SchemaState:
    """Return what a revision that `current` returned means to this release.

    Revisions are four-digit numbers that grow: a greater one than ours belongs to a
    later release.
    """
    if revision is None:
        return SchemaState.EMPTY
    if revision == head():
        return SchemaState.CURRENT
    if revision in _revisions():
        return SchemaState.BEHIND
    is_later = re.fullmatch("[0-9]{4}", revision) and revision > head()
    return SchemaState.LATER if is_later else SchemaState.UNKNOWN


def is_upgradable(revision: str | None) -> bool:
    """Return whether `upgrade` runs migrations on a database at this revision."""
    return state_of(revision) in {SchemaState.EMPTY, SchemaState.BEHIND}


@cache
def _revisions() -> frozenset[str]:
    """Return the revisions of this release: each file name begins with one."""
    files = (_MIGRATIONS / "versions").glob("[0-9]*.py")
    return frozenset(it.name.partition("_")[0] for it in files)


def _upgrade(connection: sa.Connection) -> Sequence[str]:
    from alembic import command  # noqa: PLC0415  # see above

    findings = list[str]()
    if is_upgradable(_current(connection)):
        command.upgrade(_config(connection, findings), "head")
    return findings


def _current(connection: sa.Connection) -> str | None:
    tables, revisions = sa.inspect(connection), list[str]()
    if tables.has_table(_VERSIONS.name):
        revisions += connection.scalars(sa.select(_VERSIONS.c.version_num))
    if not revisions and tables.has_table("payment_accounts"):
        return "none"
    return ", ".join(sorted(revisions)) or None


async def upgrade(dsn: str) -> Sequence[str]:
    """Run the missing migrations, all in one transaction.

    A database of a later release is left unchanged, because this release runs on it; so
    is one with an unknown revision. Return a sentence for each finding that was left
    for a person to decide.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    engine = _engine(dsn)
    with our_errors():
        async with engine.begin() as connection:
            findings: Sequence[str] = await connection.run_sync(_upgrade)
    await engine.dispose()
    return findings


async def current(dsn: str) -> str | None:
    """Return the revision of the database, None for an empty one.

    If there is not exactly one revision: the text that is stored, or "none".

    Raises:
        StoreUnavailable: the database does not answer, or its table is locked.
    """
    engine = _engine(dsn, command_timeout=COMMAND_TIMEOUT_S)
    with our_errors():
        async with engine.connect() as connection:
            revision: str | None = await connection.run_sync(_current)
    await engine.dispose()
    return revision


def _engine(dsn: str, **connecting: object) -> AsyncEngine:
    return engine_on(dsn, connecting=connecting, poolclass=NullPool)
