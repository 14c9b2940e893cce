"""Jobs and kept events by hand: who may, what is asked for, what is refused."""

from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import ADA, NOON, a_job, a_payment, an_account, an_event
from payments_adapters.memory import (
    FixedClock,
    MemoryDatabase,
    MemoryEventLog,
    MemoryJobDirectory,
    MemoryLedger,
)
from payments_core.decide import event_job
from payments_core.errors import (
    EventApplied,
    EventBodyGone,
    EventNotFound,
    JobNotFound,
    ScopeRequired,
)
from payments_core.events import QuarantineNeeded, Report
from payments_core.facts import facts_of
from payments_core.job import QUICK_ATTEMPTS, JobState
from payments_core.policy import Policy
from payments_core.use_cases import (
    ListJobs,
    ReadJob,
    RecordFacts,
    ReplayEvent,
    RetryJob,
)
from support.deciding import Kept
from support.deployment import admin, caller_of

pytestmark = pytest.mark.anyio

CLOCK: Final = FixedClock(NOON)
EVENT: Final = "evt_1"


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
    def retry(self) -> RetryJob:
        return RetryJob(self.record, self.read)

    @property
    def replay(self) -> ReplayEvent:
        return ReplayEvent(self.record, MemoryEventLog(self.database))

    async def keep(self, report: Report) -> None:
        await self.record.one(facts_of(an_event(EVENT, report)))

    def put_failing(self) -> None:
        tables = self.database.tables.copy()
        lease = attrs.evolve(
            a_job().lease, attempts=QUICK_ATTEMPTS, due_at=NOON + timedelta(days=1)
        )
        tables.put_job(attrs.evolve(a_job(), lease=lease))
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

    retried = await work.retry(job.key, caller=ROOT)

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
    assert (await work.retry(a_job().key, caller=ROOT)).state is JobState.OPEN


async def test_a_job_that_is_not_there_is_not_made() -> None:
    """
    A typo asks for nothing.
    """
    work = Work()
    for what in (work.read, work.retry):
        with pytest.raises(JobNotFound, match="subscription:sub_1"):
            await what(a_job().key, caller=ROOT)
    assert not work.database.tables.jobs


async def test_an_event_that_was_kept_apart_is_applied_again_by_a_job() -> None:
    """
    A plan asks for nothing.
    """
    work = Work()
    await work.keep(QuarantineNeeded("body: not read"))
    key = event_job(an_event(EVENT, None).key)

    assert await work.replay.keys(EVENT, caller=ROOT) == [key]
    assert not work.database.tables.jobs
    assert await work.replay(EVENT, caller=ROOT) == [key]
    assert work.database.tables.jobs[key].is_due(NOON)


async def test_what_cannot_be_applied_again_is_refused() -> None:
    """
    Never kept, applied already, or too old to have a body.
    """
    work = Work()
    with pytest.raises(EventNotFound):
        await work.replay(EVENT, caller=ROOT)
    await work.keep(a_payment(user=ADA))
    with pytest.raises(EventApplied):
        await work.replay(EVENT, caller=ROOT)

    work = Work()
    await work.keep(QuarantineNeeded("body: not read"))
    tables = work.database.tables.copy()
    (row,) = tables.events.values()
    # As a database reads one whose partition was dropped.
    nothing: Any = None
    gone = attrs.evolve(row.event, body=nothing)
    tables.put_event(attrs.evolve(row, event=gone))
    work.database.tables = tables
    with pytest.raises(EventBodyGone):
        await work.replay(EVENT, caller=ROOT)
    assert not work.database.tables.jobs


async def test_only_an_administrator_may() -> None:
    """
    Jobs name users, and cost calls.
    """
    work, key = Work(), a_job().key
    work.put_failing()
    await work.keep(QuarantineNeeded("why"))
    before = work.database.tables
    for asked in (
        work.list(failing=False, after=None, limit=9, caller=USER),
        work.read(key, caller=USER),
        work.retry(key, caller=USER),
        work.replay(EVENT, caller=USER),
        work.replay.keys(EVENT, caller=USER),
    ):
        with pytest.raises(ScopeRequired):
            await asked
    assert work.database.tables == before
