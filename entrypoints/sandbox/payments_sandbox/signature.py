"""Stripe's signature over the raw bytes of a webhook.

The header is `t=<seconds>,v1=<hex>[,v1=<hex>]`; the signed text is `<seconds>.` and the
body, with HMAC-SHA256 (docs.stripe.com/webhooks). While a secret is being rolled there
is one `v1` for each active secret.
"""

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime


def signed(body: bytes, secrets: Iterable[str], at: datetime) -> str:
    """Return the header of a delivery of this body at this time."""
    timestamp = str(int(at.timestamp()))
    message = timestamp.encode() + b"." + body
    signatures = [
        f"v1={hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()}"
        for secret in secrets
    ]
    return ",".join([f"t={timestamp}", *signatures])
