"""Turn a driver's errors into ours, with or without SQLAlchemy in between.

Here is what holds of any statement. An error that means something else to one statement
is caught where that statement is run: in `ledger`, `partitions` and `store`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import sqlalchemy.exc

from payments_core.errors import StoreUnavailable

# Whether the statement took effect is not known: the same error comes for a commit that
# was made and for one that was not.
OUTCOME_UNKNOWN: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InterfaceError,
    # What the driver says where a connection was cut in the middle of its protocol.
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


# What a statement reads is not there: the database is of another release, or empty.
_OF_SCHEMA: Final = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
)


def is_of_schema(error: BaseException) -> bool:
    """Say whether a statement failed since the schema is not this release's."""
    return isinstance(error, _OF_SCHEMA)


@contextmanager
def our_errors() -> Iterator[None]:
    """Translate a driver's exceptions, chained; a bug stays what it is."""
    try:
        with _unwrapped():
            yield
    except OUTCOME_UNKNOWN as error:
        raise StoreUnavailable from error


@contextmanager
def connection_errors() -> Iterator[None]:
    """Translate whatever a server answers when we try to connect, chained.

    Whatever its reason, we cannot use it.
    """
    try:
        with _unwrapped():
            yield
    except asyncpg.PostgresError as error:
        raise StoreUnavailable from error


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Take SQLAlchemy's wrapping off an error of the driver."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise error.driver_exception from error
