"""How much work waits, for how long, and the database's time: all bounded.

Counts stop at a limit, and a time is the first entry of an index. Only the given
endpoints are read: one that is no longer configured still has a cursor.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs
import sqlalchemy as sa

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import FAILING_JOB, jobs, webhook_events
from payments_core.backlog import (
    NOTHING,
    OPEN_INTENT_STATES,
    Backlog,
    EndpointWaiting,
    Waiting,
)
from payments_core.events import EventState

# More makes no difference.
COUNTED_MAX: Final = 10_000


@attrs.frozen(kw_only=True)
class EventBacklog:
    """Counts stop at `COUNTED_MAX`; times are None if there is nothing."""

    pending: int
    pending_since: datetime | None
    quarantined: int
    received_at: datetime | None


@attrs.frozen(kw_only=True)
class JobBacklog:
    """Like `EventBacklog`; `overdue` jobs were due before the given time."""

    overdue: int
    overdue_since: datetime | None
    failing: int


def _in_state(state: EventState) -> sa.ColumnElement[bool]:
    # A constant: with a parameter the planner does not use the partial index.
    return webhook_events.c.state == sa.literal(state.value, literal_execute=True)


def _count(table: sa.Table, *wanted: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    some = sa.select(sa.literal(1)).select_from(table).where(*wanted)
    return (
        sa.select(sa.func.count())
        .select_from(some.limit(COUNTED_MAX).subquery())
        .scalar_subquery()
    )


_PENDING: Final = _in_state(EventState.PENDING)
_OVERDUE: Final = sa.and_(
    sa.not_(jobs.c.dead),
    jobs.c.due_at < sa.bindparam("due_before", type_=jobs.c.due_at.type),
)
_EVENTS: Final = sa.select(
    _count(webhook_events, _PENDING).label("pending"),
    sa.select(sa.func.min(webhook_events.c.received_at))
    .where(_PENDING)
    .scalar_subquery()
    .label("pending_since"),
    _count(webhook_events, _in_state(EventState.QUARANTINED)).label("quarantined"),
    sa.select(sa.func.max(webhook_events.c.received_at))
    .scalar_subquery()
    .label("received_at"),
)
_JOBS: Final = sa.select(
    _count(jobs, _OVERDUE).label("overdue"),
    sa.select(sa.func.min(jobs.c.due_at))
    .where(_OVERDUE)
    .scalar_subquery()
    .label("overdue_since"),
    _count(jobs, FAILING_JOB).label("failing"),
)
_NOW: Final = sa.select(sa.func.clock_timestamp().label("now"))


async def read_events(store: PostgresStore) -> EventBacklog:
    """Return which events wait, in one snapshot.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    [row] = await store.execute(_EVENTS)
    return EventBacklog(**row)


async def read_jobs(store: PostgresStore, *, due_before: datetime) -> JobBacklog:
    """Return which jobs wait, in one snapshot.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    [row] = await store.execute(_JOBS, due_before=due_before)
    return JobBacklog(**row)


async def read_clock(store: PostgresStore) -> datetime:
    """Return the database's time.

    Raises:
        StoreUnavailable: the database does not answer.
    """
    [row] = await store.execute(_NOW)
    now: datetime = row["now"]
    return now


# Each uses its partial index, in order: at most so many rows are read.
_WORK: Final = """
select
    (select min(received_at) from webhook_events where state = 'pending')
        as pending_since,
    (select count(*) from (
        select from payments where user_id is null and not linked_by_hand
        order by customer_id limit $1
    ) as unlinked) as unlinked_payments,
    (select min(at) from account_log where position is null) as unnumbered_since,
    due.*
from (
    select count(*) as due_count, min(due_at) as due_since from (
        select due_at from jobs
        where not dead and due_at <= $2
            and (leased_until is null or leased_until <= $2)
        order by due_at limit $1
    ) as found
) as due
"""
_INTENTS: Final = """
select state, count(*) as count, min(created_at) as since from (
    select state, created_at from intents where state in ('new', 'sent', 'unknown')
    order by due_at limit $1
) as found
group by state
"""
_ENDPOINTS: Final = """
select c.endpoint,
    (select count(*) from (
        select from deliveries d where d.endpoint = c.endpoint and d.dead limit $1
    ) as found) as dead,
    least(
        (select l.at from account_log l where l.position = (
            select min(d.position) from deliveries d
            where d.endpoint = c.endpoint and not d.dead
        )),
        (select l.at from account_log l where l.position > c.position
            order by l.position limit 1)
    ) as since
from delivery_cursors c
where c.endpoint = any($2)
"""


@attrs.frozen
class PostgresBacklog:
    _store: PostgresStore

    async def read(
        self, *, due_by: datetime, endpoints: Sequence[str], limit: int
    ) -> Backlog:
        async with self._store.connection() as connection:
            work = await connection.fetchrow(_WORK, limit, due_by)
            intents = await connection.fetch(_INTENTS, limit)
            found = await connection.fetch(_ENDPOINTS, limit, [*endpoints])
        open_ = {it["state"]: Waiting(it["count"], it["since"]) for it in intents}
        return Backlog(
            pending_since=work["pending_since"],
            due_jobs=Waiting(work["due_count"], work["due_since"]),
            unlinked_payments=work["unlinked_payments"],
            intents={
                state: open_.get(state.value, NOTHING) for state in OPEN_INTENT_STATES
            },
            unnumbered_since=work["unnumbered_since"],
            endpoints={
                it["endpoint"]: EndpointWaiting(since=it["since"], dead=it["dead"])
                for it in found
            },
        )
