"""Requests to a payment gateway and its answers, in our words.

Rule 1: every change at the gateway is a request here, frozen to bytes before it is
        sent; every read is a method of the port.
Rule 2: a request with `twin_costs` must not be sent with a new key until it is known
        that the first created nothing. Any other request may be repeated: a second
        object costs nothing, or the request sets a final state.
Rule 3: `user_id` and `intent_id` are written to everything that is created, so that it
        can be found again.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import attrs

from payments_core.card import Card
from payments_core.identity import CustomerId, UserId
from payments_core.money import Money
from payments_core.payment import Payment
from payments_core.subscription import PaidPeriod, SubscriptionReport


@attrs.frozen(kw_only=True)
class CreateCustomer:
    twin_costs: ClassVar[bool] = False
    user_id: UserId
    email: str
    intent_id: str


@attrs.frozen(kw_only=True)
class CreateSetupIntent:
    """Prepare what a browser needs to send a card to the gateway, not to us."""

    twin_costs: ClassVar[bool] = False
    customer_id: CustomerId
    user_id: UserId
    intent_id: str


@attrs.frozen(kw_only=True)
class AttachCard:
    twin_costs: ClassVar[bool] = False
    customer_id: CustomerId
    payment_method: str


@attrs.frozen(kw_only=True)
class MakeDefault:
    """Make a card the default, for everything that pins no other card."""

    twin_costs: ClassVar[bool] = False
    customer_id: CustomerId
    payment_method: str


@attrs.frozen(kw_only=True)
class SetSubscriptionCard:
    """Pin a card to one subscription that pinned another."""

    twin_costs: ClassVar[bool] = False
    subscription: str
    payment_method: str


@attrs.frozen(kw_only=True)
class PayInvoice:
    """Pay an open invoice; a paid invoice is not paid twice."""

    twin_costs: ClassVar[bool] = False
    invoice_id: str
    payment_method: str


@attrs.frozen(kw_only=True)
class CreateSubscription:
    """Create a subscription. Without a card, it waits for its first payment."""

    twin_costs: ClassVar[bool] = True
    customer_id: CustomerId
    price: str
    quantity: int
    payment_method: str | None = None
    trial_days: int | None = None
    has_card: bool
    user_id: UserId
    intent_id: str


@attrs.frozen(kw_only=True)
class UpdateSubscription:
    """Change price or quantity; a change that costs more waits until it is paid."""

    twin_costs: ClassVar[bool] = False
    subscription: str
    item_id: str
    price: str | None = None
    quantity: int | None = None
    proration_date: datetime | None = None


@attrs.frozen(kw_only=True)
class SetCancelAtPeriodEnd:
    """Cancel at the end of the period, or undo that.

    `clears_cancel_at`: the end to undo was planned with `cancel_at` (as the customer
    portal does), which the gateway stores separately.
    """

    twin_costs: ClassVar[bool] = False
    subscription: str
    cancel_at_period_end: bool
    clears_cancel_at: bool = False


@attrs.frozen(kw_only=True)
class CancelSubscription:
    """Cancel now; an ended subscription is unchanged."""

    twin_costs: ClassVar[bool] = False
    subscription: str


GatewayRequest = (
    CreateCustomer
    | CreateSetupIntent
    | AttachCard
    | MakeDefault
    | SetSubscriptionCard
    | PayInvoice
    | CreateSubscription
    | UpdateSubscription
    | SetCancelAtPeriodEnd
    | CancelSubscription
)


@attrs.frozen(kw_only=True)
class FrozenRequest:
    """A request as it will be sent, the same bytes each time, by every release.

    `body` is rendered by the adapter for the `api_version`.
    """

    method: str
    path: str
    body: str
    api_version: str


@attrs.frozen(kw_only=True)
class Answer:
    """The answer to a request: the object's id and contents.

    `at` is the gateway's own second. `card` is set for an attached card, `subscription`
    and `paid_period` for a request about a subscription, `client_secret` for a card
    set-up.
    """

    id: str
    at: datetime
    client_secret: str | None = None
    card: Card | None = None
    subscription: SubscriptionReport | None = None
    paid_period: PaidPeriod | None = None


@attrs.frozen(kw_only=True)
class FetchedSubscription:
    """A subscription as of `at`, and its last paid periods.

    With several items, each has periods of its own.
    """

    report: SubscriptionReport
    paid_periods: Sequence[PaidPeriod]
    at: datetime


@attrs.frozen(kw_only=True)
class FetchedPayment:
    """A payment as of `at`, with its invoice and the periods that the invoice covers.

    `payment.invoice_known` is set. `at` is the second of the answer.
    """

    payment: Payment
    at: datetime
    paid_periods: Sequence[PaidPeriod] = ()


@attrs.frozen(kw_only=True)
class FetchedCustomer:
    """A customer; a `deleted` customer can still be fetched, but no longer used.

    `metadata_user_id` is the user that its metadata names, `email_key` the key of its
    e-mail, `card` the card that pays by default; None: it has none, or it cannot be
    read as a card.
    """

    deleted: bool = False
    metadata_user_id: str | None = None
    email_key: str | None = None
    card: Card | None = None


@attrs.frozen(kw_only=True)
class SetUp:
    """A card set-up; `payment_method` is set after it succeeded."""

    customer_id: CustomerId | None
    payment_method: str | None
    succeeded: bool


class InvoicePaymentState(StrEnum):
    """The state of an invoice's payment."""

    PAID = "paid"
    # Not tried yet, or in progress.
    OPEN = "open"
    # The bank requires authentication (3-D Secure).
    REQUIRES_ACTION = "requires_action"
    DECLINED = "declined"
    # Void or written off: not retried.
    CLOSED = "closed"


@attrs.frozen(kw_only=True)
class InvoicePayment:
    """The payment of an invoice: its state, and what a browser needs for it."""

    state: InvoicePaymentState
    client_secret: str | None = None
    decline_code: str | None = None


@attrs.frozen(kw_only=True)
class Price:
    """A price at the gateway; `amount_minor` is None if it is not a single amount."""

    id: str
    product: str
    currency: str
    amount_minor: int | None
    active: bool
    recurring: bool


@attrs.frozen(kw_only=True)
class PreviewLine:
    description: str
    amount_minor: int


@attrs.frozen(kw_only=True)
class Preview:
    """What a change would cost now, if it is made with this `proration_date`."""

    due: Money
    proration_date: datetime
    lines: Sequence[PreviewLine]
