"""Jobs by hand: who may, what is requested, what is refused."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, NOON, a_job, an_account
from payments_adapters.memory import (
    FixedClock,
    MemoryDatabase,
    MemoryJobDirectory,
    MemoryLedger,
)
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.errors import InvalidValue, JobNotFound, ScopeRequired
from payments_core.job import QUICK_ATTEMPTS, Job, JobState
from payments_core.job_key import JobKind
from payments_core.policy import Policy
from payments_core.use_cases import ListJobs, ReadJob, RecordFacts, RetryJobs
from payments_core.use_cases.jobs import BATCH
from support.deciding import Kept
from support.deployment import admin, caller_of

pytestmark = pytest.mark.anyio

CLOCK: Final = FixedClock(NOON)

ROOT: Final = admin()
USER: Final = caller_of(ADA)


@attrs.define
class Work:
    database: MemoryDatabase = attrs.field(
        factory=lambda: Kept.of(an_account(ADA)).database
    )

    @property
    def record(self) -> RecordFacts:
        return RecordFacts(MemoryLedger(self.database), CLOCK, CLOCK, Policy())

    @property
    def list(self) -> ListJobs:
        return ListJobs(MemoryJobDirectory(self.database))

    @property
    def read(self) -> ReadJob:
        return ReadJob(MemoryJobDirectory(self.database))

    @property
    def retry(self) -> RetryJobs:
        return RetryJobs(self.record, self.list, self.read)

    @property
    def changes(self) -> Sequence[ChangeByHand]:
        return [it for _, it in self.database.tables.changes_by_hand]

    def put_failing(self, *jobs: Job) -> None:
        tables = self.database.tables.copy()
        for job in jobs or (a_job(),):
            lease = attrs.evolve(
                job.lease, attempts=QUICK_ATTEMPTS, due_at=NOON + timedelta(days=1)
            )
            tables.put_job(attrs.evolve(job, lease=lease))
        self.database.tables = tables


async def test_a_failing_job_is_listed_and_retried_at_once() -> None:
    """
    With its quick attempts; then it is listed as open, and not as failing.
    """
    work = Work()
    work.put_failing()
    page = await work.list(failing=True, after=None, limit=9, caller=ROOT)
    (job,) = page.jobs
    assert (job.is_failing, page.after) == (True, None)

    retried = await work.retry.one(job.key, "seen", caller=ROOT)

    assert retried.is_due(NOON)
    assert (retried.lease.attempts, retried.reason) == (0, "asked for by hand")
    assert retried == await work.read(job.key, caller=ROOT)
    assert not (await work.list(failing=True, after=None, limit=9, caller=ROOT)).jobs
    assert (await work.list(failing=False, after=None, limit=9, caller=ROOT)).jobs == [
        retried
    ]


async def test_a_job_that_is_done_is_read_and_done_again() -> None:
    """
    It is not listed: it is not open.
    """
    work = Work()
    tables = work.database.tables.copy()
    tables.put_job(a_job().finished())
    work.database.tables = tables

    page = await work.list(failing=False, after=None, limit=9, caller=ROOT)
    assert page.jobs == []
    assert (await work.read(a_job().key, caller=ROOT)).state is JobState.DONE
    assert (await work.retry.one(a_job().key, None, caller=ROOT)).state is JobState.OPEN


async def test_a_job_that_is_not_there_is_not_made() -> None:
    """
    A typo requests nothing.
    """
    work = Work()
    for asked in (
        work.read(a_job().key, caller=ROOT),
        work.retry.one(a_job().key, None, caller=ROOT),
    ):
        with pytest.raises(JobNotFound, match="subscription:sub_1"):
            await asked
    assert not work.database.tables.jobs


async def test_each_job_that_is_asked_for_is_in_the_audit_log() -> None:
    """
    Who, why and what; in the save that requests it.
    """
    work = Work()
    work.put_failing(attrs.evolve(a_job(), user_id=ADA))

    await work.retry.one(a_job().key, " it is mended ", caller=ROOT)

    assert work.changes == [
        ChangeByHand(
            action=ActionByHand.RETRY_JOB,
            subject="subscription:sub_1",
            user_id=ADA,
            decided=ByHand(by=ROOT.user_id, reason="it is mended"),
        )
    ]


async def test_all_jobs_that_are_such_are_asked_for_in_batches() -> None:
    """
    A batch a save, each job once; a job of another kind is not changed.
    """
    work = Work()
    wanted = [a_job(f"sub_{number:03}") for number in range(BATCH + 1)]
    other = a_job("cus_1", JobKind.CUSTOMER)
    work.put_failing(*wanted, other)

    plan = [
        it
        async for it in work.retry(
            failing=True, kind=JobKind.SUBSCRIPTION, dry_run=True, caller=ROOT
        )
    ]
    assert not work.changes
    batches = [
        it
        async for it in work.retry(failing=True, kind=JobKind.SUBSCRIPTION, caller=ROOT)
    ]

    assert [len(it) for it in plan] == [BATCH, 1]
    assert [len(it) for it in batches] == [BATCH, 1]
    jobs = work.database.tables.jobs
    assert {key for key, it in jobs.items() if it.is_due(NOON)} == {
        it.key for it in wanted
    }
    assert len(work.changes) == BATCH + 1
    assert {it.decided.reason for it in work.changes} == {""}


@pytest.mark.parametrize("limit", [1, BATCH, BATCH + 1])
async def test_no_more_jobs_are_asked_for_than_wanted(limit: int) -> None:
    """
    Those that were due first.
    """
    work = Work()
    work.put_failing(*(a_job(f"sub_{number:03}") for number in range(BATCH + 5)))

    found = [it async for batch in work.retry(limit=limit, caller=ROOT) for it in batch]

    assert [it.subject for it in found] == [f"sub_{it:03}" for it in range(limit)]
    assert len(work.changes) == limit


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, "a\nb"])
async def test_a_reason_that_is_none_asks_for_nothing(reason: str) -> None:
    """
    Of one job, or of all with a filter.
    """
    work = Work()
    work.put_failing()
    with pytest.raises(InvalidValue, match="reason"):
        await work.retry.one(a_job().key, reason, caller=ROOT)
    with pytest.raises(InvalidValue, match="reason"):
        await anext(work.retry(reason=reason, caller=ROOT))
    assert not work.changes


async def test_only_an_administrator_may() -> None:
    """
    Jobs name users, and cost calls. Others learn nothing else, not even of an invalid
    reason.
    """
    work, key = Work(), a_job().key
    work.put_failing()
    before = work.database.tables
    for asked in (
        work.list(failing=False, after=None, limit=9, caller=USER),
        work.read(key, caller=USER),
        work.retry.one(key, None, caller=USER),
        anext(work.retry(failing=True, caller=USER)),
        work.retry.one(key, "", caller=USER),
        anext(work.retry(failing=True, reason="", caller=USER)),
    ):
        with pytest.raises(ScopeRequired):
            await asked
    assert work.database.tables == before
