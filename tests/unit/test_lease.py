"""Who works on something, until when, and when it is due again."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import NOON
from payments_core.lease import BackOff, Lease

MOMENT: Final = timedelta(microseconds=1)
LENGTH: Final = timedelta(seconds=30)
BACK_OFF: Final = BackOff(timedelta(seconds=5), timedelta(minutes=5))
DUE: Final = Lease(due_at=NOON)

leases = st.builds(
    Lease,
    due_at=st.sampled_from([NOON - LENGTH, NOON, NOON + LENGTH]),
    attempts=st.integers(0, 2_000),
    fence=st.integers(0, 3),
    until=st.sampled_from([None, NOON - LENGTH, NOON, NOON + LENGTH]),
)


@pytest.mark.parametrize(
    ("lease", "due"),
    [
        (DUE, True),
        (Lease(due_at=NOON + MOMENT), False),
        (Lease(due_at=NOON, until=NOON), True),
        (Lease(due_at=NOON, until=NOON + MOMENT), False),
        (Lease(due_at=NOON + MOMENT, until=NOON - MOMENT), False),
    ],
    ids=["due", "early", "claim over", "claimed", "claim over and early"],
)
def test_work_is_due_when_its_moment_came_and_nobody_has_it(
    lease: Lease,
    due: bool,  # noqa: FBT001  # a column
) -> None:
    """
    From exactly its due time on, and from exactly the end of a claim.
    """
    assert lease.is_due(NOON) is due


def test_a_claim_hides_work_for_its_length() -> None:
    """
    A process that died with it loses it then; its due time stays as it was.
    """
    claimed = DUE.claimed(NOON, LENGTH)

    assert claimed == Lease(due_at=NOON, fence=1, until=NOON + LENGTH)
    assert not claimed.is_due(NOON + LENGTH - MOMENT)
    assert claimed.is_due(NOON + LENGTH)


def test_a_claim_that_is_extended_is_the_same_claim() -> None:
    """
    It only ends later.
    """
    claimed = DUE.claimed(NOON, LENGTH)
    extended = claimed.extended(NOON + LENGTH - MOMENT, LENGTH)

    assert extended == attrs.evolve(claimed, until=NOON + 2 * LENGTH - MOMENT)


@given(leases, st.integers(1, 5))
def test_p33_each_claim_has_a_greater_fence(lease: Lease, times: int) -> None:
    """
    So the holder of an older one has lost the work, whatever happened in between.
    """
    fences = [lease.fence]
    for _ in range(times):
        lease = lease.claimed(NOON, LENGTH).failed(NOON, BACK_OFF).released(NOON)
        fences.append(lease.fence)

    assert fences == list(range(fences[0], fences[0] + times + 1))


@given(leases)
def test_p33_nothing_but_a_claim_changes_the_fence(lease: Lease) -> None:
    """
    Extending, failing and giving back leave it as it is.
    """
    others = [
        lease.extended(NOON, LENGTH),
        lease.failed(NOON, BACK_OFF),
        lease.released(NOON),
    ]
    assert {other.fence for other in others} == {lease.fence}


@given(leases, st.sampled_from([NOON, NOON + LENGTH]))
def test_what_is_given_back_untried_is_no_failure(
    lease: Lease, due_at: datetime
) -> None:
    """
    It has no holder, it is due at that time, and its attempts stay.
    """
    released = lease.released(due_at)

    assert released == attrs.evolve(lease, due_at=due_at, until=None)


def test_p18_work_that_fails_is_due_later_and_later() -> None:
    """
    The delays double up to the longest, never shrink, and a claim ends with each.
    """
    lease, delays = DUE, list[timedelta]()
    for attempts in range(1, 41):
        lease = lease.claimed(NOON, LENGTH).failed(NOON, BACK_OFF)
        delays.append(lease.due_at - NOON)
        assert (lease.attempts, lease.until) == (attempts, None)

    assert delays[:4] == [BACK_OFF.first * times for times in (1, 2, 4, 8)]
    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert delays[-1] == BACK_OFF.longest


@given(leases)
def test_p18_no_count_of_failures_is_too_large(lease: Lease) -> None:
    """
    After thousands the wait is the longest, and no number overflows.
    """
    wait = lease.failed(NOON, BACK_OFF).due_at - NOON
    assert BACK_OFF.first <= wait <= BACK_OFF.longest
