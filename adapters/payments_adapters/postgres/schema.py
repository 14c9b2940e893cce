"""Bring a database to the present schema, and say where it is.

Alembic's context is a process-wide global: one upgrade at a time in a process. Any
number of processes may try at once; they take turns on a lock of the transaction.
"""

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from payments_adapters.postgres.store import our_errors, plain_dsn

_MIGRATIONS: Final = Path(__file__).with_name("migrations")


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    # Alembic reads it as a template: a percent sign in a path has to be doubled.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
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


def _upgrade(connection: sa.Connection, revision: str) -> None:
    command.upgrade(_config(connection), revision)


def _current(connection: sa.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def upgrade(dsn: str, revision: str = "head") -> None:
    """Run the migrations that are missing, all in one transaction.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    engine = _engine(dsn)
    with our_errors():
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, revision)
    await engine.dispose()


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
    url = plain_dsn(dsn).replace("postgresql://", "postgresql+asyncpg://", 1)
    return create_async_engine(url, poolclass=NullPool, hide_parameters=True)
