"""Intents and jobs, in memory: one half of the unit of work."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_adapters.memory.tables import Tables
from payments_core.errors import ChangedElsewhere
from payments_core.events import EventKey, EventState, Outcome
from payments_core.identity import UserId
from payments_core.intent import Intent, IntentId, IntentKind
from payments_core.job import Job, JobKey, JobKind

SILENT_REASON: Final = "nothing was heard of it"


@attrs.define
class WorkItems:
    _staged: Tables

    # Intents

    async def intent(self, id_: IntentId) -> Intent | None:
        return self._staged.intents.get(id_)

    async def intent_under(self, key: str) -> Intent | None:
        id_ = self._staged.claims.get(("key", key))
        return self._staged.intents[id_] if id_ else None

    async def open_intent(
        self, user_id: UserId, kind: IntentKind, subject: str
    ) -> Intent | None:
        id_ = self._staged.claims.get(("open", user_id, kind.value, subject))
        return self._staged.intents[id_] if id_ else None

    async def due_intents(self, *, now: datetime, limit: int) -> Sequence[Intent]:
        due = [i for i in self._staged.intents.values() if i.open and i.due_at <= now]
        return sorted(due, key=lambda intent: (intent.due_at, intent.id))[:limit]

    async def save_intent(self, intent: Intent, *, at: datetime) -> None:  # noqa: ARG002  # a column of Postgres
        stored = self._staged.intents.get(intent.id)
        if intent.version != (stored.version if stored else 0):
            raise ChangedElsewhere(intent.id)
        if intent.user_id not in self._staged.accounts:
            raise ChangedElsewhere(intent.user_id)
        tables = self._staged.copy()
        tables.put_intent(attrs.evolve(intent, version=intent.version + 1))
        self._staged = tables

    # Jobs

    async def ask(self, jobs: Sequence[Job]) -> None:
        tables = self._staged.copy()
        for job in jobs:
            known = tables.jobs.get(job.key)
            tables.jobs[job.key] = job if known is None else known.asked_once_more(job)
        self._staged = tables

    async def ask_for_silent(self, *, now: datetime, limit: int) -> int:
        silent = [
            JobKey(JobKind.SUBSCRIPTION, id_)
            for id_, subscription in self._staged.subscriptions.items()
            if (look_at := subscription.look_at) is not None and look_at <= now
        ]
        new = [key for key in silent if key not in self._staged.jobs][:limit]
        await self.ask([Job(key=key, reason=SILENT_REASON, due_at=now) for key in new])
        return len(new)

    async def due_jobs(self, *, now: datetime, limit: int) -> Sequence[Job]:
        due = [job for job in self._staged.jobs.values() if job.is_due(now)]
        due.sort(key=lambda job: (job.due_at, job.key.kind, job.key.subject))
        return due[:limit]

    async def job(self, key: JobKey) -> Job | None:
        return self._staged.jobs.get(key)

    async def save_job(self, job: Job) -> None:
        self._staged = self._staged.copy()
        self._staged.jobs[job.key] = job

    async def finish_job(self, job: Job) -> None:
        self._staged = self._staged.copy()
        del self._staged.jobs[job.key]

    async def settle(self, *, waiting_for: JobKey, outcome: Outcome) -> None:
        for key in self._staged.waiting.get(waiting_for, ()):
            await self.settle_event(key, outcome)

    async def settle_event(self, key: EventKey, outcome: Outcome) -> None:
        row = self._staged.events.get(key)
        if row is not None and row.outcome.state is EventState.PENDING:
            self._staged = self._staged.copy()
            self._staged.put_event(attrs.evolve(row, outcome=outcome))
