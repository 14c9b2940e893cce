"""Stripe's vocabulary: the only place that knows it.

The gateway is in `payments_adapters.stripe.gateway` instead: it imports the SDK, which
takes half a second, and code that only reads events does not need it.
"""

from payments_adapters.stripe.event_reader import StripeEvents, translate
from payments_adapters.stripe.followed_types import (
    ENDPOINT_TYPES,
    FOLLOWED,
    FORMER_TYPES,
)
from payments_adapters.stripe.other_types import (
    IGNORED,
    NOT_FOLLOWED,
    UNKNOWN_TYPE,
    why_ignored,
)
from payments_adapters.stripe.signature import StripeSignatures, sign

__all__ = [
    "ENDPOINT_TYPES",
    "FOLLOWED",
    "FORMER_TYPES",
    "IGNORED",
    "NOT_FOLLOWED",
    "UNKNOWN_TYPE",
    "StripeEvents",
    "StripeSignatures",
    "sign",
    "translate",
    "why_ignored",
]
