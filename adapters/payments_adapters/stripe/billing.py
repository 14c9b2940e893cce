"""Subscriptions and cards of any API generation, in our words.

Until 2025-03-31 a subscription had the period; since then its items have it.
Sources: docs.stripe.com/api/{subscriptions,payment_methods}/object,
docs.stripe.com/changelog.
"""

from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from payments_adapters.stripe.fields import (
    Currency,
    Expanded,
    Id,
    Metadata,
    Reference,
    Seconds,
    Text,
    id_of,
    moment,
)
from payments_adapters.stripe.invoices import Invoice, paid_periods_of
from payments_core.card import BRAND_LENGTH_MAX, Card
from payments_core.errors import InvalidValue
from payments_core.identity import CustomerId, customer_id
from payments_core.subscription import (
    PaidPeriod,
    PendingUpdate,
    SubscriptionItem,
    SubscriptionReport,
    SubscriptionStatus,
)

# Far beyond what anybody sells; the limit of a database column.
_Quantity = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Unreadable(Exception):  # noqa: N818  # a verdict, never shown
    """An object from which no report follows."""


class Recurring(msgspec.Struct):
    interval: Text
    interval_count: int = 1

    @property
    def days(self) -> int:
        """Return the approximate length, to compare; 0 if it is unknown."""
        return _DAYS.get(self.interval, 0) * self.interval_count


_DAYS: Final = MappingProxyType({"day": 1, "week": 7, "month": 30, "year": 365})


class Price(msgspec.Struct):
    id: Id
    product: Id | Expanded
    recurring: Recurring | None = None


class Item(msgspec.Struct):
    id: Id
    price: Price
    created: Seconds = 0
    quantity: _Quantity | None = None
    current_period_start: Seconds | None = None
    current_period_end: Seconds | None = None


class Items(msgspec.Struct):
    data: Sequence[Item] = ()


class HeldItem(msgspec.Struct):
    """An item of a pending update; its price may be an id."""

    id: Id | None = None
    price: Reference = None
    quantity: _Quantity | None = None


class Pending(msgspec.Struct):
    expires_at: Seconds
    subscription_items: Sequence[HeldItem] | None = None


class Subscription(msgspec.Struct):
    id: Id
    customer: Id | Expanded
    status: Text
    created: Seconds
    currency: Currency
    items: Items
    # Until 2025-03-31; since then on the items.
    current_period_start: Seconds | None = None
    current_period_end: Seconds | None = None
    trial_start: Seconds | None = None
    trial_end: Seconds | None = None
    cancel_at: Seconds | None = None
    cancel_at_period_end: bool = False
    ended_at: Seconds | None = None
    default_payment_method: Reference = None
    # A card of the older API, which pays if there is no payment method.
    default_source: Reference = None
    latest_invoice: Invoice | Id | None = None
    pending_update: Pending | None = None
    metadata: Metadata | None = None


_STATUSES: Final = MappingProxyType({it.value: it for it in SubscriptionStatus})


def report_of(subscription: Subscription) -> SubscriptionReport:
    """Return what a subscription reports.

    Raises:
        Unreadable: its status is unknown, or it has no items or no period.
    """
    status = _STATUSES.get(subscription.status)
    if status is None:
        raise Unreadable("the subscription has an unknown status")
    first, *others = _items_of(subscription)
    metadata = subscription.metadata or Metadata()
    invoice = subscription.latest_invoice
    return SubscriptionReport(
        gateway_id=subscription.id,
        customer_id=_customer_of(subscription),
        status=status,
        product=first.product,
        price=first.price,
        quantity=first.quantity,
        item_id=first.item_id,
        currency=subscription.currency,
        created_at=moment(subscription.created),
        period_start=first.period_start,
        period_end=first.period_end,
        trial_start=_moment(subscription.trial_start),
        trial_end=_moment(subscription.trial_end),
        cancel_at=_moment(subscription.cancel_at),
        cancel_at_period_end=subscription.cancel_at_period_end,
        ended_at=_moment(subscription.ended_at),
        pinned_card=id_of(subscription.default_payment_method)
        or id_of(subscription.default_source),
        latest_invoice_id=invoice.id if isinstance(invoice, Invoice) else invoice,
        pending=first.pending,
        metadata_user_id=metadata.user_id or None,
        intent_id=metadata.intent_id or None,
        other_items=tuple(others),
    )


def _items_of(subscription: Subscription) -> Sequence[SubscriptionItem]:
    """Return its items; first the one that is ours if none is known yet.

    We create one item, the oldest. In a subscription that was created elsewhere, ours
    is the item that is paid most often: then no date is later than what was paid for.
    """
    is_ours = bool(subscription.metadata and subscription.metadata.intent_id)
    items = sorted(subscription.items.data, key=lambda it: _rank(it, is_ours=is_ours))
    if not items:
        raise Unreadable("the subscription has no items")
    return [_item_of(subscription, item) for item in items]


def _rank(item: Item, *, is_ours: bool) -> tuple[int, int, str]:
    """Return a sort key that is the same in each report, whatever its version."""
    recurring = None if is_ours else item.price.recurring
    return recurring.days if recurring else 0, item.created, item.id


def _item_of(subscription: Subscription, item: Item) -> SubscriptionItem:
    start, end = _period_of(subscription, item)
    return SubscriptionItem(
        item_id=item.id,
        product=id_of(item.price.product) or "",
        price=item.price.id,
        quantity=1 if item.quantity is None else item.quantity,
        period_start=moment(start),
        period_end=moment(end),
        pending=_held(subscription.pending_update, item),
    )


def _period_of(subscription: Subscription, item: Item) -> tuple[int, int]:
    for it in (item, subscription):
        start, end = it.current_period_start, it.current_period_end
        if start is not None and end is not None:
            return start, end
    raise Unreadable("the subscription has no period")


def _customer_of(subscription: Subscription) -> CustomerId:
    try:
        return customer_id(id_of(subscription.customer) or "")
    except InvalidValue:
        raise Unreadable("the customer's id is not readable") from None


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


def _held(pending: Pending | None, own: Item) -> PendingUpdate | None:
    if pending is None:
        return None
    items = pending.subscription_items or ()
    held = next((it for it in items if it.id in {None, own.id}), HeldItem())
    return PendingUpdate(
        price=id_of(held.price),
        quantity=held.quantity,
        expires_at=moment(pending.expires_at),
    )


def last_paid_periods_of(subscription: Subscription) -> Sequence[PaidPeriod]:
    """Return what its latest invoice covers, if it was expanded and is paid."""
    invoice = subscription.latest_invoice
    periods = paid_periods_of(invoice) if isinstance(invoice, Invoice) else ()
    return [it for it in periods if it.gateway_id == subscription.id]


# Cards


Brand = Annotated[str, msgspec.Meta(max_length=BRAND_LENGTH_MAX)]
Last4 = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}\Z")]
Month = Annotated[int, msgspec.Meta(ge=1, le=12)]
Year = Annotated[int, msgspec.Meta(ge=1970, le=9999)]


class CardDetails(msgspec.Struct):
    brand: Brand
    last4: Last4
    exp_month: Month
    exp_year: Year


class PaymentMethod(Expanded):
    customer: Reference = None
    card: CardDetails | None = None


def card_of(method: PaymentMethod) -> Card | None:
    """Return what may be stored of a card; None for any other payment method."""
    if method.card is None:
        return None
    return Card(
        id=method.id,
        brand=method.card.brand,
        last4=method.card.last4,
        exp_month=method.card.exp_month,
        exp_year=method.card.exp_year,
    )
