"""The pool, and the one place where a driver's errors become ours."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg
import attrs

from payments_core.errors import StoreUnavailable

Connection = Any  # asyncpg ships no types

CONNECT_TIMEOUT_S: Final = 5.0
# asyncpg has none by default: a COMMIT into a black hole would wait for ever.
COMMAND_TIMEOUT_S: Final = 5.0
CLOSE_TIMEOUT_S: Final = 5.0
# A server that is there acknowledges a cancellation at once.
RELEASE_TIMEOUT_S: Final = 1.0
# One that is idle is closed before anybody between us and the server drops it.
KEPT_FOR_S: Final = 10.0
IDLE_FOR_S: Final = 240.0
_SERVER_SETTINGS: Final = {"application_name": "payments-gateway"}

# It did not say whether it did it. The same answer comes for a commit that was made
# and for one that was not, so nothing follows from it.
_SILENT: Final = (
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
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
)


@contextmanager
def our_errors() -> Iterator[None]:
    """Translate a driver's exceptions, chained; a bug stays what it is."""
    try:
        yield
    except _SILENT as error:
        raise StoreUnavailable from error


def plain_dsn(dsn: str) -> str:
    """Return the DSN without SQLAlchemy's name of the driver."""
    scheme, separator, rest = dsn.partition("://")
    known = {"postgresql+asyncpg", "postgres", "postgresql"}
    return f"postgresql://{rest}" if separator and scheme in known else dsn


async def _reset(connection: Connection) -> None:
    """Take a connection back; asyncpg's own reset costs a round trip each time.

    Nothing here touches the session (no settings, locks or listeners outlive a
    transaction), so there is nothing to reset but a transaction cut off half-way.
    """
    if connection.is_in_transaction():
        await connection.execute("rollback")


def _is_open(connection: Connection) -> bool:
    """Say whether a connection can be used, and has no transaction cut off half-way."""
    try:
        return not (connection.is_closed() or connection.is_in_transaction())
    except asyncpg.InterfaceError:
        # The pool took it back when the server hung up.
        return False


@attrs.define
class PostgresStore:
    """A bounded pool of connections, opened once a process by `opened`."""

    _dsn: str = attrs.field(converter=plain_dsn, repr=False)
    _pool_size: int = 8
    _pool: Any = attrs.field(init=False, default=None, repr=False)
    # The connection that was used last: the pool itself takes a task for each return.
    _kept: Connection = attrs.field(init=False, default=None, repr=False)
    _letting_go: asyncio.TimerHandle | None = attrs.field(init=False, default=None)
    _acquiring: int = attrs.field(init=False, default=0)
    _closing: bool = attrs.field(init=False, default=False)
    _releasing: set["asyncio.Task[None]"] = attrs.field(init=False, factory=set)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["PostgresStore"]:
        """Open the pool; connections are made when they are needed."""
        self._closing, self._letting_go = False, None
        with our_errors():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=0,
                max_size=self._pool_size,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                max_inactive_connection_lifetime=IDLE_FOR_S,
                server_settings=_SERVER_SETTINGS,
                reset=_reset,
            )
        try:
            yield self
        finally:
            await self._close()

    async def _close(self) -> None:
        """Close the pool; a database that does not answer is not waited for."""
        self._closing = True
        if self._letting_go is not None:
            self._letting_go.cancel()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                kept, self._kept = self._kept, None
                if kept is not None:
                    await self._pool.release(kept)
                if self._releasing:
                    await asyncio.wait(self._releasing)
                await self._pool.close()
        except (TimeoutError, asyncpg.PostgresError, OSError):
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection.

        Raises:
            StoreUnavailable: there is none to be had in time, or it went away.
        """
        # As `our_errors` does, without a context manager on the way of every webhook.
        try:
            connection, self._kept = self._kept, None
            if connection is None or not _is_open(connection):
                connection = await self._another(connection)
            try:
                yield connection
            except BaseException:
                self._release_later(connection)
                raise
            if not self._keep(connection):
                await self._pool.release(connection)
        except _SILENT as error:
            raise StoreUnavailable from error

    def _release_later(self, connection: Connection) -> None:
        """Give back a connection whose statement may still run, and wait for nothing.

        A server that does not answer does not acknowledge the cancellation either.
        """
        releasing = self._pool.release(connection, timeout=RELEASE_TIMEOUT_S)
        task = asyncio.create_task(releasing)
        self._releasing.add(task)
        task.add_done_callback(self._released)

    def _released(self, task: "asyncio.Task[None]") -> None:
        self._releasing.discard(task)
        if not task.cancelled():
            # What could not be given back was closed by the pool.
            task.exception()

    async def _another(self, closed: Connection | None) -> Connection:
        if closed is not None:
            await self._pool.release(closed)
        return await self._acquired()

    def _keep(self, connection: Connection) -> bool:
        """Keep a connection for who comes next; return False if it is for the pool."""
        is_wanted = self._acquiring or self._closing or self._kept is not None
        if is_wanted or not _is_open(connection):
            return False
        self._kept = connection
        if self._letting_go is None:
            later = asyncio.get_running_loop().call_later
            self._letting_go = later(KEPT_FOR_S, self._let_go)
        return True

    def _let_go(self) -> None:
        """Leave the connection to the pool, which closes what is old or long idle."""
        self._letting_go = None
        if self._kept is not None:
            connection, self._kept = self._kept, None
            self._release_later(connection)

    async def _acquired(self) -> Connection:
        # Waiting with a time-out is a task of its own; an idle connection needs none.
        timeout = None if self._pool.get_idle_size() > 0 else CONNECT_TIMEOUT_S
        self._acquiring += 1
        try:
            return await self._pool.acquire(timeout=timeout)
        except asyncpg.PostgresError as error:
            # Whatever a server says instead of letting us in: it is not there for us.
            raise StoreUnavailable from error
        finally:
            self._acquiring -= 1

    async def ping(self) -> None:
        """Return if the database answers.

        Raises:
            StoreUnavailable: it does not.
        """
        async with self.connection() as connection:
            await connection.fetchval("select 1")
