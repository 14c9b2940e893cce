"""Stripe's dialect: the only place that knows its words.

The gateway is not here but in `payments_adapters.stripe.gateway`: it imports the SDK,
which takes half a second, and who only reads events does not need it.
"""

from payments_adapters.stripe.event_reader import StripeEvents, translate
from payments_adapters.stripe.signature import StripeSignatures, sign

__all__ = ["StripeEvents", "StripeSignatures", "sign", "translate"]
