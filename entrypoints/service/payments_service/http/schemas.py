"""The bodies of requests, and the answers that only HTTP gives.

Inputs refuse unknown fields; outputs are explicit.
"""

from datetime import datetime
from typing import Annotated, Any, Self

import msgspec

from payments_core.events import Receipt
from payments_core.token_list import RevocationPage
from payments_core.use_cases import Change, Order
from payments_service.presentation.arguments import PrintableName, encode_cursor


class UserIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`customer_id` adopts a customer that the gateway has already.

    With a `reason` it takes the place of another one.
    """

    email: str
    customer_id: str | None = None
    reason: str | None = None


class LinkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose a payment is, and why."""

    user_id: str
    reason: str


class UnlinkIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a payment is unlinked."""

    reason: str


class CardIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway's id of a payment method; a card's number never comes here."""

    payment_method: str


class OrderIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`product` or `price`, one of the two; `price` and `trial_days` are an admin's."""

    product: str | msgspec.UnsetType = msgspec.UNSET
    price: str | msgspec.UnsetType = msgspec.UNSET
    quantity: int = 1
    payment_method: str | msgspec.UnsetType = msgspec.UNSET
    trial_days: int | msgspec.UnsetType = msgspec.UNSET

    def order(self) -> Order:
        """Return what is ordered.

        Raises:
            InvalidValue: see `Order`.
        """
        return Order(**_given(self))


class ChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`product` or `price`, not both; `price` is an admin's.

    `proration_date` is a preview's, at most 600 s old.
    """

    product: str | msgspec.UnsetType = msgspec.UNSET
    price: str | msgspec.UnsetType = msgspec.UNSET
    quantity: int | msgspec.UnsetType = msgspec.UNSET
    cancel_at_period_end: bool | msgspec.UnsetType = msgspec.UNSET
    proration_date: Annotated[datetime, msgspec.Meta(tz=True)] | msgspec.UnsetType = (
        msgspec.UNSET
    )

    def change(self) -> Change:
        """Return what is to change.

        Raises:
            InvalidValue: see `Change`.
        """
        return Change(**_given(self))


def _given(body: msgspec.Struct) -> dict[str, Any]:
    return {
        name: value
        for name, value in msgspec.structs.asdict(body).items()
        if value is not msgspec.UNSET
    }


class TokenIn(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Either `token`, or all of the other three."""

    token: str | None = None
    issuer: PrintableName | None = None
    jti: PrintableName | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


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
