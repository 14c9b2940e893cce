"""What a decision is: one answer for each source, and the groups that hold them."""

from collections.abc import Sequence
from typing import Final

import attrs

from payments_core.changes import Changes, Lookup
from payments_core.errors import Rejected
from payments_core.events import EventKey, EventState, GatewayEvent, Outcome
from payments_core.identity import CustomerId, UserId
from payments_core.job import JobKey, JobKind

QUARANTINE_REASON: Final = "metadata and customer name different users"
QUARANTINED: Final = Outcome(EventState.QUARANTINED, QUARANTINE_REASON)


def subscription_job(gateway_id: str) -> JobKey:
    return JobKey(JobKind.SUBSCRIPTION, gateway_id)


def customer_job(customer: CustomerId) -> JobKey:
    return JobKey(JobKind.CUSTOMER, customer)


def event_job(key: EventKey) -> JobKey:
    """Return the job to apply an event again."""
    return JobKey(JobKind.EVENT, f"{key.id} {key.type}")


@attrs.frozen(kw_only=True)
class Decided:
    """What one source's facts come to: the changes that hold them, if any.

    `outcome` is the event's. One that is known is a `duplicate`, with changes if
    it is applied again; so is an intent that was saved before. `lease_lost`: another
    process has the intent by now. A `refusal` is the rule that forbids it; a `failure`
    the exception of a bug.
    """

    changes: Changes | None = None
    outcome: Outcome | None = None
    duplicate: bool = False
    lease_lost: bool = False
    refusal: Rejected | None = None
    failure: Exception | None = None


@attrs.frozen
class Decision:
    """One `Decided` for each source, or what has to be loaded before one can decide."""

    decided: Sequence[Decided] = ()
    more: Lookup | None = None

    @property
    def groups(self) -> Sequence[Changes]:
        """Return the groups to save, each once, in the order of their keys."""
        groups = {it.changes.key: it.changes for it in self.decided if it.changes}
        return [groups[key] for key in sorted(groups)]


def event_group(event: GatewayEvent) -> str:
    return f"event {event.id} {event.type}"


def user_group(user: UserId) -> tuple[str, UserId]:
    return f"user {user}", user
