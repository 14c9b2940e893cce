"""What is counted as waiting."""

from payments_core.backlog import NOTHING, OPEN_INTENT_STATES
from payments_core.intent import IntentState


def test_an_intent_waits_until_it_has_ended() -> None:
    """
    In these states only: `intents` are counted by an index of just them.
    """
    assert set(OPEN_INTENT_STATES) == {
        IntentState.NEW,
        IntentState.SENT,
        IntentState.UNKNOWN,
    }


def test_where_nothing_waits_there_is_no_moment() -> None:
    """
    The time is None: an age is computed from it.
    """
    assert (NOTHING.count, NOTHING.since) == (0, None)
