"""The other objects of Stripe that the gateway reads, as far as it does."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Generic, TypeVar

import msgspec

from payments_adapters.stripe.billing import PaymentMethod
from payments_adapters.stripe.fields import (
    Currency,
    Expanded,
    Id,
    Metadata,
    Minor,
    Reference,
    Text,
    id_of,
    moment,
)
from payments_adapters.stripe.invoices import Line, prorates
from payments_core import gateway as ours
from payments_core.gateway import (
    InvoicePayment,
    InvoicePaymentState,
    Preview,
    PreviewLine,
)
from payments_core.money import AMOUNT_MINOR_MAX, Money

# The SDK's own: what we ask for, and what events have to be rendered in.
API_VERSION: Final = "2026-10-28.endive"

_Signed = Annotated[int, msgspec.Meta(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX)]
_Item = TypeVar("_Item")


class Page(msgspec.Struct, Generic[_Item]):
    data: Sequence[_Item] = ()
    has_more: bool = False


# What we make


class Made(msgspec.Struct):
    """Something that may carry our mark."""

    id: Id
    customer: Reference = None
    metadata: Metadata | None = None

    def is_marked(self, intent_id: str) -> bool:
        return self.metadata is not None and self.metadata.intent_id == intent_id


class InvoiceSettings(msgspec.Struct):
    default_payment_method: PaymentMethod | Id | None = None


class Customer(Made):
    """A deleted one has no settings any more."""

    invoice_settings: InvoiceSettings = msgspec.field(default_factory=InvoiceSettings)

    @property
    def default_method(self) -> str | None:
        method = self.invoice_settings.default_payment_method
        return method.id if isinstance(method, PaymentMethod) else method


class SetUpIntent(Made):
    status: Text = ""
    client_secret: Text | None = None
    payment_method: Reference = None


# How an invoice is collected


class LastError(msgspec.Struct):
    code: Text | None = None
    decline_code: Text | None = None


class PaymentIntent(msgspec.Struct):
    id: Id
    status: Text
    client_secret: Text | None = None
    last_payment_error: LastError | None = None


class PaidBy(msgspec.Struct):
    payment_intent: Reference = None


class InvoicePaymentEntry(msgspec.Struct):
    payment: PaidBy
    status: Text = ""
    is_default: bool = False


class Confirmation(msgspec.Struct):
    client_secret: Text | None = None


class CollectedInvoice(msgspec.Struct):
    id: Id
    status: Text | None = None
    payments: Page[InvoicePaymentEntry] = msgspec.field(default_factory=Page)
    confirmation_secret: Confirmation | None = None

    @property
    def intent_id(self) -> str | None:
        """The payment intent that collects it; None if nothing does."""
        going_on = [it for it in self.payments.data if it.status != "canceled"]
        # Stripe keeps the default one in step with what is still to be paid.
        going_on.sort(key=lambda it: not it.is_default)
        intents = (id_of(it.payment.payment_intent) for it in going_on)
        return next(filter(None, intents), None)


# The bank wants its customer to confirm, says Stripe where nobody was there to do so.
_WANTS_THE_PAYER: Final = "authentication_required"


def collection_of(invoice: CollectedInvoice, intent: PaymentIntent) -> InvoicePayment:
    """Return how far the payment of an invoice is; one not tried yet is open."""
    error = intent.last_payment_error
    secret = invoice.confirmation_secret
    return InvoicePayment(
        state=_state_of(intent.status, error),
        client_secret=(secret and secret.client_secret) or intent.client_secret,
        decline_code=(error.decline_code or error.code) if error else None,
    )


def _state_of(status: str, error: LastError | None) -> InvoicePaymentState:
    match status:
        case "succeeded":
            return InvoicePaymentState.PAID
        case "canceled":
            return InvoicePaymentState.CLOSED
        case "requires_action":
            return InvoicePaymentState.REQUIRES_ACTION
        case "requires_payment_method" if error is not None:
            asks = _WANTS_THE_PAYER in {error.code, error.decline_code}
            return (
                InvoicePaymentState.REQUIRES_ACTION
                if asks
                else InvoicePaymentState.DECLINED
            )
        case _:
            return InvoicePaymentState.OPEN


# What is sold


class Recurring(msgspec.Struct):
    interval: Text = ""


class Transform(msgspec.Struct):
    divide_by: int = 1


class Price(msgspec.Struct):
    id: Id
    product: Id | Expanded
    currency: Currency
    active: bool = True
    unit_amount: Minor | None = None
    recurring: Recurring | None = None
    transform_quantity: Transform | None = None


class Product(msgspec.Struct):
    id: Id
    active: bool = True
    default_price: Price | Id | None = None


def price_of(price: Price) -> ours.Price:
    """Return a price; in packages, or in tiers, it has no amount for each."""
    return ours.Price(
        id=price.id,
        product=id_of(price.product) or "",
        currency=price.currency,
        amount_minor=None if price.transform_quantity else price.unit_amount,
        active=price.active,
        recurring=price.recurring is not None,
    )


class PreviewedLine(Line, kw_only=True):
    amount: _Signed
    description: str | None = None


class PreviewedInvoice(msgspec.Struct):
    currency: Currency
    amount_due: Minor
    lines: Page[PreviewedLine]


def preview_of(
    invoice: PreviewedInvoice, *, proration_date: datetime, now: datetime
) -> Preview:
    """Return what of a previewed invoice is due at once.

    Where a change bills nothing, Stripe shows the next renewal in its place. Such an
    invoice has a part that is still to come; of it only what this change prorates is
    the change's (docs.stripe.com/api/invoices/create_preview).
    """
    lines, due_minor = invoice.lines.data, invoice.amount_due
    if any(moment(line.period.start) > max(now, proration_date) for line in lines):
        lines = [
            line
            for line in lines
            if prorates(line) and moment(line.period.start) == proration_date
        ]
        due_minor = max(0, sum(line.amount for line in lines))
    return Preview(
        due=Money(due_minor, invoice.currency),
        proration_date=proration_date,
        lines=[
            PreviewLine(description=it.description or "", amount_minor=it.amount)
            for it in lines
        ],
    )
