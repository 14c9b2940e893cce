"""How many calls to the gateway all pods may still make."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_adapters.postgres.store import PostgresStore

# The first caller of an endpoint creates its budget. A concurrent second one finds none
# yet, and tries again. Budgets are locked in the order of names.
_TAKE: Final = """
with wanted as (
    select name, $3::float8 as most, $5::timestamptz as now
    from unnest($1::text[]) as name
), held as (
    select endpoint, most, now, least(
        most, calls_left + most * greatest(extract(epoch from now - counted_at), 0)
    ) as calls_left
    from gateway_budgets join wanted on endpoint = name
    order by endpoint for update of gateway_budgets
), found as (
    select * from held union all
    select name, most, now, most from wanted
    where name not in (select endpoint from held)
), wish as (
    select *, case when calls_left >= greatest(most / 2, $4::int) then $4::int
        when calls_left >= 1 and endpoint = $2 then 1 else 0 end as calls
    from found
), made as (
    insert into gateway_budgets (endpoint, calls_left, counted_at)
    select endpoint, calls_left - calls, now from wish
    where endpoint not in (select endpoint from held)
    order by endpoint on conflict do nothing
    returning endpoint
), taken as (
    -- Another pod's clock may be ahead.
    update gateway_budgets b set
        calls_left = wish.calls_left - wish.calls,
        counted_at = greatest(b.counted_at, wish.now)
    from wish where b.endpoint = wish.endpoint and wish.calls > 0
    returning b.endpoint
)
select endpoint, calls from wish where calls > 0 and endpoint in (
    select endpoint from made union all select endpoint from taken
)
"""
_LEFT: Final = """
select endpoint, least(
    $1::float8, calls_left + $1 * greatest(extract(epoch from $2 - counted_at), 0)
)::float8 as calls_left from gateway_budgets order by endpoint limit 100
"""
CALLS_AT_ONCE: Final = 3


@attrs.frozen
class PostgresCallBudget:
    """Calls to the gateway that all pods may still make, by endpoint."""

    _store: PostgresStore

    async def take(
        self, endpoint: str, *, beside: Sequence[str] = (), per_s: float, now: datetime
    ) -> Mapping[str, int]:
        names = [endpoint, *beside]
        async with self._store.connection() as connection:
            taken = await connection.fetch(
                _TAKE, names, endpoint, per_s, CALLS_AT_ONCE, now
            )
        return {row["endpoint"]: row["calls"] for row in taken}

    async def take_spare(self, endpoint: str, *, per_s: float, now: datetime) -> bool:
        async with self._store.connection() as connection:
            # For an endpoint that no operation names, a call is taken only if half is
            # left.
            taken = await connection.fetch(_TAKE, [endpoint], None, per_s, 1, now)
        return bool(taken)

    async def left(self, *, per_s: float, now: datetime) -> Mapping[str, float]:
        """Return how many calls are left, by endpoint.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        async with self._store.connection() as connection:
            found = await connection.fetch(_LEFT, per_s, now)
        return {it["endpoint"]: it["calls_left"] for it in found}
