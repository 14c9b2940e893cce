"""Stripe's dialect: the only place that knows its words."""

from payments_adapters.stripe.signature import StripeSignatures, sign
from payments_adapters.stripe.translation import StripeEvents, translate

__all__ = ["StripeEvents", "StripeSignatures", "sign", "translate"]
