"""The other objects of Stripe that the gateway reads, as far as it does."""

from collections.abc import Sequence
from typing import Annotated, Final, Generic, TypeVar

import msgspec

from payments_adapters.stripe.billing import Line, PaymentMethod, prorates
from payments_adapters.stripe.fields import KIND, Id, Metadata, Minor, Reference, Text
from payments_core import gateway as ours
from payments_core.gateway import Collection, CollectionState
from payments_core.money import AMOUNT_MINOR_MAX

_Signed = Annotated[int, msgspec.Meta(ge=-AMOUNT_MINOR_MAX, le=AMOUNT_MINOR_MAX)]
_Item = TypeVar("_Item")


class Page(msgspec.Struct, Generic[_Item]):
    data: Sequence[_Item]
    has_more: bool = False


class Made(msgspec.Struct):
    """Something that we make, and mark as ours."""

    id: Id
    kind: Text = KIND
    livemode: bool | None = None
    metadata: Metadata | None = None


class InvoiceSettings(msgspec.Struct):
    default_payment_method: PaymentMethod | Id | None = None


class Customer(Made):
    invoice_settings: InvoiceSettings = msgspec.field(default_factory=InvoiceSettings)

    @property
    def default_method(self) -> str | None:
        method = self.invoice_settings.default_payment_method
        return method.id if isinstance(method, PaymentMethod) else method


class SetUpIntent(Made):
    status: Text = ""
    client_secret: Text | None = None
    customer: Reference = None
    payment_method: Reference = None


class LastError(msgspec.Struct):
    code: Text | None = None
    decline_code: Text | None = None


class PaymentIntent(msgspec.Struct):
    id: Id
    status: Text
    client_secret: Text | None = None
    last_payment_error: LastError | None = None


class _PaidBy(msgspec.Struct):
    payment_intent: Reference = None


class _InvoicePayment(msgspec.Struct):
    payment: _PaidBy


class CollectedInvoice(msgspec.Struct):
    id: Id
    status: Text | None = None
    payments: Page[_InvoicePayment] | None = None

    @property
    def intent_id(self) -> str | None:
        """The payment intent that collects it; None if nothing does yet."""
        for payment in self.payments.data if self.payments else ():
            intent = payment.payment.payment_intent
            if intent is not None:
                return intent if isinstance(intent, str) else intent.id
        return None


class Recurring(msgspec.Struct):
    interval: Text = ""


class Price(msgspec.Struct):
    id: Id
    product: Reference
    currency: Text
    active: bool = True
    unit_amount: Minor | None = None
    recurring: Recurring | None = None


class Product(msgspec.Struct):
    id: Id
    active: bool = True
    default_price: Price | Id | None = None


class PreviewedLine(Line):
    amount: _Signed = 0
    description: str | None = None


class PreviewedInvoice(msgspec.Struct):
    currency: Text
    amount_due: Minor
    lines: Page[PreviewedLine]

    @property
    def prorations(self) -> Sequence[PreviewedLine]:
        """What would be charged at once: the rest is the next renewal."""
        return [line for line in self.lines.data if prorates(line)]


def price_of(price: Price) -> ours.Price:
    product = price.product
    return ours.Price(
        id=price.id,
        product=(product if isinstance(product, str) else product and product.id) or "",
        currency=price.currency,
        amount_minor=price.unit_amount,
        active=price.active,
        recurring=price.recurring is not None,
    )


# The bank wants to be asked by its customer, says Stripe where nobody was there.
_WANTS_THE_PAYER: Final = "authentication_required"


def collection_of(intent: PaymentIntent) -> Collection:
    """Return how far a payment is; what nobody tried yet is open."""
    error = intent.last_payment_error
    match intent.status:
        case "succeeded":
            return Collection(state=CollectionState.PAID)
        case "canceled":
            return Collection(state=CollectionState.CLOSED)
        case "requires_action":
            state = CollectionState.REQUIRES_ACTION
        case "requires_payment_method" if error is not None:
            asks = _WANTS_THE_PAYER in {error.code, error.decline_code}
            state = (
                CollectionState.REQUIRES_ACTION if asks else CollectionState.DECLINED
            )
        case _:
            state = CollectionState.OPEN
    return Collection(
        state=state,
        client_secret=intent.client_secret,
        decline_code=(error.decline_code or error.code) if error else None,
    )
