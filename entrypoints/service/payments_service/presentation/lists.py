"""Lists of users, of a user's payments, and timelines: their filters and output."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Self, assert_never

import attrs
import msgspec

from payments_adapters.emails import read_email
from payments_core.by_hand import ActionByHand, LoggedChange
from payments_core.entitlement import PaymentStatus
from payments_core.errors import InvalidValue
from payments_core.events import EventState
from payments_core.identity import CustomerId, customer_id
from payments_core.kept_events import KeptEvent
from payments_core.payment import DisputeState, PaymentRecord, PaymentState
from payments_core.payment_list import PaymentPage
from payments_core.subscription import (
    Subscription,
    SubscriptionStatus,
    subscription_id,
)
from payments_core.timeline import (
    StatusChange,
    SubscriptionBegan,
    SubscriptionEnded,
    TimelineItem,
    TimelinePage,
    place_of,
)
from payments_core.use_cases import ListedUsers, PaymentStatusView
from payments_core.use_cases.references import gateway_reference
from payments_core.user_list import UserFilter
from payments_service.presentation.arguments import encode_cursor
from payments_service.presentation.schemas import MoneyOut

STATUSES: Final = tuple(it.value for it in PaymentStatus)


def users_wanted(
    *,
    status: str | None = None,
    product: str | None = None,
    customer: str | None = None,
    email: str | None = None,
    text: str | None = None,
) -> UserFilter:
    """Read the filters of a list of users; None means that a filter is not given.

    Raises:
        InvalidValue: a filter is not valid; it is named.
    """
    if status is not None and status not in STATUSES:
        raise InvalidValue("status", f"not one of {', '.join(STATUSES)}")
    return UserFilter(
        status=PaymentStatus(status) if status is not None else None,
        product=None if product is None else gateway_reference("product", product),
        customer_id=None if customer is None else _customer(customer),
        email=None if email is None else read_email(email),
        text=text,
    )


def _customer(text: str) -> CustomerId:
    try:
        return customer_id(text)
    except InvalidValue as error:
        raise InvalidValue("customer", error.reason) from None


class UserOut(msgspec.Struct, frozen=True):
    """A user; `products` are those of subscriptions that have not ended, each once."""

    user_id: str
    email: str
    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    entitled: bool
    customer_id: str | None
    products: Sequence[str]

    @classmethod
    def of(cls, view: PaymentStatusView) -> Self:
        account, standing = view.account, view.standing
        its = (it.report for it in account.subscriptions if not it.is_terminal)
        return cls(
            account.user_id,
            account.email.text,
            standing.payment_status,
            standing.payment_expire_date,
            standing.entitled,
            account.customer_id,
            sorted({it.product for it in its}),
        )


class UsersOut(msgspec.Struct, frozen=True):
    """A page; `next_cursor` is null at the end. A page before the end can be empty."""

    items: Sequence[UserOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: ListedUsers) -> Self:
        return cls([UserOut.of(it) for it in page.users], _cursor(page.after))


def _cursor(place: attrs.AttrsInstance | None) -> str | None:
    return None if place is None else encode_cursor(attrs.astuple(place))


class PaymentOut(msgspec.Struct, frozen=True):
    """A payment; `amount` and `created_at` are null until they are known.

    `id` and `invoice` are Stripe's ids, `subscription` is ours (`sub-…`).
    """

    id: str
    state: PaymentState
    amount: MoneyOut | None
    refunded_minor: int
    dispute: DisputeState
    created_at: datetime | None
    invoice: str | None
    subscription: str | None
    failure_code: str | None
    linked_by_hand: bool

    @classmethod
    def of(cls, record: PaymentRecord) -> Self:
        payment = record.payment
        amount, subscription = payment.amount, payment.subscription_id
        return cls(
            payment.id,
            payment.state,
            MoneyOut(amount.amount_minor, amount.currency) if amount else None,
            payment.refunded_minor,
            payment.dispute,
            payment.created_at,
            payment.invoice_id,
            subscription_id(subscription) if subscription else None,
            payment.failure_code,
            record.linked_by_hand,
        )


class PaymentsOut(msgspec.Struct, frozen=True):
    items: Sequence[PaymentOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: PaymentPage) -> Self:
        return cls([PaymentOut.of(it) for it in page.payments], _cursor(page.after))


class _ItemOut(msgspec.Struct, frozen=True, tag_field="kind"):
    """Something that happened; `kind` is its type."""

    at: datetime


class EventItemOut(_ItemOut, frozen=True, tag="event"):
    """A Stripe event, received `at`; only callers that read all users see `reason`."""

    id: str
    type: str
    created_at: datetime
    outcome: EventState
    reason: str | None
    object_id: str | None

    @classmethod
    def of(cls, event: KeptEvent, *, reads_all: bool) -> Self:
        return cls(
            event.received_at,
            event.key.id,
            event.key.type,
            event.created_at,
            event.outcome.state,
            event.outcome.reason if reads_all else None,
            event.object_id,
        )


class PaymentItemOut(_ItemOut, frozen=True, tag="payment"):
    """A payment that was made `at`, as it is known now."""

    payment: PaymentOut


class StatusItemOut(_ItemOut, frozen=True, tag="status"):
    """The status or the date changed; `sources` are the ids of what caused it."""

    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    cause: str
    sources: Sequence[str]

    @classmethod
    def of(cls, change: StatusChange) -> Self:
        return cls(
            change.at,
            change.payment_status,
            change.payment_expire_date,
            change.cause,
            change.sources,
        )


class ByHandItemOut(_ItemOut, frozen=True, tag="by_hand"):
    """A change by hand; only callers that read all users see `by` and `reason`."""

    action: ActionByHand
    subject: str
    event_type: str | None
    by: str | None
    reason: str | None

    @classmethod
    def of(cls, logged: LoggedChange, *, reads_all: bool) -> Self:
        change = logged.change
        return cls(
            logged.at,
            change.action,
            change.subject,
            change.event_type,
            change.decided.by if reads_all else None,
            (change.decided.reason or None) if reads_all else None,
        )


class _LifeItemOut(_ItemOut, frozen=True):
    """A subscription began or ended; `id` is ours (`sub-…`), `status` is as of now."""

    id: str
    status: SubscriptionStatus
    product: str
    price: str

    @classmethod
    def of(cls, at: datetime, subscription: Subscription) -> Self:
        report = subscription.report
        return cls(at, subscription.id, report.status, report.product, report.price)


class BeganItemOut(_LifeItemOut, frozen=True, tag="subscription_began"):
    """A subscription began."""


class EndedItemOut(_LifeItemOut, frozen=True, tag="subscription_ended"):
    """A subscription ended."""


TimelineItemOut = (
    EventItemOut
    | PaymentItemOut
    | StatusItemOut
    | ByHandItemOut
    | BeganItemOut
    | EndedItemOut
)


def _item(item: TimelineItem, *, reads_all: bool) -> TimelineItemOut:
    at = place_of(item).at
    match item:
        case KeptEvent():
            return EventItemOut.of(item, reads_all=reads_all)
        case PaymentRecord():
            return PaymentItemOut(at, PaymentOut.of(item))
        case StatusChange():
            return StatusItemOut.of(item)
        case LoggedChange():
            return ByHandItemOut.of(item, reads_all=reads_all)
        case SubscriptionBegan(it):
            return BeganItemOut.of(at, it)
        case SubscriptionEnded(it):
            return EndedItemOut.of(at, it)
        case _ as never:
            assert_never(never)


class TimelineOut(msgspec.Struct, frozen=True):
    items: Sequence[TimelineItemOut]
    next_cursor: str | None

    @classmethod
    def of(cls, page: TimelinePage, *, reads_all: bool) -> Self:
        items = [_item(it, reads_all=reads_all) for it in page.items]
        return cls(items, _cursor(page.after))
