"""The gateway's own list of what happened: how a page of it is asked for, and comes.

Rule 1: the list grows at its newer end while it is read, and old events leave it: a
        page is asked for by its neighbour or by time, never by its number.
Rule 2: a page comes with the oldest event first, whichever way the list is read.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.events import GatewayEvent

# The most that Stripe gives at once.
PAGE_EVENTS_MAX: Final = 100


@attrs.frozen(kw_only=True)
class EventQuery:
    """Which page of the list: the newest events, or those next to one of them.

    `after` and `before` are ids of events: of those that are newer, or older, the
    nearest. `since` and `until` are whole seconds that bound when the events were
    created; `until` is outside. `undelivered` are those alone that an endpoint has not
    taken, or not yet.
    """

    after: str | None = None
    before: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    undelivered: bool = False
    limit: int = PAGE_EVENTS_MAX


@attrs.frozen(kw_only=True)
class ListedEvents:
    """A page of the list, as it was at the gateway's own second `at`.

    `has_more`: there are others beyond it, newer ones if the query has `after`, else
    older ones; never of an empty page.
    """

    events: Sequence[GatewayEvent]
    has_more: bool
    at: datetime
