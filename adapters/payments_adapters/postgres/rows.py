"""Rows and values, by hand: the core's classes know no table.

A row is a tuple in the order of its table's columns, as asyncpg gives it; what we give
leaves out our own time, which is one value for a whole transaction.
Reading runs the validators of the core again: a row that was tampered with is loud.
"""

from typing import Any, Final

from payments_core.account import (
    Checkpoint,
    Email,
    PaymentAccount,
    PaymentStatus,
    Sighting,
    Term,
    UserId,
)
from payments_core.events import EventKey, EventState, GatewayEvent, KeptEvent, Outcome
from payments_core.money import Money
from payments_core.payment import CustomerId, DisputeState, Payment, PaymentState
from payments_core.ports import PaymentRecord

Row = tuple[Any, ...]  # a driver's row holds anything

_STATES: Final = {state.value: state for state in PaymentState}
_DISPUTES: Final = {state.value: state for state in DisputeState}
_STATUSES: Final = {status.value: status for status in PaymentStatus}


def of_account(account: PaymentAccount) -> Row:
    latest, term = account.checkpoint.latest, account.checkpoint.term
    return (
        account.user_id,
        account.email.text,
        account.email.key,
        account.customer_id,
        (latest.status if latest else PaymentStatus.NONE).value,
        term.ends_at if term else None,
        latest.created_at if latest else None,
        latest.precedence if latest else None,
        latest.payment_id if latest else None,
        latest.buys_month if latest else None,
        term.anchor if term else None,
        term.months if term else None,
        account.version + 1,
    )


def to_account(row: Row) -> PaymentAccount:
    user, email, key, customer, status, _, *checkpoint, version, _, _ = row
    created_at, precedence, payment_id, buys_month, anchor, months = checkpoint
    return PaymentAccount(
        user_id=UserId(user),
        email=Email(email, key),
        customer_id=CustomerId(customer) if customer else None,
        checkpoint=Checkpoint(
            None
            if created_at is None
            else Sighting(
                created_at, precedence, payment_id, _STATUSES[status], buys_month
            ),
            None if anchor is None else Term(anchor, months),
        ),
        version=version,
    )


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
    )


def to_kept_event(row: Row) -> KeptEvent:
    """Read a row of `queries`: the event, whose payment it reports, its body."""
    id_, type_, object_id, created_at, received_at, livemode, state, reason, *rest = row
    user_id, body = rest
    return KeptEvent(
        key=EventKey(id_, type_),
        outcome=Outcome(EventState(state), reason),
        created_at=created_at,
        received_at=received_at,
        object_id=object_id,
        livemode=livemode,
        user_id=user_id,
        body=body,
    )
