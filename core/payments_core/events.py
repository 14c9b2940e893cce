"""The events of a gateway and what they report, in our words."""

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
    """The identity of an event: two deliveries with the same key are one event.

    The id alone is not enough: Stripe's sample events all have the same id.
    """

    id: str
    type: str


class EventState(StrEnum):
    """The state of a stored event."""

    APPLIED = "applied"
    # Stored, and nothing to do: a type that we do not follow, or no user is concerned.
    IGNORED = "ignored"
    # Stored, not applied yet: the worker will apply it.
    PENDING = "pending"
    # Stored and not applied: not for this deployment, or in conflict with what is
    # known.
    QUARANTINED = "quarantined"
    # Closed by an operator: never applied.
    CLOSED = "closed"


# These must still be applied or closed.
OPEN_STATES: Final = (EventState.PENDING, EventState.QUARANTINED)


@attrs.frozen
class SyncNeeded:
    """An object must be fetched before anything is decided: a report, and a fact.

    `after` is how much later the job is due.
    """

    job: JobKey
    reason: str
    after: timedelta = timedelta()

    @classmethod
    def of_payment(cls, payment_id: PaymentId, reason: str) -> Self:
        return cls(JobKey(JobKind.PAYMENT, payment_id), reason)


# The kinds of objects that must be read to know which syncs their change needs.
ObjectKind = Literal["invoice", "refund", "dispute", "card", "set_up"]


@attrs.frozen
class ObjectChanged:
    """An object changed, without its content: a report, and a fact.

    The object must be read to know what to sync: a thin event has only its id.
    """

    kind: ObjectKind
    id: str


@attrs.frozen
class QuarantineNeeded:
    """The event must never be applied: a report, and a fact.

    It is not for this deployment, or cannot be read; `reason` says which, and quotes no
    input.
    """

    reason: str


@attrs.frozen
class ReadFailed:
    """Reading the body met a bug of ours: a report, and a fact. A job retries it."""

    error: Exception


class CardChange(StrEnum):
    """What happened to a customer's cards."""

    # Another card pays by default, or none does.
    DEFAULT = "default"
    # The card can be made the default; it does not pay yet.
    ATTACHED = "attached"
    # For example its expiry date; or the bank replaced the card.
    CHANGED = "changed"
    DETACHED = "detached"


@attrs.frozen(kw_only=True)
class CardReported:
    """What an event says about a customer's cards: a report, and a fact.

    `card_id` is the card that it is about; None: no card pays by default now. `card` is
    the card as reported. `reason` is why the customer is synced.
    """

    customer_id: CustomerId
    change: CardChange
    card_id: str | None
    card: Card | None = None
    reason: str

    def agrees_with(self, shown: Card | None) -> bool:
        """Say whether it changes nothing if `shown` is known as the card that pays.

        Only a change of the default, of the customer or of a subscription, changes
        which card pays.
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
# Why an event of a followed type is ignored if it reports nothing that we use.
NOTHING_FOLLOWS: Final = "it changes nothing that is kept"
# The type of a signed event whose type cannot be read.
UNREADABLE: Final = "unreadable"


@attrs.frozen(kw_only=True)
class GatewayEvent:
    """One event, verified and translated.

    `report` is what it says, or None if it is ignored; `ignored_because` says why, if
    its type is the reason. `customer_id` is the customer that it is about, if it names
    one. `request_key` is the idempotency key of the request that caused it, if any.
    `body` is what was signed, byte for byte. If a body has no readable id or type, the
    id is made from its digest and the type is `UNREADABLE`.
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
    """The outcome of an event; `reason` says why it is not applied.

    `waits_for` is the job that will settle a pending event.
    """

    state: EventState
    reason: str | None = None
    waits_for: JobKey | None = None


@attrs.frozen
class Receipt:
    """The answer to a delivery, given after the event is stored.

    `outcome` is None for a duplicate, whose outcome was decided before.
    """

    outcome: Outcome | None

    @property
    def duplicate(self) -> bool:
        return self.outcome is None
