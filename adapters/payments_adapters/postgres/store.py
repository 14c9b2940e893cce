"""The connections of a process: a pool for the hot path, SQLAlchemy's for the rest."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import attrs
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from payments_adapters.postgres.driver_errors import (
    OUTCOME_UNKNOWN,
    connection_errors,
    our_errors,
)
from payments_adapters.postgres.engine import (
    COMMAND_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    engine_on,
    plain_dsn,
)
from payments_adapters.postgres.writability import Writability
from payments_core.errors import StoreUnavailable

Connection = Any  # asyncpg ships no types

CLOSE_TIMEOUT_S: Final = 5.0
# A reachable server acknowledges a cancellation at once.
RELEASE_TIMEOUT_S: Final = 1.0
# An idle connection is closed before a proxy in between would drop it.
KEPT_FOR_S: Final = 10.0
IDLE_FOR_S: Final = 240.0
# Apart from the pool: rare work neither waits for the hot path nor blocks it.
RARE_CONNECTIONS_MAX: Final = 2
# How often a new session is tried while the server is read-only.
WRITES_POLL_S: Final = 0.5
# A standby is read-only, too.
_READS_ONLY: Final = "select current_setting('transaction_read_only')::boolean"
_SERVER_SETTINGS: Final = {"application_name": "payments-gateway"}


async def _reset(connection: Connection) -> None:
    """Reset a returned connection; asyncpg's own reset costs a round trip each time.

    Nothing here touches the session (no settings, locks or listeners outlive a
    transaction), so there is nothing to reset but a transaction that was interrupted.
    """
    if connection.is_in_transaction():
        await connection.execute("rollback")


async def _connected(*given: Any, **options: Any) -> Connection:
    """Connect; cache no prepared statements if a pooler is in between.

    A pooler may give each transaction another session, where the name of a statement is
    unknown, or names another client's statement. Caching saves a round trip each time.
    """
    connection = await asyncpg.connect(*given, **options)
    try:
        if not await _is_pooled(connection):
            return connection
        await connection.close()
    except BaseException:
        # On cancellation, too: otherwise the session would stay open at the server.
        connection.terminate()
        raise
    return await asyncpg.connect(*given, **options, statement_cache_size=0)


async def _is_pooled(connection: Connection) -> bool:
    """Return whether our session is not the server's own.

    A pooler makes up the process id that a client receives for cancelling.
    """
    # Unnamed: a pooler may have given the name to another session.
    asked = await connection.prepare("select pg_backend_pid()", name="")
    pid: int = await asked.fetchval()
    theirs: int = connection.get_server_pid()
    return pid != theirs


def _is_open(connection: Connection) -> bool:
    """Return whether a connection is usable, with no interrupted transaction."""
    try:
        return not (connection.is_closed() or connection.is_in_transaction())
    except asyncpg.InterfaceError:
        # The pool took it back when the server closed it.
        return False


@attrs.frozen
class Connections:
    """How many connections of a pool are in use and idle, and its maximum."""

    used: int
    idle: int
    most: int


# Without hooks: with a converter, attrs runs Python code on every assignment.
@attrs.define(on_setattr=attrs.setters.NO_OP)
class PostgresStore:
    """A bounded pool of connections, opened once per process by `opened`.

    The hot path uses asyncpg directly, on a `connection`; everything else is a
    SQLAlchemy statement that `execute` runs, on a few connections apart from the pool.

    A write that a read-only server refuses closes all connections: after a failover new
    ones reach another server. Stores of one database share `writability`.
    """

    _dsn: str = attrs.field(converter=plain_dsn, repr=False)
    _pool_size: int = 8
    _rare_size: int = RARE_CONNECTIONS_MAX
    writability: Writability = attrs.field(factory=Writability, kw_only=True)
    _pool: Any = attrs.field(init=False, default=None, repr=False)
    _engine: AsyncEngine = attrs.field(init=False, repr=False)
    # The last used connection: the pool itself starts a task for each release.
    _kept: Connection = attrs.field(init=False, default=None, repr=False)
    _letting_go: asyncio.TimerHandle | None = attrs.field(init=False, default=None)
    _acquiring: int = attrs.field(init=False, default=0)
    _closing: bool = attrs.field(init=False, default=False)
    _releasing: set["asyncio.Task[None]"] = attrs.field(init=False, factory=set)
    # For SQLAlchemy's connections: those of an earlier generation are not reused.
    _generation: int = attrs.field(init=False, default=0)
    _awaiting_writes: "asyncio.Task[None] | None" = attrs.field(
        init=False, default=None, repr=False
    )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["PostgresStore"]:
        """Open the pool; connections are made on demand."""
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
                connect=_connected,
                reset=_reset,
            )
        self._engine = self._made_engine()
        try:
            yield self
        finally:
            await self._close()

    @property
    def connections(self) -> Connections:
        """Return the state of the pool; before it is opened, it has no connections."""
        if self._pool is None:
            return Connections(0, 0, self._pool_size)
        # The last used one is idle, although the pool counts it as acquired.
        idle = self._pool.get_idle_size() + (self._kept is not None)
        return Connections(self._pool.get_size() - idle, idle, self._pool_size)

    def _made_engine(self) -> AsyncEngine:
        engine = engine_on(
            self._dsn,
            connecting={
                "command_timeout": COMMAND_TIMEOUT_S,
                "server_settings": _SERVER_SETTINGS,
            },
            # Each statement is its own transaction: none is held while we wait.
            isolation_level="AUTOCOMMIT",
            pool_size=self._rare_size,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_S,
            pool_recycle=IDLE_FOR_S,
            pool_pre_ping=True,
        )
        sa.event.listen(engine.sync_engine, "connect", self._mark)
        sa.event.listen(engine.sync_engine, "checkout", self._refuse_old)
        return engine

    def _mark(self, _: object, record: Any) -> None:  # SQLAlchemy's own
        record.info["generation"] = self._generation

    def _refuse_old(self, _: object, record: Any, __: object) -> None:
        if record.info["generation"] != self._generation:
            # The pool then closes it, and opens another.
            raise sa.exc.DisconnectionError

    async def _close(self) -> None:
        """Close the pool; do not wait for a database that does not answer."""
        self._closing = True
        if self._letting_go is not None:
            self._letting_go.cancel()
        if self._awaiting_writes is not None:
            self._awaiting_writes.cancel()
            await asyncio.wait([self._awaiting_writes])
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                kept, self._kept = self._kept, None
                if kept is not None:
                    await self._pool.release(kept)
                if self._releasing:
                    await asyncio.wait(self._releasing)
                await self._engine.dispose()
                await self._pool.close()
        except (TimeoutError, asyncpg.PostgresError, OSError):
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection.

        Raises:
            StoreUnavailable: none was free in time, or the connection was lost.
        """
        # As `our_errors` does, without a context manager, because it runs for every
        # webhook.
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
        except OUTCOME_UNKNOWN as error:
            self._hear(error)
            raise StoreUnavailable from error

    def _release_later(self, connection: Connection) -> None:
        """Release a connection whose statement may still run, without waiting.

        A server that does not answer does not acknowledge the cancellation either.
        """
        releasing = self._pool.release(connection, timeout=RELEASE_TIMEOUT_S)
        task = asyncio.create_task(releasing)
        self._releasing.add(task)
        task.add_done_callback(self._released)

    def _released(self, task: "asyncio.Task[None]") -> None:
        self._releasing.discard(task)
        if not task.cancelled():
            # A connection that could not be released was closed by the pool.
            task.exception()

    async def _another(self, closed: Connection | None) -> Connection:
        if closed is not None:
            await self._pool.release(closed)
        return await self._acquired()

    def _keep(self, connection: Connection) -> bool:
        """Keep a connection for the next caller; return False if it is for the pool."""
        is_wanted = self._acquiring or self._closing or self._kept is not None
        if is_wanted or not _is_open(connection):
            return False
        self._kept = connection
        if self._letting_go is None:
            later = asyncio.get_running_loop().call_later
            self._letting_go = later(KEPT_FOR_S, self._let_go)
        return True

    def _let_go(self) -> None:
        """Release the connection to the pool, which closes old and idle ones."""
        self._letting_go = None
        if self._kept is not None:
            connection, self._kept = self._kept, None
            self._release_later(connection)

    async def _acquired(self) -> Connection:
        # A timeout needs a task of its own; an idle connection needs no wait.
        timeout = None if self._pool.get_idle_size() > 0 else CONNECT_TIMEOUT_S
        self._acquiring += 1
        try:
            with connection_errors():
                return await self._pool.acquire(timeout=timeout)
        finally:
            self._acquiring -= 1

    async def execute(
        self, statement: sa.Executable, **values: object
    ) -> Sequence[Mapping[str, Any]]:
        """Run a statement off the hot path, alone; return its rows, by name.

        Raises:
            StoreUnavailable: the database does not answer. It is unknown whether the
                statement took effect.
        """
        try:
            with our_errors():
                return await self._executed(statement, values)
        except StoreUnavailable as error:
            self._hear(error.__cause__)
            raise

    async def _executed(
        self, statement: sa.Executable, values: Mapping[str, object]
    ) -> Sequence[Mapping[str, Any]]:
        connection = await self._started()
        try:
            result = await connection.execute(statement, values)
            if not result.returns_rows:
                return []
            names = tuple(result.keys())
            return [dict(zip(names, row, strict=True)) for row in result]
        finally:
            await connection.close()

    async def _started(self) -> AsyncConnection:
        with connection_errors():
            return await self._engine.connect()

    async def ping(self) -> None:
        """Return if the database answers; check whether it accepts writes.

        Raises:
            StoreUnavailable: it does not answer.
        """
        if await self._reads_only():
            self._lose_writes()

    async def _reads_only(self) -> bool:
        async with self.connection() as connection:
            return bool(await connection.fetchval(_READS_ONLY))

    def _hear(self, error: BaseException | None) -> None:
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            self._lose_writes()

    def _lose_writes(self) -> None:
        self.writability.lose()
        if self._awaiting_writes is None and not self._closing:
            self._awaiting_writes = asyncio.create_task(self._await_writes())
            self._awaiting_writes.add_done_callback(self._awaited)

    async def _await_writes(self) -> None:
        """Drop all old sessions, and try new ones until one accepts writes."""
        await self._renew()
        while await self._still_reads_only():
            await asyncio.sleep(WRITES_POLL_S)
            await self._renew()
        # Sessions opened meanwhile may be on the read-only server.
        await self._renew()
        self.writability.regain()

    def _awaited(self, _: object) -> None:
        self._awaiting_writes = None

    async def _still_reads_only(self) -> bool:
        try:
            return await self._reads_only()
        except StoreUnavailable:
            return True

    async def _renew(self) -> None:
        """Replace every connection before its next use."""
        await self._pool.expire_connections()
        self._generation += 1
        kept, self._kept = self._kept, None
        if kept is not None:
            self._release_later(kept)
