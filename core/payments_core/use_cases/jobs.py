"""The worker's jobs, for operators: list, show, retry."""

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
# Jobs per save.
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
        """Return open jobs, or only the failing ones.

        `kind` and `since` (due since a time) restrict them.

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
        """Return a job, open or done.

        Raises:
            ScopeRequired: the caller is no administrator.
            JobNotFound: the job does not exist.
        """
        caller.require_admin()
        job = await self.jobs.find(key)
        if job is None:
            raise JobNotFound(key.id)
        return job


@attrs.frozen
class RetryJobs:
    """Retry jobs: they are due at once, with their quick attempts.

    Retrying an open job is harmless; if it runs now, it runs once more.
    """

    record: RecordFacts
    list: ListJobs
    read: ReadJob

    async def one(self, key: JobKey, reason: str | None, *, caller: Caller) -> Job:
        """Retry a job, also one that is done; return it as it is then.

        Raises:
            ScopeRequired, JobNotFound: see `ReadJob`.
            InvalidValue: the reason is invalid.
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
        """Retry all matching open jobs, one save for each batch; yield each batch.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the reason is invalid.
            StoreUnavailable: the jobs yielded so far are retried.
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
