"""What a ledger promises of jobs: requested, finished, and what waits for them."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    NOON,
    SUB_2,
    a_job,
    a_job_key,
    an_account,
    an_event,
    key_of,
)
from contracts.full_values import HOUR
from contracts.stores import SAVED, Stores, beside, first_page
from payments_core.changes import Changes, JobFinish
from payments_core.events import EventKey, EventState, Outcome
from payments_core.job import LEASE, QUICK_ATTEMPTS, Job, JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.lease import Lease

JOB, OTHER_JOB = a_job_key(), a_job_key(SUB_2)
WAITING: Final = Outcome(EventState.PENDING, "not known yet", JOB)
SET_APART: Final = Outcome(EventState.QUARANTINED, "weil: 漢字")


async def asked(stores: Stores, *jobs: Job, seconds: float = 0) -> None:
    await stores.keep(jobs=jobs, seconds=seconds)


async def claimed(stores: Stores, *, hours: float = 0) -> Job:
    """Claim the one job that is due, so many hours after noon."""
    (one,) = await stores.queue.claim(now=NOON + hours * HOUR, limit=9)
    assert isinstance(one.work, Job)
    return one.work


async def finished(
    stores: Stores,
    job: Job,
    after: Job | None = None,
    outcome: Outcome | None = APPLIED,
    *,
    hours: float = 0,
) -> None:
    again_at = NOON + hours * HOUR
    finish = JobFinish(job, after or job.finished(), outcome, again_at)
    group = Changes(key="a finish", finished=(finish,))
    # Recorded by another clock: only `again_at` says when a job is due.
    assert await stores.save(group, seconds=-5) == [SAVED]


async def failed_often(stores: Stores, job: Job) -> None:
    """Fail the last quick attempt at a job."""
    attempts = attrs.evolve(job.lease, attempts=QUICK_ATTEMPTS - 1)
    failing = attrs.evolve(job, lease=attempts).failed(NOON, "it failed")
    assert failing.is_failing
    await stores.queue.release(job, failing)


async def waited(stores: Stores, **waiting: Outcome) -> dict[EventKey, Outcome]:
    """Save an event of each of these ids and outcomes."""
    events = [(an_event(id_), outcome) for id_, outcome in waiting.items()]
    await stores.keep(events=events)
    return {event.key: outcome for event, outcome in events}


async def outcomes(stores: Stores) -> dict[EventKey, Outcome]:
    return {event.key: event.outcome for event in await first_page(stores.events)}


class LedgerJobsContract:
    async def test_f10_a_job_asked_for_again_is_one_job(self, stores: Stores) -> None:
        """
        At the earlier time, for the later reason, counted; its user is filled in once
        known.
        """
        first = a_job(due_at=NOON + HOUR)
        await asked(stores, first)
        for hours, user in ((2, None), (-1, ADA), (0, BOB)):
            before = await stores.job(JOB)
            wish = attrs.evolve(
                a_job(due_at=NOON + hours * HOUR, reason=f"{hours}"), user_id=user
            )
            await asked(stores, wish)
            assert await stores.job(JOB) == before.requested(wish)
        after = await stores.job(JOB)
        assert (after.requests, after.user_id) == (4, ADA)
        assert after.lease.due_at == NOON - HOUR

    async def test_a_job_asked_for_while_it_is_claimed_stays_claimed(
        self, stores: Stores
    ) -> None:
        """
        Its lease and its failures stay: no other process does it at the same time.
        """
        failed = a_job().failed(NOON - HOUR, "it failed")
        await asked(stores, failed)
        job = await claimed(stores)
        wish = a_job(due_at=NOON - 3 * HOUR, reason="again")
        await asked(stores, wish)

        assert await stores.job(JOB) == job.requested(wish)
        assert not await stores.queue.claim(now=NOON, limit=9)

    async def test_jobs_asked_for_in_one_save_are_each_asked_for(
        self, stores: Stores
    ) -> None:
        """
        Several kinds of one subject are several jobs; one job of two groups is one,
        requested twice, at the earlier of two times.
        """
        jobs = [a_job(kind=kind) for kind in JobKind]
        later = attrs.evolve(jobs[0], lease=Lease(due_at=NOON + HOUR))
        words = await stores.save(
            Changes(key="1", jobs=tuple(jobs)), Changes(key="2", jobs=(later,))
        )
        assert words == [SAVED] * 2

        found = await stores.jobs()
        assert {key.kind: it.requests for key, it in found.items()} == {
            kind: 2 if kind is jobs[0].key.kind else 1 for kind in JobKind
        }
        assert {it.lease.due_at for it in found.values()} == {NOON}

    async def test_a_job_that_is_done_is_open_again_when_it_is_asked_for(
        self, stores: Stores
    ) -> None:
        """
        It is due at the time it was requested for, though that is later, with all its
        attempts again; until then nobody claims it. Its fence continues.
        """
        await asked(stores, a_job())
        job = await claimed(stores)
        await finished(stores, job)
        assert (await stores.job(JOB)).state is JobState.DONE
        assert not await stores.queue.claim(now=NOON + 9_999 * HOUR, limit=9)
        await asked(stores, a_job(due_at=NOON + 2 * HOUR, reason="again"))

        again = await stores.job(JOB)
        assert again == attrs.evolve(
            a_job(due_at=NOON + 2 * HOUR, reason="again"),
            requests=2,
            lease=Lease(due_at=NOON + 2 * HOUR, fence=1),
        )
        assert (await claimed(stores, hours=2)).lease.fence == 2

    async def test_a_finished_jobs_fence_never_restarts(self, stores: Stores) -> None:
        """
        Its row stays: a former holder is not taken for the present one.
        """
        fences = []
        for hours in range(3):
            await asked(stores, a_job())
            job = await claimed(stores, hours=hours)
            fences.append(job.lease.fence)
            await finished(stores, job)
        assert fences == [1, 2, 3]

    async def test_a_finished_job_is_done(self, stores: Stores) -> None:
        """
        Only this job, without lease and failures; its other values remain visible.
        """
        failed = a_job().failed(NOON - HOUR, "it failed")
        await asked(stores, failed, a_job(SUB_2, due_at=NOON + HOUR))
        job = await claimed(stores)
        await finished(stores, job)

        assert await stores.job(JOB) == job.finished()
        assert await stores.job(OTHER_JOB) == a_job(SUB_2, due_at=NOON + HOUR)

    async def test_a_job_may_be_kept_for_another_day(self, stores: Stores) -> None:
        """
        It is given back open, and the events that wait for it get their outcome all the
        same.
        """
        before = await waited(stores, evt_1=WAITING)
        await asked(stores, a_job())
        job = await claimed(stores)
        after = job.released(NOON + 24 * HOUR)
        await finished(stores, job, after)

        assert await stores.job(JOB) == after
        assert await outcomes(stores) == dict.fromkeys(before, APPLIED)

    async def test_a_finish_without_an_outcome_settles_nothing(
        self, stores: Stores
    ) -> None:
        """
        What it found was older than what is known: it is due at once.
        """
        before = await waited(stores, evt_1=WAITING)
        await asked(stores, a_job())
        job = await claimed(stores)
        await finished(stores, job, job.requeued(NOON + HOUR), None, hours=1)

        assert await stores.job(JOB) == job.requeued(NOON + HOUR)
        assert await outcomes(stores) == before

    async def test_a_job_asked_for_meanwhile_is_due_again_and_settles_nothing(
        self, stores: Stores
    ) -> None:
        """
        The requester may know of something newer. What was found is recorded.
        """
        before = await waited(stores, evt_1=WAITING)
        await asked(stores, a_job().failed(NOON - HOUR, "it failed"))
        job = await claimed(stores)
        await asked(stores, a_job(reason="again"))
        asked_again = await stores.job(JOB)
        await finished(stores, job, hours=1)

        assert await stores.job(JOB) == asked_again.requeued(NOON + HOUR)
        assert await outcomes(stores) == before
        assert (await claimed(stores, hours=1)).lease.fence == 2

    async def test_who_lost_the_job_leaves_it_alone_and_is_saved(
        self, stores: Stores
    ) -> None:
        """
        The facts are recorded; the job stays with its present holder, and settles
        nothing.
        """
        before = await waited(stores, evt_1=WAITING)
        await stores.keep(an_account(), jobs=[a_job()])
        slow = await claimed(stores)
        quick = await claimed(stores, hours=1)
        ada = await stores.account(ADA)
        group = beside(
            ada,
            events=((an_event("evt_2"), APPLIED),),
            finished=(JobFinish(slow, slow.finished(), APPLIED, NOON),),
        )
        assert await stores.save(group) == [SAVED]

        assert await stores.job(JOB) == quick
        assert await outcomes(stores) == before | {key_of("evt_2"): APPLIED}
        await finished(stores, quick)
        assert (await stores.job(JOB)).state is JobState.DONE
        assert (await outcomes(stores))[key_of("evt_1")] == APPLIED

    async def test_f43_p33_clocks_that_differ_lose_nothing_and_end_nothing_twice(
        self, stores: Stores
    ) -> None:
        """
        A process whose clock is five minutes fast takes over a job that another process
        holds; the finish of that process then does not count. A process whose clock was
        set back by two hours waits.
        """
        before = await waited(stores, evt_1=WAITING)
        await stores.keep(an_account(), jobs=[a_job()])
        holder = await claimed(stores)

        ahead = await claimed(stores, hours=5 / 60)

        assert ahead.lease.fence == holder.lease.fence + 1
        await finished(stores, holder)
        assert await stores.job(JOB) == ahead
        assert await outcomes(stores) == before
        assert not await stores.queue.claim(now=NOON - 2 * HOUR, limit=9)
        await finished(stores, ahead, hours=-2)
        assert (await stores.job(JOB)).state is JobState.DONE
        assert await outcomes(stores) == before | {key_of("evt_1"): APPLIED}

    async def test_a_job_that_is_not_there_cannot_be_finished(
        self, stores: Stores
    ) -> None:
        """
        It is a lost lease like any other.
        """
        before = await waited(stores, evt_1=WAITING)
        await finished(stores, a_job().claimed(NOON))

        assert not await stores.jobs()
        assert await outcomes(stores) == before

    async def test_a_finish_asked_for_by_its_own_neighbour_is_not_lost(
        self, stores: Stores
    ) -> None:
        """
        One group finishes the job, another of the same save requests it: it is open.
        """
        await asked(stores, a_job())
        job = await claimed(stores)
        finish = JobFinish(job, job.finished(), APPLIED, NOON)
        asks = Changes(key="2", jobs=(a_job(reason="again"),))
        words = await stores.save(Changes(key="1", finished=(finish,)), asks)
        assert words == [SAVED] * 2

        after = await stores.job(JOB)
        assert (after.state, after.requests, after.lease.fence) == (JobState.OPEN, 2, 1)
        assert after.lease.is_due(NOON)

    @pytest.mark.parametrize(
        "outcome", [APPLIED, SET_APART, Outcome(EventState.PENDING, "still", OTHER_JOB)]
    )
    async def test_all_that_waits_for_a_job_gets_its_outcome(
        self, stores: Stores, outcome: Outcome
    ) -> None:
        """
        So do their reason and the job they wait for next; an event that waits for
        another job waits on.
        """
        before = await waited(
            stores,
            evt_1=WAITING,
            evt_2=attrs.evolve(WAITING, reason="ended"),
            evt_3=attrs.evolve(WAITING, waits_for=OTHER_JOB),
            evt_4=attrs.evolve(WAITING, waits_for=JobKey(JobKind.CUSTOMER, "sub_1")),
            evt_5=Outcome(EventState.PENDING, "unreadable"),
            evt_6=Outcome(EventState.APPLIED, "done", JOB),
            evt_7=Outcome(EventState.QUARANTINED, "done", JOB),
            evt_8=Outcome(EventState.IGNORED, "done", JOB),
        )
        assert await outcomes(stores) == before
        await asked(stores, a_job())
        await finished(stores, await claimed(stores), outcome=outcome)

        settled = {key_of("evt_1"): outcome, key_of("evt_2"): outcome}
        assert await outcomes(stores) == before | settled

    async def test_an_event_that_a_group_settles_itself_keeps_that_outcome(
        self, stores: Stores
    ) -> None:
        """
        The outcome in the facts takes precedence over the job's.
        """
        job = a_job("evt_1 charge.succeeded", JobKind.EVENT)
        await waited(stores, evt_1=attrs.evolve(WAITING, waits_for=job.key))
        await asked(stores, job)
        mine = await claimed(stores)
        group = Changes(
            key="it",
            resolved=((key_of("evt_1"), SET_APART),),
            finished=(JobFinish(mine, mine.finished(), APPLIED, NOON),),
        )
        assert await stores.save(group) == [SAVED]

        assert await outcomes(stores) == {key_of("evt_1"): SET_APART}

    async def test_a_claim_that_ran_out_may_still_be_finished(
        self, stores: Stores
    ) -> None:
        """
        As long as no other process has claimed it: the fence decides, not a clock.
        """
        await asked(stores, a_job())
        job = await claimed(stores)
        late = (LEASE + timedelta(hours=1)) / HOUR
        await finished(stores, job, hours=late)

        assert (await stores.job(JOB)).state is JobState.DONE
