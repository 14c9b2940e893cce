"""Access passes: what a user has access to, checked without this service."""

from collections.abc import Mapping
from datetime import datetime

import attrs

from payments_core.identity import UserId


@attrs.frozen(kw_only=True)
class AccessPass:
    """The signed content. `features` are those granted at `issued_at`, with their ends.

    A check uses the real time: a feature is granted if the pass has not expired and the
    feature's own end has not passed.
    """

    user_id: UserId
    issued_at: datetime
    expires_at: datetime
    entitled_until: datetime | None
    features: Mapping[str, datetime]


@attrs.frozen(kw_only=True)
class PublishedKey:
    """The public part of a key that passes are signed with (RFC 8037, section 2).

    `x` is the key's 32 bytes, in base64url without padding.
    """

    kid: str
    x: str
    kty: str = "OKP"
    crv: str = "Ed25519"
    alg: str = "EdDSA"
    use: str = "sig"
