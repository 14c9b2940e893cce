"""Stop the service's transactions where a fault would hurt most: inside COMMIT."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs

from faults.deliveries import until
from support import databases

_KEY: Final = 20_261_123
# It polls instead of waiting for the lock, because the service gives up on locks after
# 2 s, and on a statement only after 5 s.
_GATE: Final = f"""
create function stand_at_the_gate() returns trigger language plpgsql as $$
begin
    while not pg_try_advisory_xact_lock_shared({_KEY}) loop
        perform pg_sleep(0.01);
    end loop;
    return null;
end $$;
create constraint trigger gate after insert on webhook_events
    deferrable initially deferred for each row execute function stand_at_the_gate();
"""
_STANDING: Final = """
select exists (
    select from pg_stat_activity
    where datname = current_database() and wait_event = 'PgSleep'
)
"""


@attrs.frozen
class Gate:
    """Closed: a transaction that stores an event stops in COMMIT. Opened only once."""

    _connection: Any  # asyncpg ships no types

    async def somebody_stands(self) -> bool:
        return bool(await self._connection.fetchval(_STANDING))

    async def reached(self) -> None:
        """Return once a transaction is stopped there."""
        await until(self.somebody_stands)

    async def open(self) -> None:
        await self._connection.execute("select pg_advisory_unlock_all()")


@asynccontextmanager
async def closed_gate(dsn: str) -> AsyncIterator[Gate]:
    connection = await databases.connected(dsn)
    try:
        await connection.execute(_GATE)
        await connection.execute(f"select pg_advisory_lock({_KEY})")
        yield Gate(connection)
    finally:
        await connection.close()
