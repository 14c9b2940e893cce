"""Turn a driver's errors into ours, with or without SQLAlchemy in between.

These translations apply to every statement. An error with another meaning for one
statement is caught where that statement is run: in `ledger`, `partitions` and `store`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import sqlalchemy.exc

from payments_core.errors import StoreUnavailable

# It is unknown whether the statement took effect: the same error comes for a commit
# that was made and for one that was not.
OUTCOME_UNKNOWN: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InterfaceError,
    # The driver's error for a connection that was cut in the middle of its protocol.
    asyncpg.InternalClientError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ObjectInUseError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.ReadOnlySQLTransactionError,
    # None of SQLAlchemy's connections was free in time.
    sqlalchemy.exc.TimeoutError,
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
)


# A table or column does not exist: the database is of another release, or empty.
_OF_SCHEMA: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
)


def is_of_schema(error: BaseException) -> bool:
    """Return whether a statement failed because the schema is not this release's."""
    return isinstance(error, _OF_SCHEMA)


@contextmanager
def our_errors() -> Iterator[None]:
    """Translate a driver's exceptions, chained; a bug is not translated."""
    try:
        with _unwrapped():
            yield
    except OUTCOME_UNKNOWN as error:
        raise StoreUnavailable from error


@contextmanager
def connection_errors() -> Iterator[None]:
    """Translate any error of connecting, chained.

    Whatever the reason, the server cannot be used.
    """
    try:
        with _unwrapped():
            yield
    except asyncpg.PostgresError as error:
        raise StoreUnavailable from error


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Raise the driver's error without SQLAlchemy's wrapping."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise error.driver_exception from error
