"""Customers, their default card, and the state of a card set-up.

Sources: docs.stripe.com/api/{customers,setup_intents}/object.
"""

import msgspec

from payments_adapters.emails import read_email
from payments_adapters.stripe.api_shapes import Made
from payments_adapters.stripe.billing import PaymentMethod
from payments_adapters.stripe.fields import Id, Reference, Text
from payments_core.errors import InvalidValue


class InvoiceSettings(msgspec.Struct):
    default_payment_method: PaymentMethod | Id | None = None


class Customer(Made):
    """A deleted customer no longer has settings."""

    deleted: bool = False
    # Of any length: `Email` has the limit, and refuses a longer text.
    email: str | None = None
    invoice_settings: InvoiceSettings = msgspec.field(default_factory=InvoiceSettings)
    default_source: Reference = None

    @property
    def email_key(self) -> str | None:
        try:
            return read_email(self.email).key if self.email else None
        except InvalidValue:
            return None

    @property
    def default_method(self) -> str | None:
        method = self.invoice_settings.default_payment_method
        return method.id if isinstance(method, PaymentMethod) else method


class SetUpIntent(Made):
    status: Text = ""
    client_secret: Text | None = None
    payment_method: Reference = None
