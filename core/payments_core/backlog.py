"""What waits to be done, and since when: for metrics and people.

Counts go up to what was asked for: more is as bad.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import attrs

from payments_core.intent import INTENT_STEPS, IntentState

# An intent in one of them is open: something has to become of it.
OPEN_INTENT_STATES: Final = tuple(
    state for state, steps in INTENT_STEPS.items() if steps
)


@attrs.frozen
class Waiting:
    """How many wait, and since when the one that waits for longest; None: none does."""

    count: int = 0
    since: datetime | None = None


NOTHING: Final = Waiting()


@attrs.frozen(kw_only=True)
class EndpointWaiting:
    """What a delivery endpoint has still to be told.

    `since` is when the earliest change was recorded that has its position and is
    neither delivered nor dead. `dead` are the deliveries that were given up.
    """

    since: datetime | None
    dead: int


@attrs.frozen(kw_only=True)
class Backlog:
    """What waits as of about one moment.

    `pending_since` is when the earliest event was received that is not applied yet.
    Jobs are those that are due and that nobody works on, since they are due; intents
    those that are open, by their state, since they began. `unlinked_payments` have
    no owner, and no person unlinked them. `unnumbered_since` is when the earliest
    change was recorded that has no position in the feed yet.
    """

    pending_since: datetime | None
    due_jobs: Waiting
    unlinked_payments: int
    intents: Mapping[IntentState, Waiting]
    unnumbered_since: datetime | None
    endpoints: Mapping[str, EndpointWaiting]
