"""Who wrote this, and when: Stripe's signature over the raw bytes of a webhook.

The header is `t=<seconds>,v1=<hex>[,v1=<hex>]`; the signed text is `<seconds>.` and the
body, with HMAC-SHA256 (docs.stripe.com/webhooks). While a secret is being rolled there
is one `v1` for each active secret.

Stricter than the SDK, which accepts timestamps from the future, any number of
signatures, several timestamps and digits of any script.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import attrs

from payments_adapters.guessable import weakness_of
from payments_core.errors import BadSignature, InvalidValue, SignatureFault
from payments_core.ports import SystemClock

HEADER_BYTES_MAX: Final = 2048
SIGNATURES_MAX: Final = 8
SECRETS_MAX: Final = 8
SECRET_LENGTH_MIN: Final = 24
TOLERANCE_S: Final = 300
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # what secrets start with
# Twelve digits reach the year 33658: far beyond any window, and cheap to parse.
_TIMESTAMP: Final = re.compile(rb"[0-9]{1,12}")
_VISIBLE: Final = re.compile(r"[!-~]*")


def _refuse_secret(reason: str) -> InvalidValue:
    return InvalidValue("webhook_secrets", reason)


def _check_secret(secret: str) -> None:
    # A secret mounted as a file often ends in a line break: no delivery would verify.
    if _VISIBLE.fullmatch(secret) is None:
        raise _refuse_secret("a secret holds more than visible ASCII")
    if not secret:
        raise _refuse_secret("a secret is empty")
    if not secret.startswith(_SECRET_PREFIX):
        raise _refuse_secret(f"a secret does not start with {_SECRET_PREFIX}")
    if len(secret) < SECRET_LENGTH_MIN:
        raise _refuse_secret(f"a secret has less than {SECRET_LENGTH_MIN} characters")
    if weakness := weakness_of(secret.removeprefix(_SECRET_PREFIX).encode()):
        raise _refuse_secret(f"a secret {weakness}: Stripe makes none like that")


def check_secrets(secrets: Sequence[str]) -> None:
    """Return if these can be the secrets of one endpoint, also during a roll.

    Raises:
        InvalidValue: there is no secret, there are more than 8, one appears twice, or
            one is malformed or can be guessed. The reason shows none.
    """
    if not secrets:
        raise _refuse_secret("there is none")
    if len(secrets) > SECRETS_MAX:
        raise _refuse_secret(f"more than {SECRETS_MAX}")
    for secret in secrets:
        _check_secret(secret)
    if len(set(secrets)) < len(secrets):
        # While a secret is rolled there are two. If the old one was given twice, that
        # would fail only when Stripe drops it.
        raise _refuse_secret("a secret appears twice")


def _keyed(secrets: Iterable[str]) -> tuple[hmac.HMAC, ...]:
    secrets = tuple(secrets)
    check_secrets(secrets)
    return tuple(_keyed_by(secret) for secret in secrets)


def _keyed_by(secret: str) -> hmac.HMAC:
    return hmac.new(secret.encode(), digestmod=hashlib.sha256)


def _hex_of(keyed: hmac.HMAC, timestamp: bytes, body: bytes) -> bytes:
    # Hashing the key is half the work for a small body; a copy of the keyed state saves
    # it.
    mac = keyed.copy()
    mac.update(timestamp + b".")
    mac.update(body)
    return mac.hexdigest().encode()


def sign(body: bytes, *, secret: str, at: datetime) -> str:
    """Return the header that Stripe would send with this body at this time."""
    timestamp = b"%d" % int(at.timestamp())
    signature = _hex_of(_keyed_by(secret), timestamp, body)
    return f"t={timestamp.decode()},v1={signature.decode()}"


def _parse(header: str) -> tuple[bytes, list[bytes]]:
    """Return the timestamp's digits and every `v1`; other schemes do not count."""
    if not header:
        raise BadSignature("there is no signature header", SignatureFault.MISSING)
    if not header.isascii():
        raise BadSignature("the signature header is not ASCII")
    if len(header) > HEADER_BYTES_MAX:
        raise BadSignature(f"the signature header is over {HEADER_BYTES_MAX} bytes")
    fields = [item.partition(b"=") for item in header.encode().split(b",")]
    timestamps = [value for name, _, value in fields if name == b"t"]
    signatures = [value for name, _, value in fields if name == b"v1"]
    # With two timestamps, one could be signed and the other fresh.
    if len(timestamps) != 1:
        raise BadSignature("the signature header has not exactly one timestamp")
    if _TIMESTAMP.fullmatch(timestamps[0]) is None:
        raise BadSignature("the timestamp is not 1 to 12 digits")
    if not signatures:
        raise BadSignature("the signature header has no v1 signature")
    if len(signatures) > SIGNATURES_MAX:
        raise BadSignature(f"more than {SIGNATURES_MAX} v1 signatures")
    return timestamps[0], signatures


def _positive(_: object, __: object, value: int) -> None:
    # Stripe's SDK reads a tolerance of zero as "any age"; here it is refused.
    if value < 1:
        raise InvalidValue("tolerance_s", "not a positive number of seconds")


@attrs.define(eq=False)
class StripeSignatures:
    """Verifies deliveries against each active secret of an endpoint.

    Made from `secrets`, of which only keyed digests are stored: nothing here can print
    a secret. `replace` may change them while deliveries arrive.

    Raises:
        InvalidValue: see `check_secrets`.
    """

    _keyed: tuple[hmac.HMAC, ...] = attrs.field(
        alias="secrets",
        converter=_keyed,
        repr=False,
        on_setattr=attrs.setters.NO_OP,
    )
    clock: SystemClock
    tolerance_s: int = attrs.field(default=TOLERANCE_S, validator=_positive)
    # Deliveries by the position of the secret that verified them. While a secret is
    # rolled Stripe signs with both.
    _verified: list[int] = attrs.field(
        init=False, factory=lambda: [0] * SECRETS_MAX, repr=False
    )

    def replace(self, secrets: Iterable[str]) -> None:
        """Verify against these secrets from now on, and no others.

        Raises:
            InvalidValue: see `check_secrets`; the previous secrets stay active.
        """
        self._keyed = _keyed(secrets)

    @property
    def verified_counts(self) -> Sequence[int]:
        """Return how many deliveries each of the secrets verified, in order.

        A position keeps its count when another secret takes it.
        """
        return self._verified[: len(self._keyed)]

    def verify(self, body: bytes, header: str) -> datetime:
        """Return when these bytes were signed, recently and with an active secret.

        Raises:
            BadSignature: they were not; the reason names the rule, never the input.
        """
        timestamp, signatures = _parse(header)
        if abs(self.clock().timestamp() - int(timestamp)) > self.tolerance_s:
            raise BadSignature(
                f"the timestamp is over {self.tolerance_s} s off", SignatureFault.STALE
            )
        if not self._matches(timestamp, body, signatures):
            raise BadSignature("no v1 signature matches", SignatureFault.MISMATCH)
        return datetime.fromtimestamp(int(timestamp), UTC)

    def _matches(self, timestamp: bytes, body: bytes, signatures: list[bytes]) -> bool:
        matched = False
        for place, keyed in enumerate(self._keyed):
            expected = _hex_of(keyed, timestamp, body)
            by_this = False
            for signature in signatures:
                # No early exit: the time must not reveal which pair it was.
                by_this |= hmac.compare_digest(expected, signature)
            # Added without a condition, for the same reason.
            self._verified[place] += by_this
            matched |= by_this
        return matched
