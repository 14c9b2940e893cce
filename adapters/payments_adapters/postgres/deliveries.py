"""Deliveries of changes: each step one small statement.

A fence is a number of the sequence that orders all claims: it is never reused, even if
a delivery is deleted and created again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs

from payments_adapters.postgres import statements
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import deliveries
from payments_core.deliveries import (
    ALL_DELIVERIES,
    LEASE,
    OPEN_MAX,
    Backlogs,
    Delivery,
    DeliveryKey,
    DeliveryPage,
    DeliveryQuery,
    EndpointBacklog,
    Replayed,
)
from payments_core.identity import UserId
from payments_core.lease import Lease

_COLUMNS: Final = ", ".join(statements.columns(deliveries))
# The log names erased users so.
_IS_TOLD: Final = "l.user_id not like 'erased/%'"

# After the changes that have no position yet, too: those are numbered next.
_BEGIN: Final = """
insert into delivery_cursors (endpoint, position)
select $1, case when $2 then 0 else (
    select coalesce(max(position), 0) from account_log
) + (
    select count(*) from account_log where position is null
) end
on conflict do nothing
"""

# A process that did not wait for the lock, and whose snapshot is older than the cursor
# that it locked, finds fewer changes, but never one behind the cursor: positions become
# visible in order.
_TAKE_OVER: Final = f"""
with head as (
    select position from delivery_cursors where endpoint = $1
    for no key update skip locked
),
room as (
    select greatest($4 - count(*), 0) as count from (
        select from deliveries where endpoint = $1 and not dead limit $4
    ) as opened
),
passed as (
    select l.position, l.user_id from account_log l
    where l.position > (select position from head)
    order by l.position limit (select least($3, count) from room)
),
made as (
    insert into deliveries (
        endpoint, position, user_id, due_at, attempts, lease_no, dead
    )
    select $1, l.position, l.user_id, $2, 0, 0, false from passed l where {_IS_TOLD}
    on conflict do nothing
)
update delivery_cursors set position = (select max(position) from passed)
where endpoint = $1 and exists (select from passed)
returning (select count(*) from passed)
"""  # noqa: S608  # our own names

# Whether a delivery is due is checked again on the locked row: another process may have
# claimed it meanwhile.
_IS_DUE: Final = (
    "not d.dead and d.due_at <= $2 and (d.leased_until is null or d.leased_until <= $2)"
)
_CLAIM: Final = f"""
with firsts as (
    select min(position) as position from deliveries
    where endpoint = $1 and not dead group by user_id
    having not coalesce(bool_or(leased_until > $2), false)
),
held as (
    select d.position from firsts
    join deliveries d on d.endpoint = $1 and d.position = firsts.position
    where {_IS_DUE}
    order by d.due_at, d.position limit $3
    for no key update of d skip locked
),
claimed as (
    update deliveries d set lease_no = nextval('gateway_tickets'), leased_until = $4
    from held where d.endpoint = $1 and d.position = held.position
    returning d.*
)
select {_COLUMNS} from claimed order by due_at, position
"""  # noqa: S608  # our own names

_FINISH: Final = """
delete from deliveries where endpoint = $1 and position = $2 and lease_no = $3
returning true
"""
_RELEASE: Final = """
update deliveries set due_at = $4, attempts = $5, leased_until = $6,
    first_tried_at = $7, dead = $8, reason = $9
where endpoint = $1 and position = $2 and lease_no = $3
returning true
"""
# Of the named ones, those that the endpoint's cursor has passed and no process is
# sending.
_REPLAYABLE: Final = f"""
select c.endpoint, l.position
from (
    select distinct it.endpoint, it.position
    from unnest($1::text[], $2::bigint[]) as it (endpoint, position)
) as named
join delivery_cursors c
    on c.endpoint = named.endpoint and c.position >= named.position
join account_log l on l.position = named.position and {_IS_TOLD}
left join deliveries d on d.endpoint = c.endpoint and d.position = l.position
where d.leased_until is null or d.leased_until <= $3
"""  # noqa: S608  # our own names
_REPLAY: Final = "select * from replay_deliveries_v1($1, $2, $3, $4)"

_FIND: Final = (
    f"select {_COLUMNS} from deliveries where endpoint = $1 and position = $2"  # noqa: S608  # our own names
)
_PAGE: Final = f"""
select {_COLUMNS} from deliveries
where (endpoint, position) > ($1, $2) and %s
order by endpoint, position limit $3
"""  # noqa: S608  # our own names
_PASSED: Final = f"""
select l.position, l.at >= $2 and l.at < $3 and {_IS_TOLD} as wanted
from account_log l
where l.position > $4
    and l.position <= (select position from delivery_cursors where endpoint = $1)
order by l.position limit $5
"""  # noqa: S608  # our own names
_BACKLOGS: Final = f"""
select c.endpoint, c.position,
    (select count(*) from (
        select from deliveries d where d.endpoint = c.endpoint and not d.dead
        limit {OPEN_MAX}
    ) as opened) as open,
    (select count(*) from (
        select from deliveries d where d.endpoint = c.endpoint and d.dead
        limit {OPEN_MAX}
    ) as ended) as dead,
    (select min(d.first_tried_at) from deliveries d
    where d.endpoint = c.endpoint and not d.dead) as failing_since
from delivery_cursors c order by c.endpoint
"""  # noqa: S608  # our own names


@attrs.frozen
class PostgresDeliveries:
    """The queue and the directory; `open_max` limits the open ones of an endpoint."""

    _store: PostgresStore
    _open_max: int = OPEN_MAX

    async def begin(self, endpoint: str, *, from_start: bool) -> None:
        async with self._store.connection() as connection:
            await connection.execute(_BEGIN, endpoint, from_start)

    async def take_over(self, endpoint: str, *, now: datetime, limit: int) -> int:
        async with self._store.connection() as connection:
            count = await connection.fetchval(
                _TAKE_OVER, endpoint, now, limit, self._open_max
            )
        return count or 0

    async def claim(
        self, endpoint: str, *, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        async with self._store.connection() as connection:
            found = await connection.fetch(_CLAIM, endpoint, now, limit, now + LEASE)
        return [_delivery(it) for it in found]

    async def finish(self, claimed: Delivery) -> bool:
        async with self._store.connection() as connection:
            return bool(
                await connection.fetchval(_FINISH, *claimed.key, claimed.lease.fence)
            )

    async def release(self, claimed: Delivery, after: Delivery) -> bool:
        async with self._store.connection() as connection:
            return bool(
                await connection.fetchval(
                    _RELEASE,
                    *claimed.key,
                    claimed.lease.fence,
                    after.lease.due_at,
                    after.lease.attempts,
                    after.lease.until,
                    after.first_tried_at,
                    after.dead,
                    after.reason,
                )
            )

    async def replay(self, keys: Sequence[DeliveryKey], *, now: datetime) -> Replayed:
        async with self._store.connection() as connection:
            found = await connection.fetch(
                _REPLAY, *_columns_of(keys), now, self._open_max
            )
        return Replayed(
            *(
                [DeliveryKey(name, at) for name, at, is_due in found if is_due is these]
                for these in (True, False)
            )
        )

    async def replayable(
        self, keys: Sequence[DeliveryKey], *, now: datetime
    ) -> Sequence[DeliveryKey]:
        async with self._store.connection() as connection:
            found = await connection.fetch(_REPLAYABLE, *_columns_of(keys), now)
        return sorted(DeliveryKey(*it) for it in found)

    async def find(self, key: DeliveryKey) -> Delivery | None:
        async with self._store.connection() as connection:
            row = await connection.fetchrow(_FIND, *key)
        return None if row is None else _delivery(row)

    async def page(
        self,
        wanted: DeliveryQuery = ALL_DELIVERIES,
        *,
        limit: int = 100,
        after: DeliveryKey | None = None,
    ) -> DeliveryPage:
        which, more = "dead" if wanted.dead else "true", list[str]()
        if wanted.endpoint is not None:
            which, more = f"{which} and endpoint = $4", [wanted.endpoint]
        place = after or ("", 0)
        async with self._store.connection() as connection:
            found = await connection.fetch(_PAGE % which, *place, limit + 1, *more)
        listed = [_delivery(it) for it in found[:limit]]
        return DeliveryPage(listed, listed[-1].key if len(found) > limit else None)

    async def passed(
        self,
        endpoint: str,
        since: datetime,
        until: datetime,
        *,
        limit: int,
        after: int = 0,
    ) -> tuple[Sequence[int], int | None]:
        async with self._store.connection() as connection:
            found = await connection.fetch(
                _PASSED, endpoint, since, until, after, limit + 1
            )
        looked_at = found[:limit]
        positions = [it["position"] for it in looked_at if it["wanted"]]
        is_end = len(found) <= limit
        return positions, None if is_end else looked_at[-1]["position"]

    async def backlogs(self) -> Backlogs:
        async with self._store.connection() as connection:
            found = await connection.fetch(_BACKLOGS)
        return {
            it["endpoint"]: EndpointBacklog(
                position=it["position"],
                open=it["open"],
                dead=it["dead"],
                failing_since=it["failing_since"],
            )
            for it in found
        }


def _columns_of(keys: Sequence[DeliveryKey]) -> tuple[list[str], list[int]]:
    return [it.endpoint for it in keys], [it.position for it in keys]


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        key=DeliveryKey(row["endpoint"], row["position"]),
        user_id=UserId(row["user_id"]),
        lease=Lease(
            due_at=row["due_at"],
            attempts=row["attempts"],
            fence=row["lease_no"],
            until=row["leased_until"],
        ),
        first_tried_at=row["first_tried_at"],
        dead=row["dead"],
        reason=row["reason"],
    )
