"""What comes from Stripe, or says so: signatures and events."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from fuzz.reader import CANARY, Reader
from payments_adapters.stripe import (
    FOLLOWED,
    StripeEvents,
    StripeSignatures,
    sign,
    translate,
)
from payments_adapters.stripe.api_shapes import API_VERSION
from payments_core.errors import BadSignature
from payments_core.events import GatewayEvent, QuarantineNeeded, ReadFailed
from payments_sandbox.api_versions import ACACIA
from support.stripe_bodies import (
    CHARGE_TYPES,
    DISPUTE_TYPES,
    NOON,
    PAYLOADS,
    REFUND_TYPES,
    a_secret,
    charge,
    event_body,
    followed,
)

_SECRET: Final = a_secret("fuzz")
_EVENTS: Final = StripeEvents(
    StripeSignatures([_SECRET, a_secret("other")], lambda: NOON), livemode=False
)
_BODY: Final = event_body(charge())
_SIGNED: Final = sign(_BODY, secret=_SECRET, at=NOON)
_DIGITS: Final = re.compile(r"[0-9]+")
_PERSONAL: Final = {
    "receipt_email": f"{CANARY}@example.org",
    "metadata": {"user_id": CANARY, "intent_id": CANARY},
    "customer": CANARY,
    "invoice": CANARY,
    "payment_method": CANARY,
}


def _thing(type_: str) -> dict[str, Any]:
    if type_ in CHARGE_TYPES:
        return charge(**_PERSONAL)
    if type_ in DISPUTE_TYPES:
        return {"id": "dp_1", "object": "dispute", "charge": "ch_1", "status": "lost"}
    if type_ in REFUND_TYPES:
        return {"id": "re_1", "object": "refund", "charge": "ch_1", "amount": 1}
    return followed(type_) | _PERSONAL


def _thin(type_: str, kind: str) -> bytes:
    body = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": f"v1.{type_}",
        "created": "2026-01-01T12:00:00.250Z",
        "livemode": False,
        "context": None,
        "related_object": {"id": "x_1", "type": kind, "url": f"/v1/{kind}s/x_1"},
        "reason": {"type": "request", "request": {"id": "r", "idempotency_key": "k"}},
    }
    return json.dumps(body).encode()


_EVENT_BODIES: Final[Sequence[bytes]] = (
    *(path.read_bytes() for path in sorted(PAYLOADS.glob("*.json"))),
    *(
        event_body(_thing(type_), type_, api_version=version)
        for type_ in sorted(FOLLOWED)
        for version in (API_VERSION, ACACIA)
    ),
    *(_thin(type_, FOLLOWED[type_].kind or "charge") for type_ in sorted(FOLLOWED)),
)


def _kind(event: GatewayEvent) -> object:
    report = event.report
    if isinstance(report, ReadFailed):
        # Of an input that cannot be read a bug is made only by us.
        raise report.error
    if isinstance(report, QuarantineNeeded):
        if CANARY in report.reason:
            raise BadSignature(report.reason)
        return _DIGITS.sub("", report.reason)
    return type(report)


def _signature(header: bytes) -> object:
    return type(_EVENTS.read(_BODY, header.decode("latin-1")))


def _event(body: bytes) -> object:
    return _kind(_EVENTS.read(body, sign(body, secret=_SECRET, at=NOON)))


def _kept_event(body: bytes) -> object:
    """Read an event that was verified before, as another release may have kept it."""
    found = translate(body)
    if found.body != body:
        raise AssertionError("the body is another one")
    return _kind(found)


WEBHOOKS: Final = (
    Reader(
        "signature header",
        _signature,
        [
            _SIGNED.encode(),
            f"{_SIGNED},v1={'0' * 64},v0={CANARY}".encode(),
            f"t={int(NOON.timestamp())},v1={CANARY}".encode(),
        ],
        (BadSignature,),
        bytes_max=200_000,
    ),
    Reader("signed event", _event, _EVENT_BODIES, (BadSignature,), bytes_max=520_000),
    Reader("kept event", _kept_event, _EVENT_BODIES, (BadSignature,), weight=2),
)
