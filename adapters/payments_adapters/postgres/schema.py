"""Bring a database to the present schema, and say where it is.

Alembic's context is a process-wide global: one upgrade at a time in a process. Any
number of processes may try at once; they take turns on a lock of the transaction.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from payments_adapters.postgres.driver_errors import our_errors
from payments_adapters.postgres.engine import engine_on

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def _config(
    connection: sa.Connection | None = None, findings: list[str] | None = None
) -> Config:
    config = Config()
    # Alembic reads it as a template: a percent sign in a path has to be doubled.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    # What migrations found and left as it was: a person has to decide on it.
    config.attributes["findings"] = findings
    return config


def head() -> str:
    """Return the revision that this release works on."""
    return str(_scripts().get_current_head())


def is_behind(revision: str) -> bool:
    """Say whether a database at this revision lacks migrations of this release.

    A revision that this release does not know is a later release's.
    """
    known = {script.revision for script in _scripts().walk_revisions()}
    return revision != head() and revision in known


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _upgrade(connection: sa.Connection) -> Sequence[str]:
    revision, findings = _current(connection), list[str]()
    if revision is None or is_behind(revision):
        command.upgrade(_config(connection, findings), "head")
    return findings


def _current(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def upgrade(dsn: str) -> Sequence[str]:
    """Run the migrations that are missing, all in one transaction.

    A database of a later release is left as it is: this release runs on it. Return a
    sentence for each thing that was found and left for a person to decide.

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

    Raises:
        StoreUnavailable: the database does not answer.
    """
    engine = _engine(dsn)
    with our_errors():
        async with engine.connect() as connection:
            revision: str | None = await connection.run_sync(_current)
    await engine.dispose()
    return revision


def _engine(dsn: str) -> AsyncEngine:
    return engine_on(dsn, connecting={}, poolclass=NullPool)
