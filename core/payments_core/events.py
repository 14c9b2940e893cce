"""What a gateway may report, in our words."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Self

import attrs

from payments_core.card import Card
from payments_core.identity import CustomerId
from payments_core.job_key import JobKey, JobKind
from payments_core.payment import Payment, PaymentId
from payments_core.subscription import PaidPeriod, SubscriptionReport

EVENT_BODY_BYTES_MAX: Final = 512 * 1024


class EventKey(NamedTuple):
    """What makes two deliveries one event.

    The id alone would do, but for Stripe's sample events: they all share one id.
    """

    id: str
    type: str


class EventState(StrEnum):
    """What became of an event that was kept."""

    APPLIED = "applied"
    # Kept, and nothing to do: a type that we do not follow, nothing of any user.
    IGNORED = "ignored"
    # Kept, not applied yet: the worker has it.
    PENDING = "pending"
    # Kept apart: not for this deployment, or it contradicts what we know.
    QUARANTINED = "quarantined"
    # An operator says that nothing follows of it: it is never applied.
    CLOSED = "closed"


# Something has to become of these.
OPEN_STATES: Final = (EventState.PENDING, EventState.QUARANTINED)


@attrs.frozen
class SyncNeeded:
    """The gateway has to be asked before anything follows: a report, and a fact.

    `after` is how much later the job is due.
    """

    job: JobKey
    reason: str
    after: timedelta = timedelta()

    @classmethod
    def of_payment(cls, payment_id: PaymentId, reason: str) -> Self:
        return cls(JobKey(JobKind.PAYMENT, payment_id), reason)


# What of a gateway only says by itself which syncs a change of it asks for.
ObjectKind = Literal["invoice", "refund", "dispute", "card", "set_up"]


@attrs.frozen
class ObjectChanged:
    """Something happened to an object that is not told: a report, and a fact.

    It has to be read before it is known what to sync: a thin event says no more.
    """

    kind: ObjectKind
    id: str


@attrs.frozen
class QuarantineNeeded:
    """Nothing may follow from the event, now or later: a report, and a fact.

    It is not for us, or cannot be read; `reason` says which, and quotes no input.
    """

    reason: str


@attrs.frozen
class ReadFailed:
    """A bug of ours met the body: a report, and a fact. A job reads it again."""

    error: Exception


class CardChange(StrEnum):
    """What happened to a customer's cards."""

    # Another one pays by default, or none does.
    DEFAULT = "default"
    # It can be made the default; it pays nothing yet.
    ATTACHED = "attached"
    # Its expiry, say; or the bank replaced it.
    CHANGED = "changed"
    DETACHED = "detached"


@attrs.frozen(kw_only=True)
class CardReported:
    """What an event says of a customer's cards: a report, and a fact.

    `card_id` is the card that it is about; None: none pays by default any more. `card`
    is what it says of that card. `reason` is why the gateway is asked.
    """

    customer_id: CustomerId
    change: CardChange
    card_id: str | None
    card: Card | None = None
    reason: str

    def agrees_with(self, shown: Card | None) -> bool:
        """Say whether it tells nothing new to who shows this card as the one that pays.

        Which card pays changes only with the default, here or of a subscription.
        """
        shown_id = shown.id if shown else None
        match self.change:
            case CardChange.DEFAULT:
                return shown_id == self.card_id
            case CardChange.ATTACHED:
                return shown is not None
            case CardChange.CHANGED:
                return shown_id != self.card_id or shown == self.card
            case CardChange.DETACHED:
                return shown_id != self.card_id


Report = (
    Payment
    | SubscriptionReport
    | PaidPeriod
    | CardReported
    | SyncNeeded
    | ObjectChanged
    | QuarantineNeeded
    | ReadFailed
)
# Why an event of a followed type is ignored that says nothing of interest.
NOTHING_FOLLOWS: Final = "it changes nothing that is kept"
# The type of a signed event whose own cannot be read.
UNREADABLE: Final = "unreadable"


@attrs.frozen(kw_only=True)
class GatewayEvent:
    """One event, verified and translated.

    `report` is what it says, or None if nothing follows; `ignored_because` says why,
    where it is the type. `customer_id` is the customer whom it is about, if it says so.
    `request_key` is the idempotency key of the request that it came of, if any. `body`
    is what was signed, byte for byte. Of a body without a readable id or type, the id
    is made of its digest and the type is `UNREADABLE`.
    """

    id: str
    type: str
    created_at: datetime
    livemode: bool
    api_version: str | None = None
    object_id: str | None = None
    customer_id: CustomerId | None = None
    report: Report | None = None
    ignored_because: str | None = None
    request_key: str | None = None
    body: bytes = attrs.field(repr=False)
    key: EventKey = attrs.field(init=False, eq=False, repr=False)

    @key.default
    def _id_and_type(self) -> EventKey:
        return EventKey(self.id, self.type)


@attrs.frozen
class Outcome:
    """What became of an event; `reason` says why it is not simply applied.

    `waits_for` is the job that will settle a pending one.
    """

    state: EventState
    reason: str | None = None
    waits_for: JobKey | None = None


@attrs.frozen
class Receipt:
    """The answer to a delivery: the event is durable.

    `outcome` is None for a duplicate: what became of it was decided before.
    """

    outcome: Outcome | None

    @property
    def duplicate(self) -> bool:
        return self.outcome is None
