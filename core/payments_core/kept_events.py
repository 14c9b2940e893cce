"""Events as they were kept, and as people list them: the latest received first.

Apart from `payments_core.events`, which everybody imports.
"""

from collections.abc import Sequence
from datetime import datetime

import attrs

from payments_core.events import EventKey, Outcome

# An event's place in the log: when it was received, its id and its type.
EventCursor = tuple[datetime, str, str]


@attrs.frozen(kw_only=True)
class KeptEvent:
    """An event as it was kept; `user_id` is whose payment it reports, if known."""

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
