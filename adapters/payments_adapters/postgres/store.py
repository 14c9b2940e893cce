"""The connections of a process: a pool for what is hot, SQLAlchemy's for the rest."""

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
# A server that is there acknowledges a cancellation at once.
RELEASE_TIMEOUT_S: Final = 1.0
# One that is idle is closed before anybody between us and the server drops it.
KEPT_FOR_S: Final = 10.0
IDLE_FOR_S: Final = 240.0
# Beside the pool: what is rare neither waits for what is hot nor takes its place.
RARE_CONNECTIONS_MAX: Final = 2
# How often a new session is asked, while the server only reads.
WRITES_POLL_S: Final = 0.5
# A standby says so, too.
_READS_ONLY: Final = "select current_setting('transaction_read_only')::boolean"
_SERVER_SETTINGS: Final = {"application_name": "payments-gateway"}


async def _reset(connection: Connection) -> None:
    """Take a connection back; asyncpg's own reset costs a round trip each time.

    Nothing here touches the session (no settings, locks or listeners outlive a
    transaction), so there is nothing to reset but a transaction cut off half-way.
    """
    if connection.is_in_transaction():
        await connection.execute("rollback")


async def _connected(*given: Any, **options: Any) -> Connection:
    """Connect; keep no prepared statements if a pooler is in between.

    It may give each transaction another session, where the name of a statement means
    nothing, or another client's statement. What is kept saves a round trip each time.
    """
    connection = await asyncpg.connect(*given, **options)
    try:
        if not await _is_pooled(connection):
            return connection
        await connection.close()
    except BaseException:
        # Cancelled, too: the session would stay open at the server.
        connection.terminate()
        raise
    return await asyncpg.connect(*given, **options, statement_cache_size=0)


async def _is_pooled(connection: Connection) -> bool:
    """Say whether our session is another one than the server's.

    Who hands sessions on makes up the process id that a client is told for cancelling.
    """
    # Without a name, which a pooler might have given to another session.
    asked = await connection.prepare("select pg_backend_pid()", name="")
    pid: int = await asked.fetchval()
    theirs: int = connection.get_server_pid()
    return pid != theirs


def _is_open(connection: Connection) -> bool:
    """Say whether a connection can be used, and has no transaction cut off half-way."""
    try:
        return not (connection.is_closed() or connection.is_in_transaction())
    except asyncpg.InterfaceError:
        # The pool took it back when the server hung up.
        return False


@attrs.frozen
class Connections:
    """How many connections of a pool are used, and idle, and how many it may have."""

    used: int
    idle: int
    most: int


# Without hooks: for a converter's, attrs runs Python for whatever is set.
@attrs.define(on_setattr=attrs.setters.NO_OP)
class PostgresStore:
    """A bounded pool of connections, opened once a process by `opened`.

    What is hot is asyncpg's own, on a `connection`; everything else is a statement of
    SQLAlchemy's that `execute` runs, on a few connections beside the pool.

    A write that a server refuses, since it only reads, ends all its connections: after
    a failover new ones lead elsewhere. Stores of one database share `writability`.
    """

    _dsn: str = attrs.field(converter=plain_dsn, repr=False)
    _pool_size: int = 8
    _rare_size: int = RARE_CONNECTIONS_MAX
    writability: Writability = attrs.field(factory=Writability, kw_only=True)
    _pool: Any = attrs.field(init=False, default=None, repr=False)
    _engine: AsyncEngine = attrs.field(init=False, repr=False)
    # The connection that was used last: the pool itself takes a task for each return.
    _kept: Connection = attrs.field(init=False, default=None, repr=False)
    _letting_go: asyncio.TimerHandle | None = attrs.field(init=False, default=None)
    _acquiring: int = attrs.field(init=False, default=0)
    _closing: bool = attrs.field(init=False, default=False)
    _releasing: set["asyncio.Task[None]"] = attrs.field(init=False, factory=set)
    # Of SQLAlchemy's connections: those of an earlier one are not used again.
    _generation: int = attrs.field(init=False, default=0)
    _awaiting_writes: "asyncio.Task[None] | None" = attrs.field(
        init=False, default=None, repr=False
    )

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
        """Return how the pool stands; before it is opened, it has none."""
        if self._pool is None:
            return Connections(0, 0, self._pool_size)
        # The one that was used last is idle, although the pool has lent it.
        idle = self._pool.get_idle_size() + (self._kept is not None)
        return Connections(self._pool.get_size() - idle, idle, self._pool_size)

    def _made_engine(self) -> AsyncEngine:
        engine = engine_on(
            self._dsn,
            connecting={
                "command_timeout": COMMAND_TIMEOUT_S,
                "server_settings": _SERVER_SETTINGS,
            },
            # Each statement is a transaction of its own: none is held while we wait.
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
            # Its pool then closes it, and makes another one.
            raise sa.exc.DisconnectionError

    async def _close(self) -> None:
        """Close the pool; a database that does not answer is not waited for."""
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
        except OUTCOME_UNKNOWN as error:
            self._hear(error)
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
            with connection_errors():
                return await self._pool.acquire(timeout=timeout)
        finally:
            self._acquiring -= 1

    async def execute(
        self, statement: sa.Executable, **values: object
    ) -> Sequence[Mapping[str, Any]]:
        """Run a statement that is not hot, alone; return its rows, by name.

        Raises:
            StoreUnavailable: the database does not answer. Whether it did what was
                asked for is not known.
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
        """Return if the database answers; see whether it takes writes.

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
        """Use no session of before, and ask new ones, until one takes writes."""
        await self._renew()
        while await self._still_reads_only():
            await asyncio.sleep(WRITES_POLL_S)
            await self._renew()
        # Of those that were made meanwhile some may be of the server that only reads.
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
        """Have every connection made anew, before it is used the next time."""
        await self._pool.expire_connections()
        self._generation += 1
        kept, self._kept = self._kept, None
        if kept is not None:
            self._release_later(kept)
