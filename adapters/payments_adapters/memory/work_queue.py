"""Claims of jobs and intents, in memory."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.changes import Claimed
from payments_core.identity import UserId
from payments_core.intent import Intent
from payments_core.job import ACCESS_END_REASON, OVERDUE_REASON, Job, JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.now import Now


@attrs.frozen
class MemoryWorkQueue:
    _database: MemoryDatabase

    async def claim(self, *, now: datetime, limit: int) -> Sequence[Claimed]:
        await asyncio.sleep(0)
        tables = self._database.tables.copy()
        jobs = [job for job in tables.jobs.values() if job.is_due(now)]
        # An intent may need the others of its user: one of them at a time.
        intents = {
            it.user_id: it
            for it in sorted(tables.all_open_intents(), key=_age, reverse=True)
            if it.lease.is_due(now)
        }
        claimed: list[Job | Intent] = []
        for work in _fairly((*intents.values(), *jobs))[:limit]:
            if isinstance(work, Job):
                # A late worker's lease must never match a later job with the same key.
                fence = max(work.lease.fence, tables.purged_fence)
                lease = attrs.evolve(work.lease, fence=fence)
                work = attrs.evolve(work, lease=lease)  # noqa: PLW2901
            mine = work.claimed(now)
            if isinstance(mine, Intent):
                mine = attrs.evolve(mine, version=mine.version + 1, writer="")
                tables.put_intent(mine)
            else:
                tables.put_job(mine)
            claimed.append(mine)
        self._database.tables = tables
        return [Claimed(work, self._database.next_sequence()) for work in claimed]

    async def release(self, claimed: Job, after: Job) -> None:
        await asyncio.sleep(0)
        kept = self._database.tables.jobs.get(claimed.key)
        if kept is None or kept.lease.fence != claimed.lease.fence:
            return
        if kept.state is not JobState.OPEN:
            return
        tables = self._database.tables.copy()
        if kept.requests != claimed.requests and after.is_failing:
            again = kept.requeued(kept.lease.due_at)
            after = attrs.evolve(again, reason=after.reason)
        tables.put_job(attrs.evolve(after, requests=kept.requests))
        self._database.tables = tables

    async def request_overdue(self, *, now: Now, limit: int) -> int:
        await asyncio.sleep(0)
        tables = self._database.tables.copy()
        overdue = sorted(
            (next_sync_at, subscription.gateway_id)
            for subscription in tables.subscriptions.values()
            if (next_sync_at := subscription.next_sync_at) is not None
            and next_sync_at <= now.at
        )
        count = 0
        for _, gateway_id in overdue:
            key = JobKey(JobKind.SUBSCRIPTION, gateway_id)
            known = tables.jobs.get(key)
            if count == limit or (known and known.state is not JobState.DONE):
                continue
            owner = tables.subscriptions[gateway_id].user_id
            job = Job.due(key, OVERDUE_REASON, now.system, owner)
            tables.put_job(job if known is None else known.requested(job))
            count += 1
        self._database.tables = tables
        return count

    async def request_ended(self, *, now: Now, limit: int) -> int:
        await asyncio.sleep(0)
        tables = self._database.tables.copy()
        ends = sorted((due_at, user) for user, due_at in tables.access_ends.items())
        due = [user for due_at, user in ends if due_at <= now.at][:limit]
        for user in due:
            tables.forget_access_end(user)
            key = JobKey(JobKind.ACCESS_END, user)
            job = Job.due(key, ACCESS_END_REASON, now.system, user)
            known = tables.jobs.get(key)
            tables.put_job(job if known is None else known.requested(job))
        self._database.tables = tables
        return len(due)

    async def linkable(self, *, limit: int) -> Sequence[UserId]:
        await asyncio.sleep(0)
        return self._database.tables.linkable(limit)


def _fairly(work: Sequence[Job | Intent]) -> Sequence[Job | Intent]:
    """Order work so that each account's first item comes before any second one."""
    seen: Counter[str] = Counter()
    ranked = []
    for it in sorted(work, key=_age):
        whose = it.user_id or _name(it)
        ranked.append((seen[whose], it))
        seen[whose] += 1
    ranked.sort(key=lambda ranked: ranked[0])
    return [it for _, it in ranked]


def _age(work: Job | Intent) -> tuple[datetime, str]:
    return work.lease.due_at, _name(work)


def _name(work: Job | Intent) -> str:
    if isinstance(work, Intent):
        return work.id
    return f"{work.key.kind} {work.key.subject}"
