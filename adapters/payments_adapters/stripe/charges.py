"""Charges, disputes and refunds, in our words.

If a charge is unclear, it is fetched, never guessed at.
Sources: docs.stripe.com/api/{charges,disputes,refunds}/object and the types of the SDK;
fields that older versions lack have a default.
"""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

import msgspec

from payments_adapters.emails import read_email
from payments_adapters.stripe.fields import (
    Id,
    Malformed,
    Metadata,
    Minor,
    Reference,
    Seconds,
    Text,
    id_of,
    moment,
)
from payments_core.errors import InvalidValue
from payments_core.identity import CustomerId, customer_id
from payments_core.money import Money
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentState


class _BillingDetails(msgspec.Struct):
    email: str | None = None


class Charge(msgspec.Struct):
    id: Id
    amount: Minor
    currency: Text
    created: Seconds
    status: Text = ""
    amount_refunded: Minor = 0
    refunded: bool = False
    disputed: bool = False
    # The field before `disputed` existed.
    dispute: Reference = None
    customer: Reference = None
    payment_intent: Reference = None
    # Removed on 2025-03-31; before that null means none.
    invoice: Reference | msgspec.UnsetType = msgspec.UNSET
    metadata: Metadata | None = None
    # Of any length: `Email` has the limit, and refuses a longer text.
    receipt_email: str | None = None
    billing_details: _BillingDetails | None = None
    failure_code: Text | None = None


class Dispute(msgspec.Struct):
    status: Text = ""
    charge: Reference = None


class Refund(msgspec.Struct):
    status: Text | None = None
    charge: Reference = None


class Unclear(Exception):  # noqa: N818  # a verdict, never shown
    """A charge from which no fact follows."""


def payment_of(charge: Charge, *, expired: bool) -> Payment:
    """Return what a charge reports. An authorisation counts before it is captured."""
    state, refunded_minor = _progress(charge, expired=expired)
    disputed = charge.disputed or charge.dispute is not None
    return Payment(
        id=PaymentId(charge.id),
        state=state,
        dispute=DisputeState.OPEN if disputed else DisputeState.NONE,
        amount=_money(charge),
        refunded_minor=refunded_minor,
        created_at=moment(charge.created),
        customer_id=None if charge.customer is None else _customer(charge.customer),
        metadata_user_id=(charge.metadata and charge.metadata.user_id) or None,
        email=_email_key(charge),
        invoice_id=id_of(charge.invoice) if charge.invoice else None,
        invoice_known=charge.invoice is None,
        failure_code=charge.failure_code,
    )


_STATES: Final = MappingProxyType(
    {
        "pending": PaymentState.PENDING,
        "succeeded": PaymentState.SUCCEEDED,
        "failed": PaymentState.FAILED,
    }
)


def _progress(charge: Charge, *, expired: bool) -> tuple[PaymentState, int]:
    """Return how far a charge got, and how much of it was returned, in minor units."""
    state = _STATES.get(charge.status)
    if state is None:
        raise Unclear("the charge has an unknown status")
    # An authorisation that was not captured in time was released in full.
    in_full = charge.refunded or expired or 0 < charge.amount == charge.amount_refunded
    refunded_minor = charge.amount if in_full else charge.amount_refunded
    if refunded_minor > charge.amount:
        raise Unclear("more was refunded than charged")
    if not in_full and not refunded_minor:
        return state, 0
    if state is PaymentState.FAILED or (state is PaymentState.PENDING and not in_full):
        raise Unclear("a refund of what was not taken")
    after = PaymentState.REFUNDED if in_full else PaymentState.PARTIALLY_REFUNDED
    return after, refunded_minor


def _money(charge: Charge) -> Money:
    try:
        return Money(charge.amount, charge.currency)
    except InvalidValue as error:
        raise Malformed("data.object.currency", error.reason) from None


def _customer(reference: Reference) -> CustomerId | None:
    id_ = id_of(reference)
    try:
        return None if id_ is None else customer_id(id_)
    except InvalidValue:
        raise Unclear("the customer's id is not readable") from None


def _email_key(charge: Charge) -> str | None:
    billing = charge.billing_details
    text = charge.receipt_email or (billing and billing.email)
    try:
        return read_email(text).key if text else None
    except InvalidValue:
        return None


# A closed inquiry took no money; a prevented dispute never became one.
DISPUTES: Final = MappingProxyType(
    {
        "warning_needs_response": DisputeState.OPEN,
        "warning_under_review": DisputeState.OPEN,
        "warning_closed": DisputeState.WON,
        "needs_response": DisputeState.OPEN,
        "under_review": DisputeState.OPEN,
        # An appeal follows a loss, and only a second decision changes the loss.
        "appeal_needs_response": DisputeState.OPEN,
        "appeal_under_review": DisputeState.OPEN,
        "won": DisputeState.WON,
        "lost": DisputeState.LOST,
        "prevented": DisputeState.WON,
    }
)


def dispute_state_of(disputes: Iterable[Dispute]) -> DisputeState:
    """Return the state of a charge's disputes: lost, if one of them is.

    Raises:
        Unclear: a status is unknown.
    """
    states = {DISPUTES.get(dispute.status) for dispute in disputes}
    if None in states:
        raise Unclear("the dispute has an unknown status")
    # A dispute that is not listed yet is not over.
    by_weight = (DisputeState.LOST, DisputeState.OPEN, DisputeState.WON)
    return next((it for it in by_weight if it in states), DisputeState.OPEN)


def payment_id_of(thing: Dispute | Refund) -> PaymentId | None:
    id_ = id_of(thing.charge)
    return None if id_ is None else PaymentId(id_)


# The amounts come with `charge.refunded`.
QUIET_REFUNDS: Final = frozenset({"pending", "requires_action", "succeeded"})
FAILED_REFUNDS: Final = frozenset({"failed", "canceled"})
