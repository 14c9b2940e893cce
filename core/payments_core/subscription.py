"""A user's standing order for a product's price, and the table of its statuses.

Rule 1: the statuses are the gateway's eight; two of them are terminal and absorb.
Rule 2: a move that is not in the table is not applied and not dropped: the object is
        fetched.
Rule 3: a paid period is a fact of its own: the period that a paid invoice covers. The
        latest period whose money was not returned counts, and the order of arrival does
        not matter (`payments_core.paid_periods`).
Rule 4: a trial is free until it or the subscription ends.
Rule 5: without an event, it is synced when something must have happened. An owed
        payment may be made at any time, and the longer it is owed, the less likely that
        is: the next sync is after as long again, at least a day and at most a week.

Source of the table: the docstring of `stripe.Subscription.status` and
docs.stripe.com/billing/subscriptions/overview.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NewType, Self

import attrs

from payments_core.errors import InvalidValue
from payments_core.identity import CustomerId, UserId

SubscriptionId = NewType("SubscriptionId", str)

QUANTITY_MAX: Final = 1_000_000
# A renewal is drafted at the period's end and collected an hour later.
COLLECTED_AFTER: Final = timedelta(hours=2)
# A change that waits for its payment is given up or retried within about a day.
A_DAY: Final = timedelta(days=1)
# Not the only source: back-fill reads undelivered events within minutes, and a sweep
# compares all subscriptions each night, a hundred with each call.
A_WEEK: Final = timedelta(days=7)


class SubscriptionStatus(StrEnum):
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


_S = SubscriptionStatus
SUBSCRIPTION_STEPS: Final[Mapping[_S, frozenset[_S]]] = MappingProxyType(
    {
        _S.INCOMPLETE: frozenset({_S.ACTIVE, _S.INCOMPLETE_EXPIRED, _S.CANCELED}),
        _S.INCOMPLETE_EXPIRED: frozenset(),
        _S.TRIALING: frozenset({_S.ACTIVE, _S.PAST_DUE, _S.PAUSED, _S.CANCELED}),
        _S.ACTIVE: frozenset(
            {_S.TRIALING, _S.PAST_DUE, _S.UNPAID, _S.PAUSED, _S.CANCELED}
        ),
        _S.PAST_DUE: frozenset({_S.ACTIVE, _S.UNPAID, _S.CANCELED}),
        _S.UNPAID: frozenset({_S.ACTIVE, _S.CANCELED}),
        _S.PAUSED: frozenset({_S.ACTIVE, _S.PAST_DUE, _S.CANCELED}),
        _S.CANCELED: frozenset(),
    }
)
_NEVER_LIVED: Final = frozenset({_S.INCOMPLETE, _S.INCOMPLETE_EXPIRED})
# A subscription has the same id whether a webhook or our own call reports it first.
_IDS: Final = "8c3f5a52-5c1f-5d1e-9d0b-2f6a5a4f0c11"


@lru_cache(maxsize=4096)
def subscription_id(gateway_id: str) -> SubscriptionId:
    """Return our id of the gateway's subscription."""
    # Imported when needed, so that an import of the rules does not load it.
    from uuid import UUID, uuid5  # noqa: PLC0415

    return SubscriptionId(f"sub-{uuid5(UUID(_IDS), gateway_id)}")


def quantity(value: int) -> int:
    """Read a quantity: 1 to 1,000,000.

    Raises:
        InvalidValue: it is outside of that range.
    """
    if not 1 <= value <= QUANTITY_MAX:
        raise InvalidValue("quantity", f"not in 1..{QUANTITY_MAX}")
    return value


@attrs.frozen(kw_only=True)
class PendingUpdate:
    """A change that waits for its payment: applied, or dropped at `expires_at`."""

    price: str | None
    quantity: int | None
    expires_at: datetime


@attrs.frozen(kw_only=True)
class PaidPeriod:
    """The period of a subscription that a paid invoice covers.

    `item_id` is the subscription's item that it covers. `amount_paid_minor` is the
    money that paid it, in minor units: 0 if a coupon or a credit paid; None: not known.
    """

    gateway_id: str
    invoice_id: str
    starts_at: datetime
    ends_at: datetime
    # Not compared: they do not change what is covered.
    item_id: str | None = attrs.field(default=None, eq=False)
    amount_paid_minor: int | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class SubscriptionItem:
    """One of several items of a subscription, with its current period."""

    item_id: str
    product: str
    price: str
    quantity: int
    period_start: datetime
    period_end: datetime
    pending: PendingUpdate | None = None


@attrs.frozen(kw_only=True)
class SubscriptionReport:
    """What one report says about a subscription: an event's payload, or an API answer.

    `item_id` is the gateway's id of the item with its price and quantity; `pinned_card`
    pays in place of the customer's default card; `metadata_user_id` and `intent_id` are
    what we wrote into its metadata. `other_items` are items that others added:
    `of_own_item` finds ours.
    """

    gateway_id: str
    customer_id: CustomerId
    status: SubscriptionStatus
    product: str
    price: str
    quantity: int
    item_id: str
    currency: str
    created_at: datetime
    period_start: datetime
    period_end: datetime
    trial_start: datetime | None = None
    trial_end: datetime | None = None
    cancel_at: datetime | None = None
    cancel_at_period_end: bool = False
    ended_at: datetime | None = None
    pinned_card: str | None = None
    latest_invoice_id: str | None = None
    pending: PendingUpdate | None = None
    metadata_user_id: str | None = None
    intent_id: str | None = None
    # Reported by the gateway and not stored: the next report has them again.
    other_items: tuple[SubscriptionItem, ...] = attrs.field(default=(), eq=False)

    @property
    def is_terminal(self) -> bool:
        return not SUBSCRIPTION_STEPS[self.status]

    @property
    def own_card(self) -> str | None:
        """The pinned card, until the subscription has ended."""
        return None if self.is_terminal else self.pinned_card

    def of_own_item(self, known: Self) -> Self:
        """Return the report about our item, found by the known item's id or price."""
        if self.item_id == known.item_id:
            return self
        others = self.other_items
        same = [it for it in others if it.item_id == known.item_id]
        if not same and self.price != known.price:
            same = [it for it in others if it.price == known.price]
        if not same:
            return self
        return attrs.evolve(
            self, **attrs.asdict(same[0], recurse=False), other_items=()
        )


def newest_own_card(reports: Iterable[SubscriptionReport]) -> str | None:
    """Return the card of the newest subscription that has one pinned."""
    pinning = [it for it in reports if it.own_card is not None]
    if not pinning:
        return None
    return max(pinning, key=lambda it: (it.created_at, it.gateway_id)).own_card


@attrs.frozen(kw_only=True)
class Subscription:
    """One subscription, as far as it was reported.

    Without a `user_id` it is *unlinked*. `as_of` is the second up to which the report
    may include changes, `sequence` the number it was merged with: see
    `payments_core.subscription_merge`. `last_paid_period` is what the last paid invoice
    covers whose money was not returned. `plan_changed_at` is when another price or
    quantity was last seen; None if never.
    `linked_by_hand`: an administrator has linked or unlinked it.
    """

    report: SubscriptionReport
    user_id: UserId | None = None
    last_paid_period: PaidPeriod | None = None
    as_of: datetime
    sequence: int
    plan_changed_at: datetime | None = None
    version: int = 0
    linked_by_hand: bool = False

    @property
    def id(self) -> SubscriptionId:
        return subscription_id(self.report.gateway_id)

    @property
    def gateway_id(self) -> str:
        return self.report.gateway_id

    @property
    def status(self) -> SubscriptionStatus:
        return self.report.status

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended for good: its status never changes again."""
        return self.report.is_terminal

    @property
    def unlinked_by_hand(self) -> bool:
        """Whether an administrator decided that it has no owner."""
        return self.linked_by_hand and self.user_id is None

    @property
    def began_at(self) -> datetime:
        return self.report.created_at

    @property
    def has_lived(self) -> bool:
        """Whether it is more than a first payment that expired."""
        return self.status is not _S.INCOMPLETE_EXPIRED

    def lived_at(self, moment: datetime) -> bool:
        """Say whether a payment at this time falls within the subscription's life."""
        if not self.has_lived or moment < self.began_at:
            return False
        return self.report.ended_at is None or moment <= self.report.ended_at

    @property
    def free_until(self) -> datetime | None:
        """When its trial ends or ended; None without a trial."""
        report = self.report
        if report.trial_end is None or report.status in _NEVER_LIVED:
            return None
        if report.ended_at is None:
            return report.trial_end
        return min(report.trial_end, report.ended_at)

    @property
    def paid_period(self) -> PaidPeriod | None:
        """The last period that was paid for; the invoice of a trial does not count."""
        last = self.last_paid_period
        return None if last is None or self.is_free(last) else last

    def is_free(self, period: PaidPeriod) -> bool:
        """Say whether the period of an invoice is inside the trial."""
        start, end = self.report.trial_start, self.report.trial_end
        return bool(
            start and end and start <= period.starts_at and period.ends_at <= end
        )

    def paid(self, period: PaidPeriod) -> Self:
        """Record that an invoice was paid; an earlier period changes nothing."""
        last = self.last_paid_period
        if last is not None and _place(period) <= _place(last):
            return self
        return attrs.evolve(self, last_paid_period=period)

    @property
    def covered(self) -> bool:
        """Whether the whole current period is known to be paid or free."""
        last = self.last_paid_period
        ends = (last and last.ends_at, self.free_until)
        return any(known and known >= self.report.period_end for known in ends)

    @property
    def next_sync_at(self) -> datetime | None:
        """When to sync it if no event comes; None: never.

        Some events are never sent, so the time is one by which the next change must
        have happened. A subscription that was unlinked by hand is not synced: nothing
        depends on it, and the gateway may not have it.
        """
        report = self.report
        if self.is_terminal or self.unlinked_by_hand:
            return None
        if self.covered and report.pending is None and report.status is not _S.PAST_DUE:
            return max(report.period_end, self.as_of) + COLLECTED_AFTER
        start, end = report.period_start, report.period_end
        began = end if self.as_of >= end else start
        if self.as_of < began + COLLECTED_AFTER:
            return began + COLLECTED_AFTER
        owed_for = timedelta(0) if report.pending else self.as_of - began
        due_at = self.as_of + min(max(owed_for, A_DAY), A_WEEK)
        return due_at if began == end else min(due_at, end + COLLECTED_AFTER)


def _place(period: PaidPeriod) -> tuple[datetime, datetime, str]:
    return period.ends_at, period.starts_at, period.invoice_id
