"""What we ask of a payment gateway, and what it answers, in our words.

Rule 1: whatever changes something at the gateway is a request here, frozen to bytes
        before it is sent; what only reads is a method of the port.
Rule 2: a request whose `twin_costs` something must not be sent anew until it is known
        that nothing was made. Of any other a second one costs nothing, or it says how
        things should be in the end: it may be repeated.
Rule 3: `user_id` and `intent_id` go onto everything that is made, so that it can be
        found again.
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
    """Prepare what a browser needs to take a card in, away from us."""

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
    """Let a card pay whatever pins no other."""

    twin_costs: ClassVar[bool] = False
    customer_id: CustomerId
    payment_method: str


@attrs.frozen(kw_only=True)
class SetSubscriptionCard:
    """Let a card pay one subscription that pinned another."""

    twin_costs: ClassVar[bool] = False
    subscription: str
    payment_method: str


@attrs.frozen(kw_only=True)
class PayInvoice:
    """Pay an open invoice; one that is paid stays paid, once."""

    twin_costs: ClassVar[bool] = False
    invoice_id: str
    payment_method: str


@attrs.frozen(kw_only=True)
class CreateSubscription:
    """Create a subscription. Without a card to charge, its first payment is awaited."""

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
    """Another price or quantity; what costs more is held until it is paid."""

    twin_costs: ClassVar[bool] = False
    subscription: str
    item_id: str
    price: str | None = None
    quantity: int | None = None
    proration_date: datetime | None = None


@attrs.frozen(kw_only=True)
class SetCancelAtPeriodEnd:
    """End with the period, or go on after it.

    `clears_cancel_at`: the end that is taken back was planned for a moment (the
    customer portal does so), which the gateway keeps apart.
    """

    twin_costs: ClassVar[bool] = False
    subscription: str
    cancel_at_period_end: bool
    clears_cancel_at: bool = False


@attrs.frozen(kw_only=True)
class CancelSubscription:
    """End now; one that has ended stays ended."""

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
    """A request as it will be sent, the same every time, by whatever release.

    `body` is the adapter's own rendering; `api_version` the version that it speaks.
    """

    method: str
    path: str
    body: str
    api_version: str


@attrs.frozen(kw_only=True)
class Answer:
    """What came back of a request: the object's id, and what it says.

    `at` is the gateway's own second. `card` is of an attached card, `subscription` and
    `paid_period` of a request about a subscription, `client_secret` of a card set-up.
    """

    id: str
    at: datetime
    client_secret: str | None = None
    card: Card | None = None
    subscription: SubscriptionReport | None = None
    paid_period: PaidPeriod | None = None


@attrs.frozen(kw_only=True)
class FetchedSubscription:
    """A subscription as it is at `at`, and the last periods of it that were paid for.

    Of several items each has periods of its own.
    """

    report: SubscriptionReport
    paid_periods: Sequence[PaidPeriod]
    at: datetime


@attrs.frozen(kw_only=True)
class FetchedPayment:
    """A payment as it is, with the invoice that it paid; what that invoice covers.

    `payment.invoice_known` is set. `at` is the second of the answer.
    """

    payment: Payment
    at: datetime
    paid_periods: Sequence[PaidPeriod] = ()


@attrs.frozen(kw_only=True)
class FetchedCustomer:
    """A customer: `deleted` ones are known for ever, and nothing can be done with them.

    `metadata_user_id` is the user whom its metadata names, `email_key` what its e-mail
    is known by, `card` the one that pays by default; None: it has none, or it cannot be
    read as one.
    """

    deleted: bool = False
    metadata_user_id: str | None = None
    email_key: str | None = None
    card: Card | None = None


@attrs.frozen(kw_only=True)
class SetUp:
    """A card set-up: `payment_method` is there once it succeeded."""

    customer_id: CustomerId | None
    payment_method: str | None
    succeeded: bool


class InvoicePaymentState(StrEnum):
    """How far the payment of an invoice is."""

    PAID = "paid"
    # It was not tried, or is being tried.
    OPEN = "open"
    # The bank wants the payer to confirm: 3-D Secure.
    REQUIRES_ACTION = "requires_action"
    DECLINED = "declined"
    # Void, or written off: it is not tried again.
    CLOSED = "closed"


@attrs.frozen(kw_only=True)
class InvoicePayment:
    """The payment of an invoice: how far it is, and what a browser needs for it."""

    state: InvoicePaymentState
    client_secret: str | None = None
    decline_code: str | None = None


@attrs.frozen(kw_only=True)
class Price:
    """A price that may be sold; `amount_minor` is None where it is not that simple."""

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
    """What a change would cost at once, if it is made with this `proration_date`."""

    due: Money
    proration_date: datetime
    lines: Sequence[PreviewLine]
