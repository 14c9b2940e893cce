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


class Request(msgspec.Struct):
    """The request that caused an event; without a key if the gateway did by itself."""

    idempotency_key: Text | None = None


class Envelope(msgspec.Struct):
    id: Visible
    type: Visible
    created: Seconds
    livemode: bool
    data: Data[Thing]
    kind: Text = KIND
    api_version: Text | None = None
    account: Text | None = None
    # Until 2017-05-25 it was the request's id.
    request: Request | Text | None = None


_EVENT: Final = "event"
_THING: Final = msgspec.json.Decoder(Thing)
_ENVELOPE: Final = msgspec.json.Decoder(Envelope)


def envelope_of(body: bytes) -> Envelope:
    """Read what every event has.

    Raises:
        MalformedEvent: it is not a snapshot event of Stripe, or no text to keep.
    """
    # msgspec does not look into the texts that it skips. What is raised is raised
    # below, because a UnicodeDecodeError would carry the whole body along, into logs.
    try:
        body.decode()
        is_text = True
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        raise MalformedEvent("", "not UTF-8")
    try:
        envelope = decode(_ENVELOPE, body)
    except MalformedEvent:
        # A thin event lacks fields; better to hear that it is one.
        if decode(_THING, body).kind != _EVENT:
            raise _no_snapshot() from None
        raise
    if envelope.kind != _EVENT:
        raise _no_snapshot()
    if holds_nul(body):
        raise MalformedEvent("", "a text holds a NUL character")
    return envelope


def _no_snapshot() -> MalformedEvent:
    return MalformedEvent("object", "not a snapshot event")
