"""What an invoice of any API version covers of a subscription.

Until 2025-03-31 an invoice named its subscription, and a line said itself whether it
prorates; since then both are under `parent`.
Sources: docs.stripe.com/api/invoices/{object,line_item}, docs.stripe.com/changelog.
"""

from collections.abc import Sequence

import msgspec

from payments_adapters.stripe.fields import (
    Id,
    Minor,
    Reference,
    Seconds,
    Text,
    id_of,
    moment,
)
from payments_core.subscription import PaidPeriod


class Period(msgspec.Struct):
    start: Seconds
    end: Seconds


class OfItem(msgspec.Struct):
    proration: bool = False
    subscription: Reference = None
    subscription_item: Reference = None


class LineParent(msgspec.Struct):
    """No field is set: a line added by hand, or a proration of an older version."""

    subscription_item_details: OfItem | None = None


class Line(msgspec.Struct):
    period: Period
    id: Text = ""
    parent: LineParent | None = None
    # Until 2025-03-31 these replaced a parent.
    type: Text = "subscription"
    proration: bool = False
    subscription: Reference = None
    subscription_item: Reference = None


class Lines(msgspec.Struct):
    data: Sequence[Line] = ()
    # An invoice comes with its first ten lines; after many prorations the line of its
    # period may not be among them.
    has_more: bool = False


class OfSubscription(msgspec.Struct):
    subscription: Reference = None


class InvoiceParent(msgspec.Struct):
    subscription_details: OfSubscription | None = None


class InvoiceOwner(msgspec.Struct):
    """The part of an invoice that names its subscription."""

    id: Id
    parent: InvoiceParent | None = None
    subscription: Reference = None


class Invoice(InvoiceOwner):
    status: Text | None = None
    amount_paid: Minor | None = None
    lines: Lines = msgspec.field(default_factory=Lines)


def subscription_of(invoice: InvoiceOwner) -> str | None:
    """Return the subscription of an invoice; None if it has none."""
    details = invoice.parent and invoice.parent.subscription_details
    return id_of(invoice.subscription) or (
        id_of(details.subscription) if details else None
    )


def paid_periods_of(invoice: Invoice) -> Sequence[PaidPeriod]:
    """Return what a paid invoice covers of its subscription: one period per item.

    Nothing if it is not paid, has no subscription, or only prorates: the rest of a
    period that was paid already. Lines added by hand cover nothing, whatever their
    period.
    """
    subscription = subscription_of(invoice)
    if invoice.status != "paid" or subscription is None:
        return ()
    last: dict[str | None, Period] = {}
    for line in invoice.lines.data:
        item = _origin_of(line)
        if item is None or not _covers(item, subscription):
            continue
        id_ = id_of(item.subscription_item)
        if id_ not in last or _place(last[id_]) < _place(line.period):
            last[id_] = line.period
    return [
        PaidPeriod(
            gateway_id=subscription,
            invoice_id=invoice.id,
            starts_at=moment(period.start),
            ends_at=moment(period.end),
            item_id=item_id,
            amount_paid_minor=invoice.amount_paid,
        )
        for item_id, period in last.items()
    ]


def _place(period: Period) -> tuple[int, int]:
    return period.end, period.start


def prorates(line: Line) -> bool:
    origin = _origin_of(line)
    return origin is not None and origin.proration


def _covers(item: OfItem, subscription: str) -> bool:
    # An item that names no subscription belongs to the invoice's own.
    return not item.proration and id_of(item.subscription) in {None, subscription}


def _origin_of(line: Line) -> OfItem | None:
    """Return the item that a line is for; None if it was added by hand."""
    if line.parent is not None:
        return line.parent.subscription_item_details
    is_items = line.type == "subscription"
    if not is_items:
        return None
    return OfItem(line.proration, line.subscription, line.subscription_item)
