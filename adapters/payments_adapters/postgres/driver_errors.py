"""The one place where a driver's errors become ours, whether SQLAlchemy is between."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
import sqlalchemy.exc

from payments_core.errors import StoreUnavailable

# It did not say whether it did it. The same answer comes for a commit that was made
# and for one that was not, so nothing follows from it.
SILENT: Final = (
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


@contextmanager
def our_errors() -> Iterator[None]:
    """Translate a driver's exceptions, chained; a bug stays what it is."""
    try:
        with _unwrapped():
            yield
    except SILENT as error:
        raise StoreUnavailable from error


@contextmanager
def refusals() -> Iterator[None]:
    """Translate whatever a server says instead of letting us in.

    It is not there for us.
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
