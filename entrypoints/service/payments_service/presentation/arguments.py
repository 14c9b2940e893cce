"""Arguments of a path or a command line: a text, a user, a cursor."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec

from payments_adapters.emails import read_email
from payments_core.by_hand import AuditCursor
from payments_core.deliveries import DeliveryKey
from payments_core.errors import InvalidValue
from payments_core.identity import Email, UserId, user_id
from payments_core.job_key import JobKey
from payments_core.job_list import JobPlace
from payments_core.kept_events import EventCursor
from payments_core.payment import PaymentId
from payments_core.payment_list import PaymentPlace
from payments_core.subscription import SubscriptionId, subscription_id
from payments_core.timeline import NUMBERED, TimelineKind, TimelinePlace
from payments_core.user_list import UserPlace

# The issuer and id of a token: printable, and limited in length.
PrintableName = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,255}\Z")]


def is_storable(text: str) -> bool:
    """Say whether UTF-8 and Postgres can store a text.

    They cannot store a NUL or a lone surrogate, which is how Python represents a byte
    of a command line that is not UTF-8.
    """
    return "\0" not in text and not any("\ud800" <= it <= "\udfff" for it in text)


def user_named(text: str) -> UserId | Email:
    """Read `{user}`: an e-mail if it has an "@", else an id.

    Raises:
        InvalidValue: the text is neither.
    """
    return read_email(text) if "@" in text else user_id(text)


def subscription_named(text: str) -> SubscriptionId:
    """Read our id of a subscription (sub-…), or derive it from Stripe's (sub_…)."""
    return subscription_id(text) if text.startswith("sub_") else SubscriptionId(text)


# A part of a cursor: a job's id holds two names.
_Part = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,600}\Z")]
# The id or type of an event: any text that Postgres can store.
_AnyName = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]{1,500}\Z")]
_MaybeName = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]{0,500}\Z")]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_BIGINT_MAX: Final = 2**63 - 1
_Number = Annotated[int, msgspec.Meta(ge=0, le=_BIGINT_MAX)]
_T = TypeVar("_T")


def encode_cursor(after: tuple[object, ...] | None) -> str | None:
    if after is None:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(after)).decode().rstrip("=")


def decode_cursor(text: str | None) -> tuple[str, str] | None:
    """Read a cursor that `encode_cursor` made of a token's issuer and id.

    Raises:
        InvalidValue: it was not made by this service.
    """
    return None if text is None else _decoded(text, tuple[_Part, _Part])


def decode_event_cursor(text: str | None) -> EventCursor | None:
    """Read a cursor that `encode_cursor` made of an event's cursor.

    Raises:
        InvalidValue: it was not made by this service.
    """
    if text is None:
        return None
    at, id_, type_ = _decoded(text, tuple[_Moment, _AnyName, _AnyName])
    return _in_utc(at), id_, type_


def decode_audit_cursor(text: str | None) -> AuditCursor | None:
    """Read a cursor that `encode_cursor` made of the audit log's cursor.

    Raises:
        InvalidValue: it was not made by this service.
    """
    if text is None:
        return None
    at, number = _decoded(text, tuple[_Moment, _Number])
    return _in_utc(at), number


def decode_job_cursor(text: str | None) -> JobPlace | None:
    """Read a cursor that `encode_cursor` made of a due time and a job's id.

    Raises:
        InvalidValue: it was not made by this service.
    """
    if text is None:
        return None
    due_at, id_ = _decoded(text, tuple[_Moment, _Part])
    try:
        return JobPlace(_in_utc(due_at), JobKey.of_id(id_))
    except InvalidValue:
        raise _not_ours() from None


def decode_delivery_cursor(text: str | None) -> DeliveryKey | None:
    """Read a cursor that `encode_cursor` made of a delivery's key.

    Raises:
        InvalidValue: it was not made by this service.
    """
    if text is None:
        return None
    return DeliveryKey(*_decoded(text, tuple[_Part, _Number]))


def decode_user_cursor(text: str | None) -> UserPlace | None:
    """Read a cursor that `encode_cursor` made of a place in a list of users.

    Raises:
        InvalidValue: it was not made by this service.
    """
    if text is None:
        return None
    key, user = _decoded(text, tuple[_AnyName, _Part])
    return UserPlace(key, UserId(user))


def decode_payment_cursor(text: str | None) -> PaymentPlace | None:
    """Read a cursor that `encode_cursor` made of a place in a list of payments.

    Raises:
        InvalidValue: it was not made by this service.
    """
    if text is None:
        return None
    created_at, id_ = _decoded(text, tuple[_Moment | None, _AnyName])
    return PaymentPlace(created_at and _in_utc(created_at), PaymentId(id_))


def decode_timeline_cursor(text: str | None) -> TimelinePlace | None:
    """Read a cursor that `encode_cursor` made of a place in a timeline.

    Raises:
        InvalidValue: it was not made by this service.
    """
    if text is None:
        return None
    at, kind, id_, type_ = _decoded(
        text, tuple[_Moment, TimelineKind, _AnyName, _MaybeName]
    )
    if kind in NUMBERED and not _is_number(id_):
        raise _not_ours()
    return TimelinePlace(_in_utc(at), kind, id_, type_)


def _is_number(text: str) -> bool:
    is_short = text.isascii() and text.isdigit() and len(text) <= len(str(_BIGINT_MAX))
    return is_short and int(text) <= _BIGINT_MAX


def _decoded(text: str, shape: type[_T]) -> _T:
    try:
        padded = text + "=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=shape)
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise _not_ours() from None


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _not_ours() from None


def _not_ours() -> InvalidValue:
    return InvalidValue("cursor", "not a cursor of this service")
