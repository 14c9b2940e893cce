"""The gateway's list of events: queries and pages.

Rule 1: the list grows at its newer end while it is read, and old events leave it: a
        page is fetched by its neighbour or by time, never by its number.
Rule 2: a page has the oldest event first, in whichever direction the list is read.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.events import GatewayEvent

# Stripe's maximum per page.
PAGE_EVENTS_MAX: Final = 100


@attrs.frozen(kw_only=True)
class EventQuery:
    """A query of one page: the newest events, or those next to an event.

    `after` and `before` are ids of events: the page has the nearest newer or older
    events. `since` and `until` (exclusive) bound the time of creation, in whole
    seconds. `undelivered`: only events that an endpoint has not accepted yet.
    """

    after: str | None = None
    before: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    undelivered: bool = False
    limit: int = PAGE_EVENTS_MAX


@attrs.frozen(kw_only=True)
class ListedEvents:
    """A page of the list, as it was at the gateway's second `at`.

    `has_more`: there are more events beyond it, newer ones if the query has `after`,
    else older ones; an empty page never has more.
    """

    events: Sequence[GatewayEvent]
    has_more: bool
    at: datetime
