"""The shapes of the wire. Inputs refuse unknown fields; outputs are explicit."""

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Self

import msgspec

from payments_core.card import Card
from payments_core.errors import InvalidValue
from payments_core.events import Receipt
from payments_core.gateway import Preview
from payments_core.identity import Email, UserId, user_id
from payments_core.intent import Refusal
from payments_core.subscription import (
    PendingUpdate,
    Subscription,
    SubscriptionReport,
    subscription_id,
)
from payments_core.tokens import RevocationPage
from payments_core.use_cases import Change, Order, PaymentStatusView

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
        InvalidValue: it was not made by this service.
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


class CardOut(msgspec.Struct, frozen=True):
    brand: str
    last4: str
    exp_month: int
    exp_year: int

    @classmethod
    def of(cls, card: Card) -> Self:
        return cls(card.brand, card.last4, card.exp_month, card.exp_year)


class PendingUpdateOut(msgspec.Struct, frozen=True):
    """A change that is made once it is paid for, or given up at `expires_at`."""

    price: str | None
    quantity: int | None
    expires_at: datetime

    @classmethod
    def of(cls, pending: PendingUpdate) -> Self:
        return cls(pending.price, pending.quantity, pending.expires_at)


class SubscriptionOut(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: str
    product: str
    price: str
    quantity: int
    currency: str
    created_at: datetime
    current_period_start: datetime
    current_period_end: datetime
    trial_end: datetime | None
    cancel_at_period_end: bool
    cancel_at: datetime | None
    ended_at: datetime | None
    pending_update: PendingUpdateOut | None

    @classmethod
    def of(cls, report: SubscriptionReport, **more: object) -> Self:
        pending = report.pending
        return cls(
            id=subscription_id(report.gateway_id),
            status=report.status.value,
            product=report.product,
            price=report.price,
            quantity=report.quantity,
            currency=report.currency,
            created_at=report.created_at,
            current_period_start=report.period_start,
            current_period_end=report.period_end,
            trial_end=report.trial_end,
            cancel_at_period_end=report.cancel_at_period_end,
            cancel_at=report.cancel_at,
            ended_at=report.ended_at,
            pending_update=PendingUpdateOut.of(pending) if pending else None,
            **more,
        )


class KnownSubscriptionOut(SubscriptionOut, frozen=True, kw_only=True):
    """As we know it: until when it is paid for as well."""

    paid_through: datetime | None

    @classmethod
    def known(cls, subscription: Subscription) -> Self:
        term = subscription.paid_period
        return cls.of(subscription.report, paid_through=term.ends_at if term else None)


class PaymentStatusOut(msgspec.Struct, frozen=True):
    user_id: str
    email: str
    payment_status: str
    payment_expire_date: datetime | None
    entitled: bool
    card: CardOut | None
    subscriptions: Sequence[KnownSubscriptionOut]

    @classmethod
    def of(cls, view: PaymentStatusView) -> Self:
        account, standing = view.account, view.standing
        return cls(
            account.user_id,
            account.email.text,
            standing.payment_status.value,
            standing.payment_expire_date,
            standing.entitled,
            CardOut.of(account.card) if account.card else None,
            [KnownSubscriptionOut.known(it) for it in account.subscriptions],
        )


class SubscriptionsOut(msgspec.Struct, frozen=True):
    items: Sequence[KnownSubscriptionOut]

    @classmethod
    def of(cls, subscriptions: Iterable[Subscription]) -> Self:
        return cls([KnownSubscriptionOut.known(it) for it in subscriptions])


class CardIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway's id of a payment method; a card's number never comes here."""

    payment_method: str


class CardSetUpOut(msgspec.Struct, frozen=True):
    """What the gateway's own form in the browser needs."""

    client_secret: str | None


class CardUpdatedOut(msgspec.Struct, frozen=True, omit_defaults=True):
    outcome: str
    card: CardOut | None
    client_secret: str | None = None


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


class SubscribedOut(SubscriptionOut, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation came to; `client_secret` is for a step in the browser."""

    client_secret: str | msgspec.UnsetType = msgspec.UNSET


class MoneyOut(msgspec.Struct, frozen=True):
    amount_minor: int
    currency: str


class PreviewLineOut(msgspec.Struct, frozen=True):
    description: str
    amount_minor: int


class PreviewOut(msgspec.Struct, frozen=True):
    """What a change costs at once, made with this very `proration_date`."""

    due: MoneyOut
    proration_date: datetime
    lines: Sequence[PreviewLineOut]

    @classmethod
    def of(cls, preview: Preview) -> Self:
        return cls(
            MoneyOut(preview.due.amount_minor, preview.due.currency),
            preview.proration_date,
            [PreviewLineOut(it.description, it.amount_minor) for it in preview.lines],
        )


class RefusalOut(msgspec.Struct, frozen=True, omit_defaults=True):
    code: str
    detail: str
    decline_code: str | None = None

    @classmethod
    def of(cls, refusal: Refusal) -> Self:
        return cls(refusal.code, refusal.reason, refusal.decline_code)


class IntentOut(msgspec.Struct, frozen=True):
    """An operation: `result` is what its own answer would be, `refusal` why not."""

    id: str
    kind: str
    state: str
    created_at: datetime
    result: msgspec.Struct | None
    refusal: RefusalOut | None


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
