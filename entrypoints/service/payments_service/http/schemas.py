"""The answers that only HTTP gives."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Self

import msgspec

from payments_core.access_pass import PublishedKey
from payments_core.events import EventState, Receipt
from payments_core.token_list import RevocationPage
from payments_service.presentation.arguments import encode_cursor


class TokenInvalidatedOut(msgspec.Struct, frozen=True):
    invalidated: bool = True


class CutOffOut(msgspec.Struct, frozen=True):
    """Tokens issued up to and including this second are revoked."""

    user_id: str
    invalidated_until: datetime


class RevocationOut(msgspec.Struct, frozen=True):
    issuer: str
    jti: str
    user_id: str | None
    expires_at: datetime
    invalidated_at: datetime


class RevocationsOut(msgspec.Struct, frozen=True):
    items: Sequence[RevocationOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: RevocationPage) -> Self:
        items = [
            RevocationOut(r.issuer, r.jti, r.user_id, r.expires_at, r.invalidated_at)
            for r in page.revocations
        ]
        return cls(items, encode_cursor(page.after))


class ReceiptOutcome(StrEnum):
    """The result of an event; `duplicate`: it was applied before."""

    DUPLICATE = "duplicate"
    APPLIED = EventState.APPLIED
    IGNORED = EventState.IGNORED
    PENDING = EventState.PENDING
    QUARANTINED = EventState.QUARANTINED
    CLOSED = EventState.CLOSED


class ReceiptOut(msgspec.Struct, frozen=True):
    outcome: ReceiptOutcome

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        if receipt.outcome is None:
            return cls(ReceiptOutcome.DUPLICATE)
        return cls(ReceiptOutcome(receipt.outcome.state))


class AccessPassOut(msgspec.Struct, frozen=True, rename={"access_pass": "pass"}):
    """`pass` is a JWT; it is not valid after `expires_at`."""

    access_pass: str
    expires_at: datetime


class KeySetOut(msgspec.Struct, frozen=True):
    """A JWK Set (RFC 7517) of the keys that verify access passes."""

    keys: Sequence[PublishedKey]
