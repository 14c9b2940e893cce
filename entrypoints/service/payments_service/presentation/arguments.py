"""What a caller writes, in a path or on a command line: a user, a cursor."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec

from payments_adapters.emails import read_email
from payments_core.errors import InvalidValue
from payments_core.identity import Email, UserId, user_id
from payments_core.kept_events import EventCursor

# What a token calls itself and its issuer: printable, and of a length.
PrintableName = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,255}\Z")]


def user_named(text: str) -> UserId | Email:
    """Read `{user}`: an e-mail if it has an "@", else an id.

    Raises:
        InvalidValue: neither.
    """
    return read_email(text) if "@" in text else user_id(text)


# A part of a cursor: a job's id holds two names.
_Part = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,600}\Z")]
# What an event calls itself: any text that Postgres takes.
_AnyName = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]{1,500}\Z")]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_T = TypeVar("_T")


def encode_cursor(after: tuple[object, ...] | None) -> str | None:
    if after is None:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(after)).decode().rstrip("=")


def decode_cursor(text: str | None) -> tuple[str, str] | None:
    """Read a cursor that `encode_cursor` made of two names.

    Raises:
        InvalidValue: it was not made by this service.
    """
    return None if text is None else _decoded(text, tuple[_Part, _Part])


def decode_event_cursor(text: str | None) -> EventCursor | None:
    """Read a cursor that `encode_cursor` made of an event's.

    Raises:
        InvalidValue: it was not made by this service.
    """
    if text is None:
        return None
    return _decoded(text, tuple[_Moment, _AnyName, _AnyName])


def _decoded(text: str, shape: type[_T]) -> _T:
    try:
        padded = text + "=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=shape)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidValue("cursor", "not a cursor of ours") from None
