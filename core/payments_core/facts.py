"""What we learned, from whatever source.

Rule 1: a webhook, a job, an operation's result, a registration: each only produces
        facts, and `payments_core.use_cases.RecordFacts` records them.
Rule 2: a fact says what was learned and never what to do about it: that is
        `payments_core.decide`.
"""

from datetime import datetime

import attrs

from payments_core.account_log import LoggedVerdict
from payments_core.by_hand import ByHand, ChangeByHand
from payments_core.card import Card
from payments_core.events import (
    CardReported,
    EventKey,
    EventState,
    GatewayEvent,
    ObjectChanged,
    Outcome,
    QuarantineNeeded,
    ReadFailed,
    SyncNeeded,
)
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Intent
from payments_core.job import Job
from payments_core.payment import Payment, PaymentId
from payments_core.subscription import PaidPeriod, SubscriptionReport

APPLIED = Outcome(EventState.APPLIED)


@attrs.frozen
class PaymentReported:
    """One report of one payment; reports merge, in any order."""

    payment: Payment


@attrs.frozen
class PaymentCorrected:
    """What the gateway says of a payment now, in place of all reports.

    `sequence` was drawn before the gateway was asked; `at` is the second of the answer.
    """

    payment: Payment
    sequence: int
    at: datetime | None = None


@attrs.frozen(kw_only=True)
class SubscriptionObserved:
    """One report of a subscription: an event's, or a fetched one.

    `at` is the event's own second, or the answer's. `sequence` was drawn before the
    gateway was asked; an event takes the number of the load that it is decided on.
    """

    report: SubscriptionReport
    at: datetime
    sequence: int | None = None

    @property
    def fetched(self) -> bool:
        return self.sequence is not None


@attrs.frozen
class PeriodPaid:
    """An invoice was paid, and covers a period of a subscription."""

    period: PaidPeriod


@attrs.frozen(kw_only=True)
class LinkDecided:
    """An administrator links a payment to a user; None: it is unlinked.

    `fetched` is what the gateway says of one that we have not kept, or of which we do
    not know what it paid; `at` is the second of its answer. One that is `missing` is
    kept, and the gateway says that it has it not.
    """

    payment_id: PaymentId
    user_id: UserId | None
    by_hand: ByHand
    fetched: Payment | None = None
    at: datetime | None = None
    missing: bool = False


@attrs.frozen(kw_only=True)
class SubscriptionLinkDecided:
    """An administrator links a subscription to a user; None: it is unlinked.

    `observed` is what the gateway says of one that we have not kept.
    """

    gateway_id: str
    user_id: UserId | None
    by_hand: ByHand
    observed: SubscriptionObserved | None = None


@attrs.frozen
class CloseDecided:
    """An operator decides that nothing follows of an event, now or later.

    `before` is why it was not applied, if that was said.
    """

    key: EventKey
    by_hand: ByHand
    before: str | None = None


@attrs.frozen
class DoneByHand:
    """Somebody caused what this is recorded with; `change` says who, and why."""

    change: ChangeByHand


@attrs.frozen(kw_only=True)
class CardObserved:
    """The card that pays by default for a customer; None if there is none."""

    customer_id: CustomerId
    card: Card | None
    sequence: int


@attrs.frozen(kw_only=True)
class UserRegistered:
    """A user of the users micro-service, and maybe the customer that is theirs.

    `by_hand` is who binds it in the place of another customer, and why. `imported` is
    who binds it with many others, and why: it takes no other's place, and who imports
    it reads what it has.
    """

    user_id: UserId
    email: Email
    customer_id: CustomerId | None = None
    by_hand: ByHand | None = None
    imported: ByHand | None = None


@attrs.frozen
class CustomerDeleted:
    """The gateway has deleted a customer: nothing can be asked of it any more."""

    customer_id: CustomerId


@attrs.frozen(kw_only=True)
class CustomerBound:
    """A customer was made for a user, or was found to be theirs.

    One that `existed` may have a card and subscriptions that we do not know.
    """

    user_id: UserId
    customer_id: CustomerId
    existed: bool


@attrs.frozen(kw_only=True)
class AccessEndDue:
    """Some access of a user ends about now, by what was logged last.

    `logged` was read after the account had `version`; None: it says nothing of that.
    """

    user_id: UserId
    version: int
    logged: LoggedVerdict | None


@attrs.frozen(kw_only=True)
class LogGapFound:
    """The log does not say what the account is, as of its `version`."""

    user_id: UserId
    version: int


@attrs.frozen
class LinkRequested:
    """Something unlinked carries a key of this account: link it."""

    user_id: UserId


Fact = (
    PaymentReported
    | PaymentCorrected
    | SubscriptionObserved
    | PeriodPaid
    | CardObserved
    | CardReported
    | UserRegistered
    | CustomerBound
    | CustomerDeleted
    | LinkRequested
    | AccessEndDue
    | LogGapFound
    | LinkDecided
    | SubscriptionLinkDecided
    | CloseDecided
    | DoneByHand
    | SyncNeeded
    | ObjectChanged
    | QuarantineNeeded
    | ReadFailed
)


@attrs.frozen(kw_only=True)
class SourcedFacts:
    """Facts that one source produced, and what is saved with them, or not at all.

    `event` is kept with its outcome; one that is `reapplied` was kept before and was
    not applied. `job`, as it was claimed, is finished, and the events that wait for it
    get `job_outcome` unless the facts say otherwise. `intent` is saved as it is here.
    """

    facts: tuple[Fact, ...] = ()
    event: GatewayEvent | None = None
    reapplied: bool = False
    job: Job | None = None
    job_outcome: Outcome = APPLIED
    intent: Intent | None = None


def facts_of(event: GatewayEvent) -> SourcedFacts:
    """Return what an event says, to be recorded with it."""
    facts: tuple[Fact, ...]
    match event.report:
        case Payment() as payment:
            facts = (PaymentReported(payment),)
        case SubscriptionReport() as report:
            facts = (SubscriptionObserved(report=report, at=event.created_at),)
        case PaidPeriod() as period:
            facts = (PeriodPaid(period),)
        case (
            SyncNeeded()
            | ObjectChanged()
            | QuarantineNeeded()
            | ReadFailed()
            | CardReported() as fact
        ):
            facts = (fact,)
        case None:
            facts = ()
    return SourcedFacts(facts=facts, event=event)
