"""The worker's jobs, for the people who run the service: list, show, retry."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.caller import Caller
from payments_core.errors import JobNotFound
from payments_core.events import SyncNeeded
from payments_core.facts import DoneByHand, Fact, SourcedFacts
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.job_list import JobPage, JobPlace
from payments_core.ports import JobDirectory
from payments_core.use_cases.record_facts import RecordFacts

BY_HAND: Final = "asked for by hand"
# So many are asked for with one save.
BATCH: Final = 100


@attrs.frozen
class ListJobs:
    jobs: JobDirectory

    async def __call__(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        failing: bool = False,
        kind: JobKind | None = None,
        since: datetime | None = None,
        after: JobPlace | None,
        limit: int,
        caller: Caller,
    ) -> JobPage:
        """Return jobs that are open, or those of them that are failing.

        Of a kind, and due since a moment, if these are given.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
        return await self.jobs.page(
            failing=failing, kind=kind, since=since, after=after, limit=limit
        )


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
class RetryJobs:
    """Ask for jobs again: they are due at once, with their quick attempts.

    To ask for one again that is open is harmless; who has it now does it once more.
    """

    record: RecordFacts
    list: ListJobs
    read: ReadJob

    async def one(self, key: JobKey, reason: str | None, *, caller: Caller) -> Job:
        """Return the job as it is then; one that was done is done again.

        Raises:
            ScopeRequired, JobNotFound: see `ReadJob`.
            InvalidValue: a reason is given, and it is none.
        """
        job = await self.read(key, caller=caller)
        await self._ask([job], ByHand.maybe(caller.user_id, reason))
        return await self.read(key, caller=caller)

    async def __call__(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        failing: bool = False,
        kind: JobKind | None = None,
        since: datetime | None = None,
        limit: int | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        caller: Caller,
    ) -> AsyncIterator[Sequence[JobKey]]:
        """Ask for all open jobs that are such, a batch a save; yield each batch.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: a reason is given, and it is none.
            StoreUnavailable: what was yielded stays asked for.
        """
        caller.require_admin()
        decided = ByHand.maybe(caller.user_id, reason)
        after, left = None, limit
        while left is None or left > 0:
            page = await self.list(
                failing=failing,
                kind=kind,
                since=since,
                after=after,
                limit=BATCH if left is None else min(left, BATCH),
                caller=caller,
            )
            if not dry_run:
                await self._ask(page.jobs, decided)
            yield [it.key for it in page.jobs]
            after = page.after
            left = left and left - len(page.jobs)
            if after is None:
                break

    async def _ask(self, jobs: Sequence[Job], decided: ByHand) -> None:
        facts = list[Fact]()
        for it in jobs:
            change = ChangeByHand(
                action=ActionByHand.RETRY_JOB,
                subject=it.key.id,
                user_id=it.user_id,
                decided=decided,
            )
            facts += [SyncNeeded(it.key, BY_HAND), DoneByHand(change)]
        if facts:
            await self.record.one(SourcedFacts(facts=tuple(facts)))
