"""What every event of Stripe has: read strictly, whatever its type.

Source: docs.stripe.com/api/events/object.
"""

from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from payments_adapters.stripe.fields import (
    KIND,
    Malformed,
    Seconds,
    Text,
    Thing,
    Visible,
    decode,
)
from payments_core.events import EventKey

_Object = TypeVar("_Object")


class Data(msgspec.Struct, Generic[_Object]):
    object: _Object


class Body(msgspec.Struct, Generic[_Object]):
    data: Data[_Object]


class Request(msgspec.Struct):
    """The request that caused an event; no key if Stripe caused it."""

    idempotency_key: Text | None = None


class Envelope(msgspec.Struct):
    id: Visible
    type: Visible
    created: Seconds
    livemode: bool
    data: Data[Thing]
    kind: Text = KIND
    api_version: Text | None = None
    # The account of the event, if not our own: a connected account, or one of an
    # organisation's accounts.
    account: Text | None = None
    context: Text | None = None
    # Until 2017-05-25 it was only the request's id.
    request: Request | Text | None = None


_EVENT: Final = "event"
_ENVELOPE: Final = msgspec.json.Decoder(Envelope)


def envelope_of(body: bytes) -> Envelope:
    """Read the fields that every event has.

    Raises:
        Malformed: it is not a Stripe snapshot event.
    """
    envelope = decode(_ENVELOPE, body)
    if envelope.kind != _EVENT:
        raise Malformed("object", "not an event")
    return envelope


class Unread(NamedTuple):
    """The readable part of an event that cannot be read as a whole."""

    key: EventKey | None
    created_s: int | None
    livemode: bool | None
    object_id: str | None


class _Named(msgspec.Struct):
    id: Visible


class _Anything(msgspec.Struct):
    kind: object = msgspec.field(name="object", default=None)
    id: object = None
    type: object = None
    created: object = None
    livemode: object = None
    data: object = None


_ANYTHING: Final = msgspec.json.Decoder(_Anything)


def kind_of(body: bytes) -> object:
    """Return an object's kind; None if it cannot be read."""
    return _anything(body).kind


def _anything(body: bytes) -> _Anything:
    try:
        return decode(_ANYTHING, body)
    except (Malformed, UnicodeDecodeError):
        return _Anything()


def unread(body: bytes) -> Unread:
    """Read the readable part of any bytes."""
    found = _anything(body)
    id_, type_ = _read(found.id, Visible), _read(found.type, Visible)
    return Unread(
        EventKey(id_, type_) if id_ and type_ else None,
        _read(found.created, Seconds),
        _read(found.livemode, bool),
        about.object.id if (about := _read(found.data, Data[_Named])) else None,
    )


def _read(value: object, kind: Any) -> Any:  # a type with its limits is no `type`
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
