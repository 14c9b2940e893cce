"""Rows and values, by hand: the core's classes know no table.

A row is a tuple in the order of its table's columns, as asyncpg gives it; what we give
leaves out our own time, which is one value for a whole transaction.
Reading runs the validators of the core again: a row that was tampered with is loud.
"""

from datetime import datetime
from typing import Any, Final

from payments_core.account import PaymentAccount, age
from payments_core.card import Card
from payments_core.events import EventKey, EventState, GatewayEvent, KeptEvent, Outcome
from payments_core.identity import CustomerId, Email, UserId
from payments_core.job import JobKey, JobKind
from payments_core.money import Money
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentState
from payments_core.ports import PaymentRecord
from payments_core.standing import Checkpoint, PaymentStatus, Sighting, Term
from payments_core.subscription import (
    PaidTerm,
    PendingUpdate,
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)

Row = tuple[Any, ...]  # a driver's row holds anything

_STATES: Final = {state.value: state for state in PaymentState}
_DISPUTES: Final = {state.value: state for state in DisputeState}
_STATUSES: Final = {status.value: status for status in PaymentStatus}
_SUBSCRIPTION_STATUSES: Final = {it.value: it for it in SubscriptionStatus}


def of_account(account: PaymentAccount) -> Row:
    latest, term = account.checkpoint.latest, account.checkpoint.term
    card = account.card
    return (
        account.user_id,
        account.email.text,
        account.email.key,
        account.customer_id,
        account.payment_status.value,
        account.payment_expire_date,
        latest.created_at if latest else None,
        latest.precedence if latest else None,
        latest.payment_id if latest else None,
        latest.buys_month if latest else None,
        latest.status.value if latest else None,
        latest.returned if latest else None,
        term.anchor if term else None,
        term.months if term else None,
        account.checkpoint.returned_at,
        card.id if card else None,
        card.brand if card else None,
        card.last4 if card else None,
        card.exp_month if card else None,
        card.exp_year if card else None,
        account.card_ticket,
        account.version + 1,
    )


def to_account(row: Row) -> PaymentAccount:
    """Read a row of an account, with the rows of its subscriptions at the end."""
    user, email, key, customer, status, _, *checkpoint, version, _, _, found = row
    *seen, anchor, months, returned_at = checkpoint[:-6]
    card_id, brand, last4, month, year, card_ticket = checkpoint[-6:]
    subscriptions = sorted(map(to_subscription, found or ()), key=age)
    return PaymentAccount(
        user_id=UserId(user),
        email=Email(email, key),
        customer_id=CustomerId(customer) if customer else None,
        card=Card(id=card_id, brand=brand, last4=last4, exp_month=month, exp_year=year)
        if card_id
        else None,
        card_ticket=card_ticket,
        subscriptions=tuple(subscriptions),
        checkpoint=Checkpoint(
            _sighting(status, bool(subscriptions), *seen),
            None if anchor is None else Term(anchor, months),
            returned_at,
        ),
        version=version,
    )


def _sighting(  # noqa: PLR0913, PLR0917  # columns
    status: str,
    has_subscriptions: bool,  # noqa: FBT001  # see below
    created_at: datetime | None,
    precedence: int,
    payment_id: str,
    buys_month: bool,  # noqa: FBT001  # a column
    latest_status: str | None,
    returned: bool | None,  # noqa: FBT001  # a column
) -> Sighting | None:
    if created_at is None:
        return None
    # The release before knows only one status: without subscriptions it is the
    # payment's.
    own = latest_status if has_subscriptions and latest_status else status
    return Sighting(
        created_at,
        precedence,
        PaymentId(payment_id),
        _STATUSES[own],
        buys_month,
        bool(returned),
    )


def of_subscription(subscription: Subscription) -> Row:
    report, term, pending = (
        subscription.report,
        subscription.term,
        subscription.report.pending,
    )
    return (
        report.gateway_id,
        subscription.id,
        subscription.user_id,
        report.customer_id,
        report.status.value,
        report.product,
        report.price,
        report.quantity,
        report.item_id,
        report.currency,
        report.created_at,
        report.period_start,
        report.period_end,
        report.trial_start,
        report.trial_end,
        report.cancel_at,
        report.cancel_at_period_end,
        report.ended_at,
        report.pinned_card,
        report.latest_invoice_id,
        pending.price if pending else None,
        pending.quantity if pending else None,
        pending.expires_at if pending else None,
        report.claimed_by,
        report.intent_id,
        term.invoice_id if term else None,
        term.starts_at if term else None,
        term.ends_at if term else None,
        subscription.known_until,
        subscription.ticket,
        subscription.look_at,
        subscription.version + 1,
    )


def to_subscription(row: Row) -> Subscription:
    gateway_id, _, user_id, customer, status, product, price, quantity, *rest = row
    item_id, currency, created_at, period_start, period_end, *rest = rest
    trial_start, trial_end, cancel_at, at_period_end, ended_at, *rest = rest
    pinned_card, invoice_id, *pending, claimed_by, intent_id = rest[:7]
    paid_invoice, paid_from, paid_through, known_until, ticket, _, version, *_ = rest[
        7:
    ]
    return Subscription(
        report=SubscriptionReport(
            gateway_id=gateway_id,
            customer_id=CustomerId(customer),
            status=_SUBSCRIPTION_STATUSES[status],
            product=product,
            price=price,
            quantity=quantity,
            item_id=item_id,
            currency=currency,
            created_at=created_at,
            period_start=period_start,
            period_end=period_end,
            trial_start=trial_start,
            trial_end=trial_end,
            cancel_at=cancel_at,
            cancel_at_period_end=at_period_end,
            ended_at=ended_at,
            pinned_card=pinned_card,
            latest_invoice_id=invoice_id,
            pending=_pending(*pending),
            claimed_by=claimed_by,
            intent_id=intent_id,
        ),
        user_id=user_id,
        term=None
        if paid_through is None
        else PaidTerm(
            gateway_id=gateway_id,
            invoice_id=paid_invoice,
            starts_at=paid_from,
            ends_at=paid_through,
        ),
        known_until=known_until,
        ticket=ticket,
        version=version,
    )


def _pending(
    price: str | None, quantity: int | None, expires_at: datetime | None
) -> PendingUpdate | None:
    if expires_at is None:
        return None
    return PendingUpdate(price=price, quantity=quantity, expires_at=expires_at)


def of_payment(record: PaymentRecord) -> Row:
    payment = record.payment
    return (
        payment.id,
        record.user_id,
        payment.state.value,
        payment.dispute.value,
        payment.amount.amount_minor if payment.amount else None,
        payment.amount.currency if payment.amount else None,
        payment.refunded_minor,
        payment.created_at,
        payment.customer_id,
        payment.claimed_by,
        payment.email,
        payment.invoice_id,
        payment.failure_code,
        record.version + 1,
    )


def to_payment(row: Row) -> PaymentRecord:
    id_, user, state, dispute, amount_minor, currency, refunded_minor, *rest = row
    created_at, customer, claimed_by, email, invoice_id, failure_code, version, *_ = (
        rest
    )
    return PaymentRecord(
        payment=Payment(
            id=id_,
            state=_STATES[state],
            dispute=_DISPUTES[dispute],
            amount=None if currency is None else Money(amount_minor, currency),
            refunded_minor=refunded_minor,
            created_at=created_at,
            customer_id=customer,
            claimed_by=claimed_by,
            email=email,
            invoice_id=invoice_id,
            failure_code=failure_code,
        ),
        user_id=user,
        version=version,
    )


def of_job_key(key: JobKey) -> str:
    return f"{key.kind.value} {key.subject}"


def to_job_key(text: str | None) -> JobKey | None:
    if text is None:
        return None
    kind, _, subject = text.partition(" ")
    return JobKey(JobKind(kind), subject)


def of_event(event: GatewayEvent, outcome: Outcome) -> Row:
    return (
        event.id,
        event.type,
        event.object_id,
        event.created_at,
        event.api_version,
        event.livemode,
        outcome.state.value,
        outcome.reason,
        event.body,
        of_job_key(outcome.waits_for) if outcome.waits_for else None,
    )


def to_kept_event(row: Row) -> KeptEvent:
    """Read a row of `queries`: the event, whose payment it reports, its body."""
    id_, type_, object_id, created_at, received_at, livemode, state, reason, *rest = row
    waits_for, user_id, body = rest
    return KeptEvent(
        key=EventKey(id_, type_),
        outcome=Outcome(EventState(state), reason, to_job_key(waits_for)),
        created_at=created_at,
        received_at=received_at,
        object_id=object_id,
        livemode=livemode,
        user_id=user_id,
        body=body,
    )
