"""Deletes rows after their retention: short statements, by an index, without waits.

A batch selects its rows by ctid: locked rows are skipped, and the plan does not depend
on the planner's statistics.
"""

from datetime import datetime
from typing import Final

import attrs

from payments_adapters.postgres import partitions
from payments_adapters.postgres.store import PostgresStore
from payments_core.retention import SILENT_FOR, PurgeKind
from payments_core.tokens import TOKEN_AGE_MAX

# As the indexes spell them (migration 0013).
_OPEN: Final = "state in ('pending', 'quarantined')"
_BODY_TO_DROP: Final = (
    "from webhook_events where body is not null"
    " and state not in ('pending', 'quarantined')"
    " and received_at < $1 order by received_at"
)
_BODY_OUTSIDE: Final = (
    f"from {partitions.name_of(None)}"
    " where received_on < ($1::timestamptz at time zone 'UTC')::date"
    " order by received_on, id, type"
)
_OLD_EVENT: Final = (
    "from webhook_events where received_at < $1 and state <> 'pending'"
    " order by received_at"
)
_OLD_INTENT: Final = (
    "from intents where state not in ('new', 'sent', 'unknown')"
    " and created_at < $1 order by created_at"
)
_OLD_JOB: Final = "from jobs where dead and finished_at < $1 order by finished_at"
_OLD_REVOCATION: Final = (
    "from invalidated_tokens where expires_at < $1 order by expires_at"
)
_OLD_CUT_OFF: Final = (
    "from token_cut_offs"
    f" where at < $1::timestamptz - interval '{TOKEN_AGE_MAX.days} days' order by at"
)
# By the clock that wrote them, too: without its row a revocation would not wait for a
# process that still runs.
_OLD_HEARTBEAT: Final = (
    "from revocation_heartbeats"
    f" where at < least($1, clock_timestamp() - interval '{SILENT_FOR.days} days')"
    " order by at"
)


def _batch(rows: str) -> str:
    return f"ctid = any(array(select ctid {rows} limit $2 for update skip locked))"


def _deletion(table: str, rows: str) -> str:
    return f"""
with gone as (delete from {table} where {_batch(rows)} returning 1)
select count(*) from gone
"""  # noqa: S608  # our own names


_EMPTY_BODIES: Final = f"""
with gone as (
    update webhook_events set body = null where {_batch(_BODY_TO_DROP)} returning 1
)
select count(*) from gone
"""  # noqa: S608  # our own names

# Open events take their bodies along.
_EMPTY_OUTSIDE: Final = f"""
with gone as (
    delete from {partitions.name_of(None)} where {_batch(_BODY_OUTSIDE)}
    returning id, type, body
), kept as (
    update webhook_events e set body = gone.body from gone
    where e.id = gone.id and e.type = gone.type and e.{_OPEN}
)
select count(*) from gone
"""  # noqa: S608  # our own names

# A late worker's lease must never match a later job with the same key.
_PURGE_JOBS: Final = f"""
with gone as (delete from jobs where {_batch(_OLD_JOB)} returning lease_no),
floor as (
    insert into purged_jobs as p (singleton, lease_no)
    select true, max(lease_no) from gone having count(*) > 0
    on conflict (singleton) do update
        set lease_no = greatest(p.lease_no, excluded.lease_no)
)
select count(*) from gone
"""  # noqa: S608  # our own names

# Run one after the other, until nothing is found.
_STATEMENTS: Final = {
    PurgeKind.BODIES: (_EMPTY_BODIES, _EMPTY_OUTSIDE),
    PurgeKind.EVENTS: (_deletion("webhook_events", _OLD_EVENT),),
    PurgeKind.INTENTS: (_deletion("intents", _OLD_INTENT),),
    PurgeKind.JOBS: (_PURGE_JOBS,),
    PurgeKind.REVOCATIONS: (
        _deletion("invalidated_tokens", _OLD_REVOCATION),
        _deletion("token_cut_offs", _OLD_CUT_OFF),
    ),
    PurgeKind.HEARTBEATS: (_deletion("revocation_heartbeats", _OLD_HEARTBEAT),),
}
_ROWS: Final = {
    PurgeKind.BODIES: (_BODY_TO_DROP, _BODY_OUTSIDE),
    PurgeKind.EVENTS: (_OLD_EVENT,),
    PurgeKind.INTENTS: (_OLD_INTENT,),
    PurgeKind.JOBS: (_OLD_JOB,),
    PurgeKind.REVOCATIONS: (_OLD_REVOCATION, _OLD_CUT_OFF),
    PurgeKind.HEARTBEATS: (_OLD_HEARTBEAT,),
}
_COUNTS: Final = {
    kind: tuple(
        f"select count(*) from (select 1 {them} limit $2) as found"  # noqa: S608  # our own names
        for them in rows
    )
    for kind, rows in _ROWS.items()
}


@attrs.frozen
class PostgresPurgeStore:
    _store: PostgresStore

    async def purge(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        if kind is PurgeKind.BODY_DAYS:
            days = await partitions.days_before(self._store, before.date(), limit=1)
            dropped = [await partitions.drop(self._store, it, limit) for it in days]
            return sum(dropped)
        async with self._store.connection() as connection:
            for statement in _STATEMENTS[kind]:
                count: int = await connection.fetchval(statement, before, limit)
                if count:
                    return count
        return 0

    async def count(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        if kind is PurgeKind.BODY_DAYS:
            return len(
                await partitions.days_before(self._store, before.date(), limit=limit)
            )
        found = 0
        async with self._store.connection() as connection:
            for statement in _COUNTS[kind]:
                found += await connection.fetchval(statement, before, limit - found)
        return found
