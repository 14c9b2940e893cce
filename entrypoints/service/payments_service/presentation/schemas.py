"""Accounts, cards, subscriptions and operations as they are shown, in JSON or as text.

Requests and commands use the same shapes. Every field is listed explicitly.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Self

import msgspec

from payments_core.access import GrantKind, GrantSource
from payments_core.by_hand import ActionByHand, LoggedChange
from payments_core.card import Card
from payments_core.entitlement import PaymentStatus
from payments_core.gateway import Preview
from payments_core.intent import IntentKind, IntentState, Refusal
from payments_core.subscription import (
    PendingUpdate,
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
    subscription_id,
)
from payments_core.use_cases import (
    PaymentLink,
    PaymentStatusView,
    SubscriptionLink,
)


class CardOut(msgspec.Struct, frozen=True):
    brand: str
    last4: str
    exp_month: int
    exp_year: int

    @classmethod
    def of(cls, card: Card) -> Self:
        return cls(card.brand, card.last4, card.exp_month, card.exp_year)


class PendingUpdateOut(msgspec.Struct, frozen=True):
    """A change that applies once it is paid for, and expires at `expires_at`."""

    price: str | None
    quantity: int | None
    expires_at: datetime

    @classmethod
    def of(cls, pending: PendingUpdate) -> Self:
        return cls(pending.price, pending.quantity, pending.expires_at)


class SubscriptionOut(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: SubscriptionStatus
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
            status=report.status,
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
    """A subscription as it is stored here, with the end of its paid period."""

    paid_through: datetime | None

    @classmethod
    def known(cls, subscription: Subscription) -> Self:
        paid = subscription.paid_period
        return cls.of(subscription.report, paid_through=paid.ends_at if paid else None)


class PaymentStatusOut(msgspec.Struct, frozen=True):
    user_id: str
    email: str
    payment_status: PaymentStatus
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
            standing.payment_status,
            standing.payment_expire_date,
            standing.entitled,
            CardOut.of(account.card) if account.card else None,
            [KnownSubscriptionOut.known(it) for it in account.subscriptions],
        )


class DecidedOut(msgspec.Struct, frozen=True):
    """A decision by hand about the owner of a payment or subscription."""

    at: datetime
    action: ActionByHand
    user_id: str | None
    by: str
    reason: str

    @classmethod
    def of(cls, logged: LoggedChange) -> Self:
        change = logged.change
        return cls(
            logged.at,
            change.action,
            change.user_id,
            change.decided.by,
            change.decided.reason,
        )


class PaymentLinkOut(msgspec.Struct, frozen=True):
    """The owner of a payment, and all decisions by hand about it, the oldest first."""

    payment_id: str
    user_id: str | None
    linked_by_hand: bool
    decided: Sequence[DecidedOut]

    @classmethod
    def of(cls, link: PaymentLink) -> Self:
        record = link.record
        return cls(
            record.payment.id,
            record.user_id,
            record.linked_by_hand,
            [DecidedOut.of(it) for it in link.changes],
        )


class SubscriptionLinkOut(msgspec.Struct, frozen=True):
    """The owner of a subscription, and all decisions by hand, the oldest first.

    The subscription is identified by Stripe's id.
    """

    subscription_id: str
    user_id: str | None
    linked_by_hand: bool
    decided: Sequence[DecidedOut]

    @classmethod
    def of(cls, link: SubscriptionLink) -> Self:
        known = link.subscription
        return cls(
            known.gateway_id,
            known.user_id,
            known.linked_by_hand,
            [DecidedOut.of(it) for it in link.changes],
        )


class SubscriptionsOut(msgspec.Struct, frozen=True):
    items: Sequence[KnownSubscriptionOut]

    @classmethod
    def of(cls, subscriptions: Iterable[Subscription]) -> Self:
        return cls([KnownSubscriptionOut.known(it) for it in subscriptions])


class CardSetUpOut(msgspec.Struct, frozen=True):
    """The secret that Stripe's form in the browser needs."""

    client_secret: str | None


class CardOutcome(StrEnum):
    UPDATED = "updated"
    # The payer must act in the browser, with `client_secret`.
    REQUIRES_ACTION = "requires_action"


class CardUpdatedOut(msgspec.Struct, frozen=True, omit_defaults=True):
    outcome: CardOutcome
    card: CardOut | None
    client_secret: str | None = None


class SubscribedOut(SubscriptionOut, frozen=True, kw_only=True, omit_defaults=True):
    """The result of an operation; `client_secret` is for a step in the browser."""

    client_secret: str | msgspec.UnsetType = msgspec.UNSET


class MoneyOut(msgspec.Struct, frozen=True):
    amount_minor: int
    currency: str


class PreviewLineOut(msgspec.Struct, frozen=True):
    description: str
    amount_minor: int


class PreviewOut(msgspec.Struct, frozen=True):
    """What a change costs at once, if it is made with this `proration_date`."""

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


_RESULTS: Final = [
    *(
        {"$ref": f"#/components/schemas/{it.__name__}"}
        for it in (SubscribedOut, CardUpdatedOut, CardSetUpOut)
    ),
    {"type": "null"},
]


class IntentOut(msgspec.Struct, frozen=True):
    """An operation: `result` is what its request answers, `refusal` why it failed."""

    id: str
    kind: IntentKind
    state: IntentState
    created_at: datetime
    # A union of Structs without tags, which msgspec does not support.
    result: Annotated[
        msgspec.Struct | None,
        msgspec.Meta(extra_json_schema={"extra": {"one_of": None, "any_of": _RESULTS}}),
    ]
    refusal: RefusalOut | None


class BecauseOut(msgspec.Struct, frozen=True):
    """What gives access.

    `id` is the invoice of a paid period, or Stripe's id of the subscription in trial;
    prepaid months have none.
    """

    kind: GrantKind
    id: str | None

    @classmethod
    def of(cls, source: GrantSource | None) -> Self | None:
        return None if source is None else cls(source.kind, source.id)
