"""SQLAlchemy's engine over asyncpg, for everything off the hot path."""

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S: Final = 5.0
# asyncpg has no timeout by default: a COMMIT into a black hole would wait forever.
COMMAND_TIMEOUT_S: Final = 5.0


def plain_dsn(dsn: str) -> str:
    """Return the DSN without SQLAlchemy's driver name."""
    scheme, separator, rest = dsn.partition("://")
    known = {"postgresql+asyncpg", "postgres", "postgresql"}
    return f"postgresql://{rest}" if separator and scheme in known else dsn


def engine_on(
    dsn: str, *, connecting: dict[str, object], **options: Any
) -> AsyncEngine:
    """Return an engine that connects lazily.

    `connecting` are asyncpg's own connection options, `options` the engine's.
    """
    return create_async_engine(
        # The driver parses the DSN itself: SQLAlchemy does not know all of its options
        # (sslmode, for one).
        "postgresql+asyncpg://",
        connect_args={
            "dsn": plain_dsn(dsn),
            "timeout": CONNECT_TIMEOUT_S,
            # Prepared anew each time: a concurrent migration makes a cached one stale.
            "prepared_statement_cache_size": 0,
            # And unnamed, in the round trip that runs it: a pooler may give each
            # transaction another session, where a name is unknown, or names another
            # statement.
            "statement_cache_size": 0,
            "prepared_statement_name_func": str,
            **connecting,
        },
        # Bound values may be personal data, and errors are logged.
        hide_parameters=True,
        **options,
    )
