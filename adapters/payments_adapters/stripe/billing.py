"""Subscriptions and invoices of any API generation, in our words.

Until 2025-03-31 the period was the subscription's own, an invoice named its
subscription, and a line said itself whether it prorates; since then the period is the
items', and the rest is under `parent`.
Sources: docs.stripe.com/api/{subscriptions,invoices}/object, docs.stripe.com/changelog.
"""

from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from payments_adapters.stripe.fields import (
    KIND,
    Expanded,
    Id,
    Metadata,
    Reference,
    Seconds,
    Text,
    id_of,
    moment,
)
from payments_core.card import BRAND_LENGTH_MAX, Card
from payments_core.errors import InvalidValue
from payments_core.identity import customer_id
from payments_core.subscription import (
    PaidTerm,
    PendingUpdate,
    SubscriptionReport,
    SubscriptionStatus,
)

# Far beyond what anybody sells, and what a column takes.
_Quantity = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Unreadable(Exception):  # noqa: N818  # a verdict, never shown to anybody
    """An object from which no report follows."""


class Price(msgspec.Struct):
    id: Id
    product: Reference = None
    currency: Text = ""


class Item(msgspec.Struct):
    id: Id
    price: Price
    quantity: _Quantity | None = None
    current_period_start: Seconds | None = None
    current_period_end: Seconds | None = None


class Items(msgspec.Struct):
    data: Sequence[Item] = ()


class HeldItem(msgspec.Struct):
    """An item of a pending update; its price may be an id."""

    price: Reference = None
    quantity: _Quantity | None = None


class Pending(msgspec.Struct):
    expires_at: Seconds
    subscription_items: Sequence[HeldItem] | None = None


class Period(msgspec.Struct):
    start: Seconds
    end: Seconds


class LineOrigin(msgspec.Struct):
    proration: bool = False
    subscription: Reference = None


class LineParent(msgspec.Struct):
    subscription_item_details: LineOrigin | None = None
    invoice_item_details: LineOrigin | None = None


class Line(msgspec.Struct):
    period: Period
    proration: bool = False
    subscription: Reference = None
    parent: LineParent | None = None


class Lines(msgspec.Struct):
    data: Sequence[Line] = ()


class InvoiceOrigin(msgspec.Struct):
    subscription: Reference = None


class InvoiceParent(msgspec.Struct):
    subscription_details: InvoiceOrigin | None = None


class Invoice(msgspec.Struct):
    id: Id
    kind: Text = KIND
    livemode: bool | None = None
    status: Text | None = None
    subscription: Reference = None
    parent: InvoiceParent | None = None
    lines: Lines = msgspec.field(default_factory=Lines)


class Subscription(msgspec.Struct):
    id: Id
    customer: Id | Expanded
    status: Text
    created: Seconds
    items: Items
    kind: Text = KIND
    livemode: bool | None = None
    currency: Text = ""
    current_period_start: Seconds | None = None
    current_period_end: Seconds | None = None
    trial_start: Seconds | None = None
    trial_end: Seconds | None = None
    cancel_at: Seconds | None = None
    cancel_at_period_end: bool = False
    ended_at: Seconds | None = None
    default_payment_method: Reference = None
    latest_invoice: Invoice | Id | None = None
    pending_update: Pending | None = None
    metadata: Metadata | None = None


class CardDetails(msgspec.Struct):
    brand: Annotated[str, msgspec.Meta(max_length=BRAND_LENGTH_MAX)]
    last4: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}\Z")]
    exp_month: Annotated[int, msgspec.Meta(ge=1, le=12)]
    exp_year: Annotated[int, msgspec.Meta(ge=1970, le=9999)]


class PaymentMethod(msgspec.Struct):
    id: Id
    kind: Text = KIND
    livemode: bool | None = None
    customer: Reference = None
    card: CardDetails | None = None


_STATUSES: Final = MappingProxyType({it.value: it for it in SubscriptionStatus})


def report_of(subscription: Subscription) -> SubscriptionReport:
    """Return what a subscription says.

    Of several items the first is ours: we make one.

    Raises:
        Unreadable: its status is not known, or it has no items or no period.
    """
    status = _STATUSES.get(subscription.status)
    if status is None:
        raise Unreadable("the subscription has an unknown status")
    if not subscription.items.data:
        raise Unreadable("the subscription has no items")
    item = subscription.items.data[0]
    start = item.current_period_start or subscription.current_period_start
    end = item.current_period_end or subscription.current_period_end
    if start is None or end is None:
        raise Unreadable("the subscription has no period")
    metadata = subscription.metadata or Metadata()
    invoice = subscription.latest_invoice
    try:
        customer = customer_id(id_of(subscription.customer) or "")
    except InvalidValue:
        raise Unreadable("the customer's id is not readable") from None
    return SubscriptionReport(
        gateway_id=subscription.id,
        customer_id=customer,
        status=status,
        product=id_of(item.price.product) or "",
        price=item.price.id,
        quantity=1 if item.quantity is None else item.quantity,
        item_id=item.id,
        currency=subscription.currency or item.price.currency,
        created_at=moment(subscription.created),
        period_start=moment(start),
        period_end=moment(end),
        trial_start=_moment(subscription.trial_start),
        trial_end=_moment(subscription.trial_end),
        cancel_at=_moment(subscription.cancel_at),
        cancel_at_period_end=subscription.cancel_at_period_end,
        ended_at=_moment(subscription.ended_at),
        pinned_card=id_of(subscription.default_payment_method),
        latest_invoice_id=invoice.id if isinstance(invoice, Invoice) else invoice,
        pending=_pending(subscription.pending_update),
        claimed_by=metadata.user_id or None,
        intent_id=metadata.intent_id or None,
    )


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


def _pending(pending: Pending | None) -> PendingUpdate | None:
    if pending is None:
        return None
    held = (pending.subscription_items or [HeldItem()])[0]
    return PendingUpdate(
        price=id_of(held.price),
        quantity=held.quantity,
        expires_at=moment(pending.expires_at),
    )


def subscription_of(invoice: Invoice) -> str | None:
    """Return whose invoice it is; None for one without a subscription."""
    details = invoice.parent and invoice.parent.subscription_details
    return id_of(invoice.subscription) or (
        id_of(details.subscription) if details else None
    )


def term_of(invoice: Invoice) -> PaidTerm | None:
    """Return what a paid invoice covers of its subscription.

    None if it is not paid, has no subscription, or only prorates: what remains of a
    period that was paid already.
    """
    subscription = subscription_of(invoice)
    if invoice.status != "paid" or subscription is None:
        return None
    periods = [
        line.period
        for line in invoice.lines.data
        if _origin(line) == subscription and not prorates(line)
    ]
    if not periods:
        return None
    last = max(periods, key=lambda period: (period.end, period.start))
    return PaidTerm(
        gateway_id=subscription,
        invoice_id=invoice.id,
        starts_at=moment(last.start),
        ends_at=moment(last.end),
    )


def _origins(line: Line) -> Sequence[LineOrigin]:
    parent = line.parent or LineParent()
    both = (parent.subscription_item_details, parent.invoice_item_details)
    return [origin for origin in both if origin is not None]


def _origin(line: Line) -> str | None:
    named = (id_of(line.subscription), *(id_of(o.subscription) for o in _origins(line)))
    return next(filter(None, named), None)


def prorates(line: Line) -> bool:
    """Say whether a line is about a part of a period that was reckoned up."""
    return line.proration or any(origin.proration for origin in _origins(line))


def card_of(method: PaymentMethod) -> Card | None:
    """Return what may be known of a card; None for any other payment method."""
    if method.card is None:
        return None
    return Card(
        id=method.id,
        brand=method.card.brand,
        last4=method.card.last4,
        exp_month=method.card.exp_month,
        exp_year=method.card.exp_year,
    )
