"""What the worker has to do: when it is due, who has it, and when it is given up."""

from datetime import timedelta
from itertools import pairwise
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import NOON, a_job
from payments_core.job import (
    ATTEMPTS_MAX,
    BACK_OFF_FIRST,
    BACK_OFF_MAX,
    LEASE,
    Job,
    JobKind,
)

MOMENT: Final = timedelta(microseconds=1)
DEAD: Final = attrs.evolve(a_job(), dead=True, attempts=ATTEMPTS_MAX)

jobs = st.builds(
    a_job,
    due_at=st.sampled_from([NOON - LEASE, NOON, NOON + LEASE]),
    reason=st.sampled_from(["one", "other"]),
).flatmap(
    lambda job: st.builds(
        attrs.evolve,
        st.just(job),
        asked=st.integers(1, 3),
        attempts=st.integers(0, ATTEMPTS_MAX),
        lease_no=st.integers(0, 3),
        leased_until=st.sampled_from([None, NOON, NOON + LEASE]),
        dead=st.booleans(),
    )
)


def test_p19_the_kinds_are_the_documented_ones() -> None:
    """
    A kind that is added here has to be in the worker and in the database too.
    """
    assert " ".join(JobKind) == "subscription customer payment set_up event"


@pytest.mark.parametrize(
    ("job", "due"),
    [
        (a_job(), True),
        (a_job(due_at=NOON + MOMENT), False),
        (DEAD, False),
        (attrs.evolve(a_job(), leased_until=NOON), True),
        (attrs.evolve(a_job(), leased_until=NOON + MOMENT), False),
    ],
    ids=["due", "early", "dead", "lease over", "leased"],
)
def test_a_living_job_is_due_when_nobody_has_it(job: Job, due: bool) -> None:  # noqa: FBT001  # a column
    """
    From its very moment on, and from the very end of a lease.
    """
    assert job.is_due(NOON) is due


def test_a_lease_hides_a_job_for_a_minute() -> None:
    """
    Whoever died with it loses it then.
    """
    leased = a_job().leased(NOON)

    assert not leased.is_due(NOON)
    assert not leased.is_due(NOON + LEASE - MOMENT)
    assert leased.is_due(NOON + LEASE)


@given(jobs, st.integers(1, 5))
def test_p33_each_lease_has_a_greater_number(job: Job, times: int) -> None:
    """
    So whoever has an older one has lost the job, whatever happened in between.
    """
    numbers = [job.lease_no]
    for _ in range(times):
        job = job.leased(NOON).failed(NOON, "again").again(NOON)
        numbers.append(job.lease_no)

    assert all(earlier < later for earlier, later in pairwise(numbers))


@given(jobs)
def test_p33_nothing_but_a_lease_changes_its_number(job: Job) -> None:
    """
    Failing, giving back and asking leave it as it is.
    """
    others = [
        job.failed(NOON, "failed"),
        job.put_off(NOON),
        job.again(NOON),
        job.asked_once_more(a_job()),
    ]
    assert {other.lease_no for other in others} == {job.lease_no}


def test_p18_a_failing_job_is_tried_later_and_later_and_then_is_dead() -> None:
    """
    Twelve tries, the delays double up to an hour and never shrink, and an end.
    """
    job, delays = a_job(), list[timedelta]()
    while not job.dead:
        job = job.leased(NOON).failed(NOON, "failed")
        delays.append(job.due_at - NOON)
        assert job.leased_until is None

    assert len(delays) == job.attempts == ATTEMPTS_MAX
    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert (delays[0], delays[-1]) == (BACK_OFF_FIRST, BACK_OFF_MAX)
    assert sum(delays, timedelta()) < timedelta(hours=6)
    assert job.reason == "failed"


def test_a_gateway_that_does_not_listen_costs_no_try() -> None:
    """
    Put off, and nothing else.
    """
    leased = attrs.evolve(a_job(), attempts=3).leased(NOON)
    given_back = leased.put_off(NOON + LEASE)

    assert given_back.attempts == 3
    assert not given_back.is_due(NOON + LEASE - MOMENT)
    assert given_back.is_due(NOON + LEASE)


def test_a_job_that_was_asked_for_meanwhile_starts_over() -> None:
    """
    At once, and with all its tries.
    """
    again = attrs.evolve(a_job(), attempts=3).leased(NOON).again(NOON)

    assert again.is_due(NOON)
    assert again.attempts == 0


def test_a_job_asked_for_twice_is_one_job() -> None:
    """
    Due at the earlier moment, for the later reason, counted, with its tries.
    """
    known = attrs.evolve(a_job(), attempts=3, leased_until=NOON + LEASE, lease_no=2)
    wishes = [a_job(due_at=NOON + by * LEASE, reason="again") for by in (-1, 1)]
    earlier, later = (known.asked_once_more(wish) for wish in wishes)

    assert earlier == attrs.evolve(known, due_at=NOON - LEASE, asked=2, reason="again")
    assert later == attrs.evolve(known, asked=2, reason="again")


@given(jobs, jobs)
def test_p18_asking_for_a_dead_job_brings_it_back(job: Job, wish: Job) -> None:
    """
    With all its tries; a living one keeps those that it had.
    """
    after = job.asked_once_more(wish)

    assert not after.dead
    assert after.attempts == (0 if job.dead else job.attempts)
    assert after.due_at == min(job.due_at, wish.due_at)
    assert after.asked == job.asked + 1
