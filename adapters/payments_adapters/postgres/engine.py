"""SQLAlchemy's engine over asyncpg, for everything that is not hot."""

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S: Final = 5.0
# asyncpg has none by default: a COMMIT into a black hole would wait for ever.
COMMAND_TIMEOUT_S: Final = 5.0


def plain_dsn(dsn: str) -> str:
    """Return the DSN without SQLAlchemy's name of the driver."""
    scheme, separator, rest = dsn.partition("://")
    known = {"postgresql+asyncpg", "postgres", "postgresql"}
    return f"postgresql://{rest}" if separator and scheme in known else dsn


def engine_on(
    dsn: str, *, connecting: dict[str, object], **options: Any
) -> AsyncEngine:
    """Return an engine that connects when it is used.

    `connecting` are asyncpg's own options of a connection, `options` the engine's.
    """
    return create_async_engine(
        # The driver reads the DSN itself: SQLAlchemy would not know all that it may
        # say (sslmode, for one).
        "postgresql+asyncpg://",
        connect_args={
            "dsn": plain_dsn(dsn),
            "timeout": CONNECT_TIMEOUT_S,
            # Prepared anew each time: a migration beside us makes a kept one stale.
            "prepared_statement_cache_size": 0,
            # And without a name, in the round trip that runs it: a pooler may give
            # each transaction another session, where a name means nothing, or another
            # statement.
            "statement_cache_size": 0,
            "prepared_statement_name_func": str,
            **connecting,
        },
        # What is bound may be personal, and errors are logged.
        hide_parameters=True,
        **options,
    )
