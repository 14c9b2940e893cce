"""Who sent this, and when: the signature of Standard Webhooks 1.0.

The signed text is `<id>.<timestamp>.` and the body, with HMAC-SHA256; the header has
one `v1,<base64>` for each secret (github.com/standard-webhooks/standard-webhooks). A
secret is written as `whsec_` and the base64 of its bytes.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from payments_adapters.guessable import weakness_of

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64
_PREFIX: Final = "whsec_"


def read_secret(text: str) -> bytes:
    """Return the bytes of a secret.

    Raises:
        ValueError: the text is not a secret, or can be guessed. The reason does not
            show it.
    """
    if not text.startswith(_PREFIX):
        raise ValueError(f"does not start with {_PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        # No cause: it may quote the secret.
        raise ValueError(f"is not base64 after {_PREFIX}") from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(
            f"does not have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes"
        )
    if weakness := weakness_of(key):
        raise ValueError(weakness)
    return key


def written(key: bytes) -> str:
    """Return a secret in its text form."""
    return f"{_PREFIX}{base64.b64encode(key).decode()}"


def headers_of(
    secrets: Sequence[bytes], webhook_id: str, at: datetime, body: bytes
) -> Mapping[str, str]:
    """Return the headers of an attempt, with a signature for each secret."""
    timestamp = str(int(at.timestamp()))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    made = (hmac.new(it, signed, hashlib.sha256).digest() for it in secrets)
    return {
        ID: webhook_id,
        TIMESTAMP: timestamp,
        SIGNATURE: " ".join(f"v1,{base64.b64encode(it).decode()}" for it in made),
    }
