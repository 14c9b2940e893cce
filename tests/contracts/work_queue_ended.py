"""What a queue promises: the end of access becomes a job once it is due."""

from datetime import datetime, timedelta
from typing import Final

import attrs

from contracts.examples import ADA, BOB, NOON, an_account
from contracts.feed import ALL, change, end_of
from contracts.ledger_jobs import failed_often
from contracts.stores import Stores
from payments_core.identity import UserId
from payments_core.job import ACCESS_END_REASON, Job, JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.now import Now

MOMENT: Final = timedelta(microseconds=1)
# Not the gateway's time: due times are compared with this one.
REAL_TIME: Final = NOON + timedelta(minutes=7)


async def ending(stores: Stores, at: datetime, *, limit: int = 9) -> int:
    return await stores.queue.request_ended(
        now=Now(at=at, system=REAL_TIME), limit=limit
    )


def job_of(user: UserId) -> Job:
    key = JobKey(JobKind.ACCESS_END, user)
    return Job.due(key, ACCESS_END_REASON, REAL_TIME, user)


async def known(stores: Stores, **months: int) -> None:
    """Save users with so many months, and give their changes positions."""
    await stores.keep(*map(an_account, months))
    for user, count in months.items():
        await change(stores, UserId(user), count)
    await stores.sequencer.give(ALL)


class EndedContract:
    async def test_an_end_is_a_job_once_it_is_due(self, stores: Stores) -> None:
        """
        It is due at once by the real time, and the end is no longer known as one to
        come.
        """
        await known(stores, ada=1, bob=2)

        assert await ending(stores, end_of(1) - MOMENT) == 0
        assert await ending(stores, end_of(1)) == 1
        assert await stores.jobs() == {job_of(ADA).key: job_of(ADA)}
        assert await stores.access_ends() == {BOB: end_of(2)}
        assert await ending(stores, end_of(1)) == 0
        [claimed] = await stores.queue.claim(now=REAL_TIME, limit=9)
        assert isinstance(claimed.work, Job)
        assert claimed.work.key == job_of(ADA).key

    async def test_no_more_are_asked_for_than_may_be(self, stores: Stores) -> None:
        """
        The first first; the rest is left to the next time.
        """
        await known(stores, a=3, b=1, c=2)
        assert await ending(stores, end_of(9), limit=2) == 2
        assert {it.subject for it in await stores.jobs()} == {"b", "c"}
        assert await ending(stores, end_of(9), limit=2) == 1

    async def test_a_job_that_waits_or_is_done_is_asked_for_once_more(
        self, stores: Stores
    ) -> None:
        """
        A failing job has its quick attempts again; a job that waits for later is due.
        """
        waits, fails = job_of(ADA), job_of(BOB)
        later = REAL_TIME + timedelta(days=9)
        waits = attrs.evolve(waits, lease=attrs.evolve(waits.lease, due_at=later))
        await stores.keep(jobs=[waits, fails])
        await failed_often(stores, fails)
        await known(stores, ada=1, bob=1)

        assert await ending(stores, end_of(1)) == 2
        for user in (ADA, BOB):
            job = await stores.job(job_of(user).key)
            assert (job.state, job.requests) == (JobState.OPEN, 2)
            assert job.lease.due_at <= REAL_TIME
            assert not job.is_failing
