"""A user's standing order for a product's price, and the table of its statuses.

Rule 1: the statuses are the gateway's eight; two of them are terminal and absorb.
Rule 2: a move that is not in the table is not applied and not dropped: the object is
        fetched.
Rule 3: what is paid is a fact of its own: the period that a paid invoice covers. The
        latest of those whose money did not go back counts, and no order of arrival
        matters (`payments_core.paid_periods`).
Rule 4: a trial is free until it ends, or until the subscription does.
Rule 5: if no event comes, it is synced when something must have happened. What is owed
        may be paid at any moment, and the longer it is owed, the rarer that is: it is
        synced after as long again, a day at least and a week at most.

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
# What waits for a payment is given up, or tried again, within about a day.
A_DAY: Final = timedelta(days=1)
# Not the only way to hear of it: back-fill reads within minutes which events were not
# delivered, and a sweep compares all subscriptions each night, a hundred with a call.
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
    # Not before it is needed: it would be a part of each import of the rules.
    from uuid import UUID, uuid5  # noqa: PLC0415

    return SubscriptionId(f"sub-{uuid5(UUID(_IDS), gateway_id)}")


def quantity(value: int) -> int:
    """Read a quantity: 1 to 1,000,000.

    Raises:
        InvalidValue: it is something else.
    """
    if not 1 <= value <= QUANTITY_MAX:
        raise InvalidValue("quantity", f"not in 1..{QUANTITY_MAX}")
    return value


@attrs.frozen(kw_only=True)
class PendingUpdate:
    """A change that waits for its payment: applied, or given up at `expires_at`."""

    price: str | None
    quantity: int | None
    expires_at: datetime


@attrs.frozen(kw_only=True)
class PaidPeriod:
    """What a paid invoice covers of a subscription: from one moment to another.

    `item_id` is the item of the subscription that it covers. `amount_paid_minor` is the
    money that paid it, in minor units: 0 if a coupon or a credit did. None: not known.
    """

    gateway_id: str
    invoice_id: str
    starts_at: datetime
    ends_at: datetime
    # What is covered is the same without these two.
    item_id: str | None = attrs.field(default=None, eq=False)
    amount_paid_minor: int | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class SubscriptionItem:
    """One of several items of a subscription, with the period that it is in."""

    item_id: str
    product: str
    price: str
    quantity: int
    period_start: datetime
    period_end: datetime
    pending: PendingUpdate | None = None


@attrs.frozen(kw_only=True)
class SubscriptionReport:
    """What one report says of a subscription: a payload, or an answer.

    `item_id` is the gateway's own name for its price and quantity; `pinned_card` pays
    in place of the customer's default card; `metadata_user_id` and `intent_id` are
    what we wrote into its metadata. `other_items` are items that were added to ours
    elsewhere: `of_own_item` says which one is ours.
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
    # Told by the gateway, and not kept: the next report tells them again.
    other_items: tuple[SubscriptionItem, ...] = attrs.field(default=(), eq=False)

    @property
    def is_terminal(self) -> bool:
        return not SUBSCRIPTION_STEPS[self.status]

    @property
    def own_card(self) -> str | None:
        """The card that it pins, as long as there is something to pay."""
        return None if self.is_terminal else self.pinned_card

    def of_own_item(self, known: Self) -> Self:
        """Return the report about our item: the one that is known, or has its price."""
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
    """Return the card that is pinned by the newest of these that pins one."""
    pinning = [it for it in reports if it.own_card is not None]
    if not pinning:
        return None
    return max(pinning, key=lambda it: (it.created_at, it.gateway_id)).own_card


@attrs.frozen(kw_only=True)
class Subscription:
    """One subscription, as far as it was reported.

    Without a `user_id` it is *unlinked*. `as_of` is the second up to which the report
    may hold changes, `sequence` the number it was merged with: see
    `payments_core.subscription_merge`. `last_paid_period` is what the last paid invoice
    covers whose money did not go back.
    `plan_changed_at` is when another price or quantity was last seen; None if never.
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
        """Whether an administrator decided that it belongs to nobody."""
        return self.linked_by_hand and self.user_id is None

    @property
    def began_at(self) -> datetime:
        return self.report.created_at

    @property
    def has_lived(self) -> bool:
        """Whether it is more than a first payment that was never made."""
        return self.status is not _S.INCOMPLETE_EXPIRED

    def lived_at(self, moment: datetime) -> bool:
        """Say whether a payment of this moment is the subscription's business."""
        if not self.has_lived or moment < self.began_at:
            return False
        return self.report.ended_at is None or moment <= self.report.ended_at

    @property
    def free_until(self) -> datetime | None:
        """When its trial ends or ended; None without one."""
        report = self.report
        if report.trial_end is None or report.status in _NEVER_LIVED:
            return None
        if report.ended_at is None:
            return report.trial_end
        return min(report.trial_end, report.ended_at)

    @property
    def paid_period(self) -> PaidPeriod | None:
        """The last period that was paid for; the invoice of a trial buys none."""
        last = self.last_paid_period
        return None if last is None or self.is_free(last) else last

    def is_free(self, period: PaidPeriod) -> bool:
        """Say whether what an invoice covers is of the trial."""
        start, end = self.report.trial_start, self.report.trial_end
        return bool(
            start and end and start <= period.starts_at and period.ends_at <= end
        )

    def paid(self, period: PaidPeriod) -> Self:
        """Take in that an invoice was paid; an earlier period changes nothing."""
        last = self.last_paid_period
        if last is not None and _place(period) <= _place(last):
            return self
        return attrs.evolve(self, last_paid_period=period)

    @property
    def covered(self) -> bool:
        """Whether all of the present period is known to be paid, or free."""
        last = self.last_paid_period
        ends = (last and last.ends_at, self.free_until)
        return any(known and known >= self.report.period_end for known in ends)

    @property
    def next_sync_at(self) -> datetime | None:
        """When to sync it if no event comes; None: never.

        Some events are never made. Whatever has to happen next has happened by then.
        On one that was unlinked by hand nothing rests; the gateway may not have it.
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
