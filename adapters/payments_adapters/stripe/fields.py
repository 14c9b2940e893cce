"""The fields of Stripe's objects, read strictly; all other fields must only be JSON.

Whatever the bytes are, reading them gives an object or `Malformed`, whose reason quotes
no input.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec

from payments_core.money import AMOUNT_MINOR_MAX

TEXT_LENGTH_MAX: Final = 255
# Stripe's own limit for a value of metadata.
METADATA_LENGTH_MAX: Final = 500
# 2100-01-01: later is a mistake in the unit (milliseconds), not a time.
SECONDS_MAX: Final = 4_102_444_800

Text = Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_LENGTH_MAX)]
# Part of the event's key: it goes into logs and onto terminals. msgspec searches, so
# the pattern has its own anchors, and `$` would accept a line break.
Visible = Annotated[
    str, msgspec.Meta(min_length=1, max_length=TEXT_LENGTH_MAX, pattern=r"^[!-~]+\Z")
]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=SECONDS_MAX)]
Minor = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MINOR_MAX)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[a-z]{3}\Z")]
KIND = msgspec.field(name="object", default="")


class Expanded(msgspec.Struct):
    """An object that is expanded where its id would do; also a deleted object."""

    id: Id


Reference = Id | Expanded | None


class Thing(msgspec.Struct):
    """What every Stripe object may say about itself."""

    kind: Text = KIND
    # A balance has no id.
    id: Id | None = None
    livemode: bool | None = None
    # An id, or the whole customer; any other value names no customer.
    customer: object = None


class Metadata(msgspec.Struct):
    user_id: Annotated[str, msgspec.Meta(max_length=METADATA_LENGTH_MAX)] | None = None
    intent_id: Annotated[str, msgspec.Meta(max_length=METADATA_LENGTH_MAX)] | None = (
        None
    )


_MESSAGE: Final = re.compile(r"(?P<reason>.*?)(?: - at `\$(?P<path>[^`]*)`)?")
_MISSING: Final = re.compile(r"Object missing required field `(?P<field>\w+)`")
# The JSON escape of a NUL, or a backslash before the same letters.
NUL: Final = rb"\u0000"
# In JSON a backslash is only ever part of an escape: an odd number of them before
# `u0000` makes it a NUL.
_ESCAPED_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")


class Malformed(Exception):  # noqa: N818  # a verdict, never shown as an error
    """The body cannot be read; `field` is the path of the fault, "" the whole body."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field or 'body'}: {reason}")
        self.field = field
        self.reason = reason


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_Decoded = TypeVar("_Decoded")


def decode(decoder: msgspec.json.Decoder[_Decoded], body: bytes) -> _Decoded:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _malformed(error) from None
    except msgspec.DecodeError:
        raise Malformed("", "not JSON") from None
    except RecursionError:
        raise Malformed("", "nested too deeply") from None


def _malformed(error: msgspec.ValidationError) -> Malformed:
    """Turn "Expected `int`, got `bool` - at `$.created`" into a field and a reason.

    Our types have no enums and no dictionaries, so the message quotes no input.
    """
    found = _MESSAGE.fullmatch(str(error))
    if found is None:
        return Malformed("", "not an event")
    path, reason = (found["path"] or "").removeprefix("."), found["reason"]
    if missing := _MISSING.fullmatch(reason):
        return Malformed(f"{path}.{missing['field']}".strip("."), "missing")
    return Malformed(path, reason)


def reads_nul(read: object) -> bool:
    """Return whether a decoded object has a NUL in a text: Postgres refuses it.

    It is called only for JSON that contains a `NUL`, because it is not cheap.
    """
    return _ESCAPED_NUL.search(msgspec.json.encode(read)) is not None


def id_of(reference: Reference) -> str | None:
    return reference.id if isinstance(reference, Expanded) else reference
