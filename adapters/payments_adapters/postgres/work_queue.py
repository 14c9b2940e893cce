"""Claims of jobs and intents: each one small statement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_adapters.postgres import statements, work_rows
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import intents, jobs
from payments_core.changes import Claimed
from payments_core.identity import UserId
from payments_core.intent import LEASE as INTENT_LEASE
from payments_core.intent import IntentKind
from payments_core.job import (
    ACCESS_END_REASON,
    OVERDUE_REASON,
    QUICK_ATTEMPTS,
    Job,
)
from payments_core.job import LEASE as JOB_LEASE
from payments_core.job_key import JobKind
from payments_core.now import Now

# How many of the oldest due items are considered for fairness.
CANDIDATES_MAX: Final = 1_000

# A later release may know more kinds: their jobs are left to it.
_INTENT_KINDS: Final = ", ".join(f"'{kind.value}'" for kind in IntentKind)
_OF_JOBS: Final = ", ".join(f"j.{name}" for name in statements.columns(jobs))
_OF_INTENTS: Final = ", ".join(f"i.{name}" for name in statements.columns(intents))

# The greatest fence of a purged job: a late worker's lease must never match a later job
# with the same key.
_PURGED: Final = "coalesce((select max(lease_no) from purged_jobs), 0)"

# Each account's first item comes before any account's second; of a user's intents only
# the first is claimed, because it may need the others. Items that another process is
# claiming are skipped; that an item is due is checked again on the locked row. Each
# look-up uses the key: no more candidates are looked up than are claimed or skipped,
# however many are due.
_CLAIM_JOBS: Final = f"""
with due as (
    select kind, subject, due_at, row_number() over (
        partition by coalesce(user_id, kind || subject) order by due_at, kind, subject
    ) as turn
    from (
        select kind, subject, due_at, user_id from jobs
        where not dead and due_at <= $1 and kind in ({statements.JOB_KINDS})
            and (leased_until is null or leased_until <= $1)
        order by due_at limit {CANDIDATES_MAX}
    ) as oldest
),
held as (
    select found.kind, found.subject from (
        select * from due order by turn, due_at, kind, subject
    ) as due
    cross join lateral (
        select j.kind, j.subject from jobs j
        where j.kind = due.kind and j.subject = due.subject
            and not j.dead and j.due_at <= $1
            and (j.leased_until is null or j.leased_until <= $1)
        for no key update of j skip locked
    ) as found limit $2
)
update jobs j set lease_no = greatest(j.lease_no, {_PURGED}) + 1, leased_until = $3
from held where j.kind = held.kind and j.subject = held.subject
returning {_OF_JOBS}, nextval('gateway_tickets') as sequence
"""  # noqa: S608  # our own names

_CLAIM_INTENTS: Final = f"""
with due as (
    select id, due_at, row_number() over (
        partition by user_id order by due_at, id
    ) as turn
    from (
        select id, due_at, user_id from intents
        where state in ('new', 'sent', 'unknown') and due_at <= $1
            and kind in ({_INTENT_KINDS})
        order by due_at limit {CANDIDATES_MAX}
    ) as oldest
),
held as (
    select found.id from (
        select * from due where turn = 1 order by due_at, id
    ) as due
    cross join lateral (
        select i.id from intents i
        where i.id = due.id and i.state in ('new', 'sent', 'unknown') and i.due_at <= $1
        for no key update of i skip locked
    ) as found limit $2
)
update intents i set version = i.version + 1, lease_no = i.lease_no + 1,
    due_at = $3, leased_until = $3, writer = '', updated_at = $1
from held where i.id = held.id
returning {_OF_INTENTS}, nextval('gateway_tickets') as sequence
"""  # noqa: S608  # our own names

# A job that was requested meanwhile does not become failing.
_RELEASE: Final = """
update jobs set reason = $4, leased_until = null,
    due_at = case when $7 and asked <> $8 then due_at else $5 end,
    attempts = case when $7 and asked <> $8 then 0 else $6 end
where kind = $1 and subject = $2 and lease_no = $3 and not dead
"""

# A sync that another process is just requesting is left to it.
_REQUEST_OVERDUE: Final = f"""
insert into jobs as j (
    kind, subject, reason, due_at, asked, attempts, lease_no, dead, user_id
)
select '{JobKind.SUBSCRIPTION.value}', s.gateway_id, '{OVERDUE_REASON}',
    $2::timestamptz, 1, 0, 0, false, s.user_id
from subscriptions s left join jobs known
    on known.kind = '{JobKind.SUBSCRIPTION.value}' and known.subject = s.gateway_id
where s.look_at <= $1
    and (known.kind is null or known.dead)
order by s.look_at limit $3
on conflict (kind, subject) do update set
    reason = excluded.reason, due_at = excluded.due_at, asked = j.asked + 1,
    attempts = 0, dead = false, finished_at = null
where j.dead
returning 1
"""  # noqa: S608  # our own names

# Deleted as an end and inserted as a job in one statement. An open job is requested
# once more, as in `save_v1`.
_REQUEST_ENDED: Final = f"""
with due as (
    select user_id from access_ends where due_at <= $1
    order by due_at limit $3 for update skip locked
),
gone as (
    delete from access_ends e using due where e.user_id = due.user_id
    returning e.user_id
)
insert into jobs as j (
    kind, subject, reason, due_at, asked, attempts, lease_no, dead, user_id
)
select '{JobKind.ACCESS_END.value}', user_id, '{ACCESS_END_REASON}', $2::timestamptz,
    1, 0, 0, false, user_id
from gone order by user_id
on conflict (kind, subject) do update set
    reason = excluded.reason,
    due_at = case when j.dead then excluded.due_at
        else least(j.due_at, excluded.due_at) end,
    asked = j.asked + 1,
    attempts = case when j.dead or j.attempts >= {QUICK_ATTEMPTS} then 0
        else j.attempts end,
    dead = false, finished_at = null
returning 1
"""  # noqa: S608  # our own names


@attrs.frozen
class PostgresWorkQueue:
    _store: PostgresStore

    async def claim(self, *, now: datetime, limit: int) -> Sequence[Claimed]:
        async with self._store.connection() as connection:
            found = await connection.fetch(
                _CLAIM_INTENTS, now, limit, now + INTENT_LEASE
            )
            claimed = [
                Claimed(work_rows.to_intent(row), row["sequence"]) for row in found
            ]
            if len(claimed) == limit:
                return claimed
            left = limit - len(claimed)
            found = await connection.fetch(_CLAIM_JOBS, now, left, now + JOB_LEASE)
        jobs_ = [Claimed(work_rows.to_job(row), row["sequence"]) for row in found]
        return [*claimed, *jobs_]

    async def release(self, claimed: Job, after: Job) -> None:
        async with self._store.connection() as connection:
            await connection.execute(
                _RELEASE,
                claimed.key.kind.value,
                claimed.key.subject,
                claimed.lease.fence,
                after.reason,
                after.lease.due_at,
                after.lease.attempts,
                after.is_failing,
                claimed.requests,
            )

    async def request_overdue(self, *, now: Now, limit: int) -> int:
        async with self._store.connection() as connection:
            found = await connection.fetch(_REQUEST_OVERDUE, now.at, now.system, limit)
        return len(found)

    async def request_ended(self, *, now: Now, limit: int) -> int:
        async with self._store.connection() as connection:
            found = await connection.fetch(_REQUEST_ENDED, now.at, now.system, limit)
        return len(found)

    async def linkable(self, *, limit: int) -> Sequence[UserId]:
        async with self._store.connection() as connection:
            found = await connection.fetch(statements.LINKABLE, limit)
        return [UserId(user) for (user,) in found]
