"""The place of a stored event in a list."""

from datetime import timedelta

import attrs

from contracts.examples import NOON
from payments_core.events import EventKey, EventState, Outcome
from payments_core.kept_events import KeptEvent, cursor_of


def test_no_two_events_have_one_place() -> None:
    """
    Sample events share an id, and many are received at one time.
    """
    first = KeptEvent(
        key=EventKey("evt_1", "charge.failed"),
        outcome=Outcome(EventState.APPLIED),
        created_at=NOON,
        received_at=NOON,
        object_id=None,
        livemode=False,
        user_id=None,
    )
    events = [
        first,
        attrs.evolve(first, key=EventKey("evt_1", "charge.succeeded")),
        attrs.evolve(first, key=EventKey("evt_2", "charge.failed")),
        attrs.evolve(first, received_at=NOON + timedelta(seconds=1)),
    ]

    assert len({cursor_of(it) for it in events}) == len(events)
