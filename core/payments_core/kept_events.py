"""Stored events, and pages of them for operators: the latest received first.

Separate from `payments_core.events`, which every module imports.
"""

from collections.abc import Sequence
from datetime import datetime

import attrs

from payments_core.events import EventKey, Outcome

# The place of an event in the log: when it was received, its id and its type.
EventCursor = tuple[datetime, str, str]


@attrs.frozen(kw_only=True)
class KeptEvent:
    """A stored event; `user_id` is the owner of the payment it reports, if known."""

    key: EventKey
    outcome: Outcome
    created_at: datetime
    received_at: datetime
    object_id: str | None
    livemode: bool
    user_id: str | None
    body: bytes | None = attrs.field(default=None, repr=False)


def cursor_of(event: KeptEvent) -> EventCursor:
    return event.received_at, event.key.id, event.key.type


@attrs.frozen
class EventPage:
    """Some events, and where the next page starts; None at the end."""

    events: Sequence[KeptEvent]
    after: EventCursor | None
