"""The facts: what we learned, from any source.

Rule 1: a webhook, a job, an operation's result and a registration only produce facts;
        `payments_core.use_cases.RecordFacts` records them.
Rule 2: a fact says what was learned, never what to do about it; `payments_core.decide`
        decides that.
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
    """The payment as fetched from the gateway: it replaces all reports.

    `sequence` was drawn before the fetch; `at` is the second of the answer.
    """

    payment: Payment
    sequence: int
    at: datetime | None = None


@attrs.frozen(kw_only=True)
class SubscriptionObserved:
    """One report of a subscription, from an event or fetched.

    `at` is the second of the event or of the answer. `sequence` was drawn before the
    fetch; an event takes the number of the load that it is decided on.
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
    """An administrator links a payment to a user; None: unlinks it.

    `fetched` is the payment as fetched from the gateway, if it is not stored or we do
    not know what it paid; `at` is the second of the answer. `missing`: the payment is
    stored, but does not exist at the gateway.
    """

    payment_id: PaymentId
    user_id: UserId | None
    by_hand: ByHand
    fetched: Payment | None = None
    at: datetime | None = None
    missing: bool = False


@attrs.frozen(kw_only=True)
class SubscriptionLinkDecided:
    """An administrator links a subscription to a user; None: unlinks it.

    `observed` is the subscription as fetched, if it is not stored.
    """

    gateway_id: str
    user_id: UserId | None
    by_hand: ByHand
    observed: SubscriptionObserved | None = None


@attrs.frozen
class CloseDecided:
    """An operator closes an event: it is never applied.

    `before` is the reason why it was not applied, if it has one.
    """

    key: EventKey
    by_hand: ByHand
    before: str | None = None


@attrs.frozen
class DoneByHand:
    """A person caused the facts that are recorded with this: who, and why."""

    change: ChangeByHand


@attrs.frozen(kw_only=True)
class CardObserved:
    """The card that pays by default for a customer; None if there is none."""

    customer_id: CustomerId
    card: Card | None
    sequence: int


@attrs.frozen(kw_only=True)
class UserRegistered:
    """A user of the users micro-service, and optionally their customer.

    `by_hand`: who binds the customer in place of another, and why. `imported`: who
    binds it in an import, and why; it replaces no other customer, and the import reads
    its history.
    """

    user_id: UserId
    email: Email
    customer_id: CustomerId | None = None
    by_hand: ByHand | None = None
    imported: ByHand | None = None


@attrs.frozen
class CustomerDeleted:
    """The gateway has deleted a customer: it can no longer be used."""

    customer_id: CustomerId


@attrs.frozen(kw_only=True)
class CustomerBound:
    """A customer was created for a user, or was found to be the user's.

    A customer that `existed` may have a card and subscriptions that we do not know.
    """

    user_id: UserId
    customer_id: CustomerId
    existed: bool


@attrs.frozen(kw_only=True)
class AccessEndDue:
    """Some access of a user ends about now, by the last logged verdict.

    `logged` was read after the account had `version`; None: nothing is logged.
    """

    user_id: UserId
    version: int
    logged: LoggedVerdict | None


@attrs.frozen(kw_only=True)
class LogGapFound:
    """The log has no row for the account's verdict as of its `version`."""

    user_id: UserId
    version: int


@attrs.frozen
class LinkRequested:
    """An unlinked payment or subscription has a key of this account: link it."""

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
    """The facts of one source, and what is saved together with them.

    `event` is stored with its outcome; `reapplied`: it was stored before and not
    applied. `job`, as it was claimed, is finished, and the events that wait for it get
    `job_outcome` unless the facts say otherwise. `intent` is saved as it is here.
    """

    facts: tuple[Fact, ...] = ()
    event: GatewayEvent | None = None
    reapplied: bool = False
    job: Job | None = None
    job_outcome: Outcome = APPLIED
    intent: Intent | None = None


def facts_of(event: GatewayEvent) -> SourcedFacts:
    """Return the facts of an event, to be recorded with it."""
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
