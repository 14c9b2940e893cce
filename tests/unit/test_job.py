"""A job of the worker: when it is due, who holds it, and when it is given up."""

from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import ADA, BOB, NOON, a_job
from payments_core.job import (
    BACK_OFF,
    FAILING_AGAIN_AFTER,
    LEASE,
    QUICK_ATTEMPTS,
    Job,
    JobState,
)

MOMENT: Final = timedelta(microseconds=1)


def a_job_with(job: Job | None = None, /, **lease: Any) -> Job:
    """Return a job whose lease differs in these fields."""
    job = job or a_job()
    return attrs.evolve(job, lease=attrs.evolve(job.lease, **lease))


FAILING: Final = a_job_with(attempts=QUICK_ATTEMPTS)

jobs = st.builds(
    a_job,
    due_at=st.sampled_from([NOON - LEASE, NOON, NOON + LEASE]),
    reason=st.sampled_from(["one", "other"]),
).flatmap(
    lambda job: st.builds(
        attrs.evolve,
        st.builds(
            a_job_with,
            st.just(job),
            attempts=st.integers(0, QUICK_ATTEMPTS + 1),
            fence=st.integers(0, 3),
            until=st.sampled_from([None, NOON, NOON + LEASE]),
        ),
        requests=st.integers(1, 3),
        state=st.sampled_from(JobState),
    )
)


@pytest.mark.parametrize(
    ("job", "due"),
    [
        (a_job(), True),
        (a_job(due_at=NOON + MOMENT), False),
        (FAILING, True),
        (a_job().finished(), False),
        (a_job_with(until=NOON), True),
        (a_job_with(until=NOON + MOMENT), False),
    ],
    ids=["due", "early", "failing", "done", "lease over", "leased"],
)
def test_an_open_job_is_due_when_nobody_has_it(job: Job, due: bool) -> None:  # noqa: FBT001  # a column
    """
    From exactly its due time on, and from exactly the end of a lease.
    """
    assert job.is_due(NOON) is due


def test_a_lease_hides_a_job_for_a_minute() -> None:
    """
    A process that died with it loses it then.
    """
    leased = a_job().claimed(NOON)

    assert timedelta(minutes=1) == LEASE
    assert not leased.is_due(NOON)
    assert not leased.is_due(NOON + LEASE - MOMENT)
    assert leased.is_due(NOON + LEASE)


@given(jobs, st.integers(1, 5))
def test_p33_each_lease_has_a_greater_number(job: Job, times: int) -> None:
    """
    So the holder of an older one has lost the job, whatever happened in between.
    """
    numbers = [job.lease.fence]
    for _ in range(times):
        job = job.claimed(NOON).failed(NOON, "again").requeued(NOON).finished()
        job = job.requested(a_job())
        numbers.append(job.lease.fence)

    assert all(earlier < later for earlier, later in pairwise(numbers))


@given(jobs)
def test_p33_nothing_but_a_lease_changes_its_number(job: Job) -> None:
    """
    Failing, giving back, finishing and requesting leave it as it is.
    """
    others = [
        job.failed(NOON, "failed"),
        job.released(NOON),
        job.requeued(NOON),
        job.finished(),
        job.requested(a_job()),
    ]
    assert {other.lease.fence for other in others} == {job.lease.fence}


def test_p18_a_job_that_fails_is_tried_later_and_later_and_then_once_a_day() -> None:
    """
    Twelve quick attempts, with delays that double up to an hour; it is never given up.
    """
    job, delays = a_job(), list[timedelta]()
    for attempt in range(400):
        assert job.is_failing is (attempt >= QUICK_ATTEMPTS)
        job = job.claimed(NOON).failed(NOON, "failed")
        delays.append(job.lease.due_at - NOON)
        assert job.lease.until is None

    assert (job.state, job.reason) == (JobState.OPEN, "failed")
    quick, daily = delays[: QUICK_ATTEMPTS - 1], delays[QUICK_ATTEMPTS - 1 :]
    assert QUICK_ATTEMPTS == 12
    assert all(earlier <= later for earlier, later in pairwise(quick))
    assert (quick[0], quick[-1]) == (BACK_OFF.first, BACK_OFF.longest)
    assert sum(quick, timedelta()) < timedelta(hours=6)
    assert set(daily) == {FAILING_AGAIN_AFTER} == {timedelta(days=1)}


def test_f47_a_failing_job_that_is_asked_for_again_has_its_quick_attempts() -> None:
    """
    Whatever requests it: a redelivery, another event, a person. It is due at once.
    """
    failing = attrs.evolve(a_job_with(FAILING, due_at=NOON + LEASE), reason="failed")
    again = failing.requested(a_job(reason="again"))

    assert not again.is_failing
    assert again.is_due(NOON)
    assert (again.lease.attempts, again.reason) == (0, "again")
    assert not a_job().finished().is_failing


def test_a_gateway_that_does_not_listen_costs_no_try() -> None:
    """
    It is given back, and nothing else changes.
    """
    leased = a_job_with(attempts=3).claimed(NOON)
    given_back = leased.released(NOON + LEASE)

    assert given_back.lease.attempts == 3
    assert given_back.state is JobState.OPEN
    assert not given_back.is_due(NOON + LEASE - MOMENT)
    assert given_back.is_due(NOON + LEASE)


def test_a_job_that_was_asked_for_meanwhile_starts_over() -> None:
    """
    At once, and with all its attempts.
    """
    again = a_job_with(attempts=3).claimed(NOON).requeued(NOON)

    assert again.is_due(NOON)
    assert again.lease.attempts == 0


@given(jobs)
def test_p33_a_finished_job_stays_with_its_fence(job: Job) -> None:
    """
    It has no holder and is not due; all its counts but the failures stay.
    """
    done = job.finished()

    assert done == attrs.evolve(
        a_job_with(job, attempts=0, until=None), state=JobState.DONE
    )
    assert not done.is_due(NOON + 1_000 * LEASE)


def test_a_job_asked_for_twice_is_one_job() -> None:
    """
    Due at the earlier time, for the later reason, counted, with its attempts.
    """
    known = a_job_with(attempts=3, until=NOON + LEASE, fence=2)
    wishes = [a_job(due_at=NOON + by * LEASE, reason="again") for by in (-1, 1)]
    earlier, later = (known.requested(wish) for wish in wishes)

    assert earlier == attrs.evolve(
        a_job_with(known, due_at=NOON - LEASE), requests=2, reason="again"
    )
    assert later == attrs.evolve(known, requests=2, reason="again")


@given(jobs, jobs)
def test_p18_asking_for_a_failing_or_done_job_brings_it_back(
    job: Job, wish: Job
) -> None:
    """
    With all its quick attempts, due as requested; any other job keeps its own.
    """
    after, was_open = job.requested(wish), job.state is JobState.OPEN
    keeps = was_open and not job.is_failing
    earlier = min(job.lease.due_at, wish.lease.due_at)

    assert after.state is JobState.OPEN
    assert after.lease.attempts == (job.lease.attempts if keeps else 0)
    assert after.lease.due_at == (earlier if was_open else wish.lease.due_at)
    assert after.requests == job.requests + 1


def test_a_job_is_of_the_account_that_was_first_known() -> None:
    """
    A request fills in an unknown owner, and never changes a known one.
    """
    hers, his = (attrs.evolve(a_job(), user_id=user) for user in (ADA, BOB))

    assert a_job().requested(hers).user_id == ADA
    assert hers.requested(his).user_id == ADA
