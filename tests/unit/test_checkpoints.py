"""How far a loop is, and which process runs it."""

from contracts.examples import NOON
from payments_adapters.stripe.transport import DEADLINE_S
from payments_core.checkpoints import LEASE, LoopCheckpoint
from payments_core.lease import Lease
from payments_core.use_cases.back_fill_events import GROUPS_FAILED_MAX
from payments_core.use_cases.record_facts import WAIT_S


def test_a_lease_is_longer_than_one_page_takes() -> None:
    """
    A call that gets no answer, and saves that wait for locks until they give up.
    """
    saves_s = WAIT_S * (1 + GROUPS_FAILED_MAX)

    # A page is requested twice if the event to continue from is gone.
    assert 2 * DEADLINE_S + saves_s < LEASE.total_seconds()


def test_a_new_loop_comes_from_nowhere() -> None:
    """
    It has reached no time yet.
    """
    new = LoopCheckpoint(name="events", lease=Lease(due_at=NOON))

    assert (new.position, new.reached_at) == (None, None)
