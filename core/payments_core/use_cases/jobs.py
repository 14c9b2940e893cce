"""Jobs and kept events, for the people who run the service: list, retry, replay."""

from collections.abc import Sequence

import attrs

from payments_core.caller import Caller
from payments_core.decide import event_job
from payments_core.errors import (
    EventApplied,
    EventBodyGone,
    EventNotFound,
    JobNotFound,
)
from payments_core.events import EventState, SyncNeeded
from payments_core.facts import SourcedFacts
from payments_core.job import Job, JobKey
from payments_core.job_list import JobPage, JobPlace
from payments_core.ports import EventLog, JobDirectory
from payments_core.use_cases.record_facts import RecordFacts

_BY_HAND = "asked for by hand"


@attrs.frozen
class ListJobs:
    jobs: JobDirectory

    async def __call__(
        self,
        *,
        failing: bool,
        after: JobPlace | None,
        limit: int,
        caller: Caller,
    ) -> JobPage:
        """Return jobs that are open, or those of them that are failing.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
        return await self.jobs.page(failing=failing, after=after, limit=limit)


@attrs.frozen
class ReadJob:
    jobs: JobDirectory

    async def __call__(self, key: JobKey, *, caller: Caller) -> Job:
        """Return a job, also one that is done.

        Raises:
            ScopeRequired: the caller is no administrator.
            JobNotFound: there is none.
        """
        caller.require_admin()
        job = await self.jobs.find(key)
        if job is None:
            raise JobNotFound(key.id)
        return job


@attrs.frozen
class RetryJob:
    """Ask for a job again: it is due at once, with its quick attempts."""

    record: RecordFacts
    read: ReadJob

    async def __call__(self, key: JobKey, *, caller: Caller) -> Job:
        """Return the job as it is then; one that was done is done again.

        Raises:
            ScopeRequired, JobNotFound: see `ReadJob`.
        """
        await self.read(key, caller=caller)
        await self.record.one(SourcedFacts(facts=(SyncNeeded(key, _BY_HAND),)))
        return await self.read(key, caller=caller)


@attrs.frozen
class ReplayEvent:
    """Apply an event again that was kept and not applied: a job does."""

    record: RecordFacts
    events: EventLog

    async def keys(self, event_id: str, *, caller: Caller) -> Sequence[JobKey]:
        """Return the jobs that would be asked for.

        Raises:
            ScopeRequired: the caller is no administrator.
            EventNotFound: no event of this id was kept.
            EventApplied: all of them were applied.
            EventBodyGone: one that was not applied has no body any more.
        """
        caller.require_admin()
        kept = await self.events.find(event_id)
        if not kept:
            raise EventNotFound(event_id)
        open_ = [it for it in kept if it.outcome.state is not EventState.APPLIED]
        if not open_:
            raise EventApplied(event_id)
        if any(it.body is None for it in open_):
            raise EventBodyGone(event_id)
        return [event_job(it.key) for it in open_]

    async def __call__(self, event_id: str, *, caller: Caller) -> Sequence[JobKey]:
        """Ask for the event to be applied again; return the jobs that will.

        Raises:
            ScopeRequired, EventNotFound, EventApplied, EventBodyGone: see `keys`.
        """
        keys = await self.keys(event_id, caller=caller)
        facts = tuple(SyncNeeded(key, _BY_HAND) for key in keys)
        await self.record.one(SourcedFacts(facts=facts))
        return keys
