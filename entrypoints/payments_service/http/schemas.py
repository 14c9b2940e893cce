"""The shapes of the wire. Inputs refuse unknown fields; outputs are explicit."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Self

import msgspec

from payments_core.account import Email, UserId, user_id
from payments_core.errors import InvalidValue
from payments_core.events import Receipt
from payments_core.ports import RevocationPage
from payments_core.use_cases import PaymentStatusView

# What a token calls itself and its issuer: printable, and of a length.
_Name = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,255}\Z")]


def user_named(text: str) -> UserId | Email:
    """Read `{user}`: an e-mail if it has an "@", else an id.

    Raises:
        InvalidValue: neither.
    """
    return Email.of(text) if "@" in text else user_id(text)


def encode_cursor(after: tuple[str, str] | None) -> str | None:
    if after is None:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(after)).decode().rstrip("=")


def decode_cursor(text: str | None) -> tuple[str, str] | None:
    """Read a cursor that `encode_cursor` made.

    Raises:
        InvalidValue: somebody else made it.
    """
    if text is None:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=tuple[_Name, _Name])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise InvalidValue("cursor", "not a cursor of ours") from None


class UserIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`customer_id` adopts a customer that the gateway has already."""

    email: str
    customer_id: str | None = None


class PaymentStatusOut(msgspec.Struct, frozen=True):
    user_id: str
    email: str
    payment_status: str
    payment_expire_date: datetime | None
    entitled: bool
    card: None = None
    subscriptions: tuple[()] = ()

    @classmethod
    def of(cls, view: PaymentStatusView) -> Self:
        return cls(
            view.account.user_id,
            view.account.email.text,
            view.standing.payment_status.value,
            view.standing.payment_expire_date,
            view.standing.entitled,
        )


class TokenIn(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Either `token`, or all of the other three."""

    token: str | None = None
    issuer: _Name | None = None
    jti: _Name | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class TokenInvalidatedOut(msgspec.Struct, frozen=True):
    invalidated: bool = True


class CutOffOut(msgspec.Struct, frozen=True):
    """Tokens issued up to and including this second are dead."""

    user_id: str
    invalidated_until: datetime


class RevocationOut(msgspec.Struct, frozen=True):
    issuer: str
    jti: str
    user_id: str | None
    expires_at: datetime
    invalidated_at: datetime


class RevocationsOut(msgspec.Struct, frozen=True):
    items: list[RevocationOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: RevocationPage) -> Self:
        items = [
            RevocationOut(r.issuer, r.jti, r.user_id, r.expires_at, r.invalidated_at)
            for r in page.revocations
        ]
        return cls(items, encode_cursor(page.after))


class ReceiptOut(msgspec.Struct, frozen=True):
    outcome: str

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        return cls(receipt.outcome.state.value if receipt.outcome else "duplicate")
