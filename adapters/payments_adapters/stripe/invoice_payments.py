"""The state of an invoice's payment, and which invoice a payment paid.

Sources: docs.stripe.com/api/{invoices,invoice-payment,payment_intents}/object.
"""

from typing import Final

import msgspec

from payments_adapters.stripe.api_shapes import Page
from payments_adapters.stripe.fields import Id, Reference, Text, id_of
from payments_adapters.stripe.invoices import Invoice
from payments_core.gateway import InvoicePayment, InvoicePaymentState


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


class PaidInvoice(msgspec.Struct):
    """An entry of a list by payment intent, with the invoice expanded."""

    invoice: Invoice
    status: Text = ""


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
        """The payment intent that collects it; None if there is none."""
        going_on = [it for it in self.payments.data if it.status != "canceled"]
        # Stripe keeps the default payment intent in step with the amount due.
        going_on.sort(key=lambda it: not it.is_default)
        intents = (id_of(it.payment.payment_intent) for it in going_on)
        return next(filter(None, intents), None)


# Stripe's code if the bank requires authentication and the customer was not present.
_WANTS_THE_PAYER: Final = "authentication_required"


def collection_of(invoice: CollectedInvoice, intent: PaymentIntent) -> InvoicePayment:
    """Return the state of an invoice's payment; not tried yet is open."""
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
