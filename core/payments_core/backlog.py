"""What waits to be done, and since when, for metrics and operators.

Counts stop at the given limit: more is just as bad.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import attrs

from payments_core.intent import INTENT_STEPS, IntentState

# The states of open intents: they must still end.
OPEN_INTENT_STATES: Final = tuple(
    state for state, steps in INTENT_STEPS.items() if steps
)


@attrs.frozen
class Waiting:
    """How many wait, and since when the oldest waits; None: none waits."""

    count: int = 0
    since: datetime | None = None


NOTHING: Final = Waiting()


@attrs.frozen(kw_only=True)
class EndpointWaiting:
    """What must still be delivered to an endpoint.

    `since` is when the earliest change with a position was recorded that is neither
    delivered nor dead. `dead` is the number of dead deliveries.
    """

    since: datetime | None
    dead: int


@attrs.frozen(kw_only=True)
class Backlog:
    """What waits, at about one time.

    `pending_since` is when the earliest pending event was received. `due_jobs` are due
    and not leased, waiting since they were due; `intents` are open, by state, waiting
    since they began. `unlinked_payments` have no owner and were not unlinked by hand.
    `unnumbered_since` is when the earliest change without a position in the feed was
    recorded.
    """

    pending_since: datetime | None
    due_jobs: Waiting
    unlinked_payments: int
    intents: Mapping[IntentState, Waiting]
    unnumbered_since: datetime | None
    endpoints: Mapping[str, EndpointWaiting]
