"""What every event of Stripe has: read strictly, whatever it is about.

Source: docs.stripe.com/api/events/object.
"""

from typing import Final, Generic, TypeVar

import msgspec

from payments_adapters.stripe.fields import (
    KIND,
    Seconds,
    Text,
    Thing,
    Visible,
    decode,
    holds_nul,
)
from payments_core.errors import MalformedEvent

_Object = TypeVar("_Object")


class Data(msgspec.Struct, Generic[_Object]):
    object: _Object


class Body(msgspec.Struct, Generic[_Object]):
    data: Data[_Object]


class Envelope(msgspec.Struct):
    id: Visible
    type: Visible
    created: Seconds
    livemode: bool
    data: Data[Thing]
    kind: Text = KIND
    api_version: Text | None = None
    account: Text | None = None


_THING: Final = msgspec.json.Decoder(Thing)
_ENVELOPE: Final = msgspec.json.Decoder(Envelope)


def envelope_of(body: bytes) -> Envelope:
    """Read what every event has.

    Raises:
        MalformedEvent: it is not a snapshot event of Stripe, or no text to keep.
    """
    if not _is_utf8(body):
        raise MalformedEvent("", "not UTF-8")
    envelope = _decoded(body)
    if holds_nul(body):
        raise MalformedEvent("", "a text holds a NUL character")
    return envelope


def _is_utf8(body: bytes) -> bool:
    # msgspec does not look into the texts that it skips. The answer is a bool because
    # a UnicodeDecodeError would carry the whole body along, into logs.
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decoded(body: bytes) -> Envelope:
    try:
        envelope = decode(_ENVELOPE, body)
    except MalformedEvent:
        # A thin event lacks fields; better to hear that it is one.
        _require_event(decode(_THING, body).kind)
        raise
    _require_event(envelope.kind)
    return envelope


def _require_event(kind: str) -> None:
    if kind != "event":
        raise MalformedEvent("object", "not a snapshot event")
