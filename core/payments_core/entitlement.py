"""Who has paid, derived from payments and subscriptions.

Rule 1: a status is never set. It is derived from the facts, in whatever order they
        came.
Rule 2: outside of any subscription's life the latest payment, by the charge's own time,
        gives the status. Of several in one second a success counts before a failure,
        and a failure before a pending payment.
Rule 3: money that was taken and not returned in full buys one calendar month. Bought
        early, the month is added to the end of the term; after a gap it starts a new
        term.
Rule 4: months are counted from the term's anchor, never from the previous end.
Rule 5: a full refund and a lost dispute take the month back. Nothing else does.
Rule 6: within a subscription's life the subscription decides: a payment then buys no
        month, and a payment that did not succeed does not give the status. Paid is what
        its paid invoices cover, without those whose money was returned
        (`payments_core.paid_periods`); free is its trial. A payment of such an invoice
        buys no month either, whenever it is made. A payment for anything else is
        ignored within a life; a payment of another invoice of the subscription (an
        upgrade) counts only if no period was ever paid for. While it is not known what
        a payment was for, it only shows that money was taken (`undecided`).
Rule 7: `past_due` and `unpaid` show `failed`, an awaited first payment shows `pending`,
        a trial `trialing`. They take precedence over any payment; with several
        subscriptions, in this order.
Rule 8: the date is the latest of all. "Expired" is not a status: it follows from the
        date and the clock.
Rule 9: a user has the grace after the date if they ever paid, or if their subscription
        continues after its trial, as its first payment is collected an hour later. A
        trial that was ended, or whose first payment failed, has no grace.
Rule 10: each source of access is a grant with its own end and grace
        (`payments_core.access`). The grant that ends at the date has the account's
        grace (rule 9), so a user who is entitled has access to a product, and the other
        way round.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

import attrs

from payments_core.months import LAST, months_after
from payments_core.paid_periods import (
    may_have_paid,
    some_paid_for,
    with_standing_periods,
)
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentState
from payments_core.policy import Policy
from payments_core.subscription import PaidPeriod, Subscription, SubscriptionStatus

if TYPE_CHECKING:
    from payments_core.access import Grant


class PaymentStatus(StrEnum):
    NONE = "none"
    PENDING = "pending"
    TRIALING = "trialing"
    PAID = "paid"
    FAILED = "failed"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


_STATUSES: Final = MappingProxyType(
    {
        PaymentState.PENDING: PaymentStatus.PENDING,
        PaymentState.FAILED: PaymentStatus.FAILED,
        PaymentState.SUCCEEDED: PaymentStatus.PAID,
        PaymentState.PARTIALLY_REFUNDED: PaymentStatus.PAID,
        PaymentState.REFUNDED: PaymentStatus.REFUNDED,
        # Not known until the payment is fetched.
        PaymentState.CONTRADICTED: PaymentStatus.PENDING,
    }
)
SETTLED_DISPUTES: Final = frozenset({DisputeState.NONE, DisputeState.WON})
_PRECEDENCE: Final = MappingProxyType(
    {
        PaymentState.CONTRADICTED: 0,
        PaymentState.PENDING: 0,
        PaymentState.FAILED: 1,
        PaymentState.SUCCEEDED: 2,
        PaymentState.PARTIALLY_REFUNDED: 2,
        PaymentState.REFUNDED: 2,
    }
)


_WITHOUT_MONEY: Final = frozenset(
    {PaymentState.PENDING, PaymentState.FAILED, PaymentState.CONTRADICTED}
)


def _status_of(payment: Payment) -> PaymentStatus:
    if payment.dispute in SETTLED_DISPUTES:
        return _STATUSES[payment.state]
    return PaymentStatus.DISPUTED


@attrs.frozen
class PaymentEffect:
    """What one payment means to its account; the latest payment gives the status."""

    created_at: datetime
    precedence: int
    payment_id: PaymentId
    status: PaymentStatus
    buys_month: bool
    # Taken, and later refunded in full or lost in a dispute.
    returned: bool = False

    def __lt__(self, other: Self) -> bool:
        return (self.created_at, self.precedence, self.payment_id) < (
            other.created_at,
            other.precedence,
            other.payment_id,
        )

    @classmethod
    def of(
        cls,
        payment: Payment,
        subscriptions: Sequence[Subscription] = (),
        paid_invoices: AbstractSet[str] = frozenset(),
        *,
        some_paid: bool = True,
    ) -> Self | None:
        """Return what the payment means, or None if it means nothing (yet).

        None is returned while its time is not known, if it did not succeed and an open
        subscription decides instead, and if it paid for something that we do not
        follow. `some_paid`: a period was paid for, which decides before an upgrade.
        """
        created_at = payment.created_at
        if created_at is None:
            return None
        around = [s for s in subscriptions if s.lived_at(created_at)]
        without_money = payment.state in _WITHOUT_MONEY
        if without_money and any(not s.is_terminal for s in around):
            return None
        status, buys_month = _status_of(payment), payment.money_stayed
        if payment.invoice_id in paid_invoices:
            buys_month = False
        elif without_money:
            # It bought nothing, whatever invoice it was for, and no open subscription
            # decides instead of its status.
            pass
        elif payment.subscription_id is not None:
            if some_paid or not around:
                return None
            buys_month = False
        elif around:
            if payment.invoice_known:
                return None
            buys_month = False
            if not any(may_have_paid(payment, it) for it in around):
                return None
            status = PaymentStatus.PAID
        return cls(
            created_at,
            _PRECEDENCE[payment.state],
            payment.id,
            status,
            buys_month,
            payment.money_returned,
        )


@attrs.frozen
class PrepaidMonths:
    """Months without a gap, counted from the payment that started them."""

    anchor: datetime
    months: int
    # Every webhook reads it several times, so it is computed once.
    ends_at: datetime = attrs.field(init=False, eq=False, repr=False)

    def has(self, payment: Payment) -> bool:
        """Say whether a payment may have bought one of them."""
        made_at = payment.created_at
        return payment.money_stayed and made_at is not None and made_at >= self.anchor

    @ends_at.default
    def _months_after_anchor(self) -> datetime:
        return months_after(self.anchor, self.months)


@attrs.frozen
class PaymentSummary:
    """The result of all payments folded so far.

    Payments are folded in the order of their own time. A payment that is not older than
    `latest` is added at once; for any other, all are folded again from the start.
    """

    latest: PaymentEffect | None = None
    prepaid: PrepaidMonths | None = None
    # The time of the latest payment whose money was returned, whatever it paid. Nothing
    # here depends on it: the previous release does.
    returned_at: datetime | None = None
    # Whether a payment of a subscriber is disputed, whatever was paid since.
    some_disputed: bool = False

    @classmethod
    def replay(
        cls,
        payments: Iterable[Payment],
        subscriptions: Sequence[Subscription] = (),
        paid_invoices: AbstractSet[str] = frozenset(),
        summed: Iterable[tuple[datetime, int]] = (),
        *,
        some_paid: bool = True,
    ) -> Self:
        """Fold payments, given in any order, from the start.

        `summed` are the months that payments bought which are not in `payments`: a time
        and the number of months (`payments_core.payment_buckets`). `some_paid`: see
        `PaymentEffect.of`.
        """
        history = list(payments)
        found = (
            PaymentEffect.of(it, subscriptions, paid_invoices, some_paid=some_paid)
            for it in history
        )
        effects = [it for it in found if it is not None]
        bought = [(it.created_at, 1) for it in effects if it.buys_month]
        prepaid = None
        for moment, months in sorted([*bought, *summed]):
            prepaid = _with_months(prepaid, moment, months)
        back = (it.created_at for it in history if it.money_returned)
        returned_at = max((it for it in back if it is not None), default=None)
        some_disputed = bool(subscriptions) and any(
            it.dispute is DisputeState.OPEN for it in history
        )
        latest = max(effects, default=None)
        return cls(latest, prepaid, returned_at, some_disputed)

    def takes(self, effect: PaymentEffect) -> bool:
        """Say whether a payment new to this account can be added without a replay."""
        return self.latest is None or effect.created_at >= self.latest.created_at

    def advance(self, effect: PaymentEffect) -> Self:
        """Add a payment that is new and not older than the latest.

        Payments of one second are symmetric: in either order the second extends the
        term of the first.
        """
        latest = self.latest if self.latest and effect < self.latest else effect
        returned_at = self.returned_at
        if effect.returned and (returned_at is None or returned_at < effect.created_at):
            returned_at = effect.created_at
        prepaid = self.prepaid
        if effect.buys_month:
            prepaid = _with_months(prepaid, effect.created_at, 1)
        return type(self)(latest, prepaid, returned_at, self.some_disputed)


def _with_months(
    prepaid: PrepaidMonths | None, moment: datetime, months: int
) -> PrepaidMonths:
    """Add bought months to the end of the term, or start a new term after a gap."""
    if prepaid is None or prepaid.ends_at < moment:
        return PrepaidMonths(moment, months)
    return PrepaidMonths(prepaid.anchor, prepaid.months + months)


NO_PAYMENTS: Final = PaymentSummary()


@attrs.frozen
class Standing:
    """The public result: whether a user has paid, until when, and is entitled."""

    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    entitled: bool

    @classmethod
    def until(
        cls,
        status: PaymentStatus,
        date: datetime | None,
        entitled_until: datetime | None,
        now: datetime,
    ) -> Self:
        """Return the standing at `now` of a user who is entitled until a time."""
        entitled = entitled_until is not None and now < entitled_until
        return cls(status, date, entitled=entitled)


# What decides the status: the state or the paid period of a subscription, a payment.
StatusCause = Subscription | PaymentEffect | None
# What ends at the date: a paid period, a subscription's trial, prepaid months.
DateCause = PaidPeriod | Subscription | PrepaidMonths | None


@attrs.frozen
class AccountVerdict:
    """The result of the facts, independent of the time; each change of it is logged.

    `has_grace`: access outlives the date (rule 9). `status_by` and `date_by` are the
    facts that decide, or None; they are not compared. Access comes from months prepaid
    until `prepaid_until`, and from the grants `of_subscriptions`.
    """

    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    has_grace: bool
    status_by: StatusCause = attrs.field(eq=False)
    date_by: DateCause = attrs.field(eq=False)
    prepaid_until: datetime | None = None
    of_subscriptions: "tuple[Grant, ...]" = ()

    @property
    def grants(self) -> "tuple[Grant, ...]":
        """Return the grants that give or gave access; they are made on each call."""
        if self.prepaid_until is None:
            return self.of_subscriptions
        # Imported when needed, so that an import of the rules does not load it.
        from payments_core.access import PREPAID_MONTHS, Grant  # noqa: PLC0415
        from payments_core.catalogue import PREPAID  # noqa: PLC0415

        prepaid = Grant(
            PREPAID, None, self.prepaid_until, has_grace=True, because=PREPAID_MONTHS
        )
        return (prepaid, *self.of_subscriptions)

    def entitled_until(self, policy: Policy) -> datetime | None:
        """Return the time from which there is no access; None: there is no date."""
        date = self.payment_expire_date
        if date is None or not self.has_grace:
            return date
        if policy.catalogue is not None and policy.catalogue.days_after_end:
            return max(it.until(policy) for it in self.grants)
        # The same as `moved`, but without a call: every webhook runs this.
        return date + min(policy.grace, LAST - date)

    @property
    def rests_on(self) -> tuple[str | None, str | None]:
        """Return the names of `status_by` and `date_by`."""
        status, date = self.status_by, self.date_by
        # A table lookup, because every webhook runs this.
        return (
            None if status is None else _NAMES[type(status)].format(status),
            None if date is None else _NAMES[type(date)].format(date),
        )

    def standing(self, now: datetime, policy: Policy) -> Standing:
        """Return the standing that the verdict gives at a time."""
        until = self.entitled_until(policy)
        date = self.payment_expire_date
        return Standing.until(self.payment_status, date, until, now)


_NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        Subscription: "subscription {0.gateway_id}",
        PaymentEffect: "payment {0.payment_id}",
        PaidPeriod: "invoice {0.invoice_id}",
        PrepaidMonths: "months {0.months}",
    }
)


def standing(
    payments: Iterable[Payment],
    subscriptions: Sequence[Subscription] = (),
    periods: Iterable[PaidPeriod] = (),
    *,
    now: datetime,
    policy: Policy,
) -> Standing:
    """Return the standing from a user's payments, subscriptions and paid periods.

    This is the definition; `PaymentAccount.standing` returns the same from a summary,
    without reading all payments again.
    """
    summary, standing_subscriptions = replayed(payments, subscriptions, periods)
    return verdict_of(summary, standing_subscriptions).standing(now, policy)


def replayed(
    payments: Iterable[Payment],
    subscriptions: Sequence[Subscription],
    periods: Iterable[PaidPeriod],
    summed: Iterable[tuple[datetime, int]] = (),
) -> tuple[PaymentSummary, Sequence[Subscription]]:
    """Fold a whole history: the summary, and the subscriptions with standing periods.

    `summed`: see `PaymentSummary.replay`.
    """
    history, all_periods = list(payments), with_last_periods(subscriptions, periods)
    summary = PaymentSummary.replay(
        history,
        subscriptions,
        frozenset(it.invoice_id for it in all_periods),
        summed,
        some_paid=some_paid_for(subscriptions, all_periods),
    )
    return summary, [
        with_standing_periods(it, all_periods, history) for it in subscriptions
    ]


def undecided(
    summary: PaymentSummary,
    payments: Sequence[Payment],
    subscriptions: Sequence[Subscription],
    periods: Collection[PaidPeriod],
) -> Payment | None:
    """Return the payment with an unknown invoice on which the status depends."""
    paid_invoices = frozenset(it.invoice_id for it in periods)
    latest = summary.latest.payment_id if summary.latest else None
    found = [it for it in payments if it.id == latest]
    if not any(is_unexplained(it, subscriptions, paid_invoices) for it in found):
        return None
    others = [
        it for it in payments if not is_unexplained(it, subscriptions, paid_invoices)
    ]
    without = PaymentSummary.replay(
        others,
        subscriptions,
        paid_invoices,
        some_paid=some_paid_for(subscriptions, periods),
    )
    is_same = status_of(without, subscriptions) is status_of(summary, subscriptions)
    return None if is_same else found[0]


def is_unexplained(
    payment: Payment,
    subscriptions: Iterable[Subscription],
    paid_invoices: AbstractSet[str] = frozenset(),
) -> bool:
    """Say whether money was taken within a life, and no event will say what for.

    The event of a first payment will: it may come after its charge.
    """
    moment = payment.created_at
    if (
        moment is None
        or payment.state in _WITHOUT_MONEY
        or payment.invoice_known
        or payment.subscription_id is not None
        or payment.invoice_id in paid_invoices
    ):
        return False
    around = [it for it in subscriptions if it.lived_at(moment)]
    is_awaited = any(
        it.status in _AWAITS_COLLECTION and it.paid_period is None for it in around
    )
    return not is_awaited and any(may_have_paid(payment, it) for it in around)


def with_last_periods(
    subscriptions: Iterable[Subscription], periods: Iterable[PaidPeriod]
) -> Collection[PaidPeriod]:
    """Return these periods, plus each subscription's last period if missing."""
    last = (it.last_paid_period for it in subscriptions)
    found = {(it.gateway_id, it.invoice_id): it for it in last if it}
    found |= {(it.gateway_id, it.invoice_id): it for it in periods}
    return found.values()


def verdict_of(
    summary: PaymentSummary, subscriptions: Sequence[Subscription]
) -> AccountVerdict:
    if not subscriptions:
        # The same as below, but without a call: most webhooks take this path.
        latest, prepaid = summary.latest, summary.prepaid
        return AccountVerdict(
            latest.status if latest else PaymentStatus.NONE,
            prepaid.ends_at if prepaid else None,
            prepaid is not None,
            latest,
            prepaid,
            prepaid.ends_at if prepaid else None,
        )
    status, status_by = _status(summary, subscriptions)
    expire_date, date_by = _expire_date(summary, subscriptions)
    has_grace = expire_date is not None and _has_grace(summary, subscriptions)
    return AccountVerdict(
        status,
        expire_date,
        has_grace,
        status_by,
        date_by,
        summary.prepaid.ends_at if summary.prepaid else None,
        tuple(_grants(subscriptions, expire_date if has_grace else None)),
    )


def _grants(
    subscriptions: Sequence[Subscription], with_grace: datetime | None
) -> "Iterator[Grant]":
    """Return the grants of subscriptions; the end `with_grace` has the grace."""
    # Imported when needed, as above.
    from payments_core.access import Grant, GrantKind, GrantSource  # noqa: PLC0415

    for it in subscriptions:
        product, price = it.report.product, it.report.price
        period, free_until = it.paid_period, it.free_until
        if period is not None:
            source = GrantSource(GrantKind.PAID_PERIOD, period.invoice_id)
            changed_at = it.plan_changed_at
            is_own = changed_at is None or changed_at <= period.starts_at
            yield Grant(product, price, period.ends_at, True, source, is_own)  # noqa: FBT003  # its grace
        if free_until is None or (period and free_until <= period.ends_at):
            continue
        goes_on = it.status in _AWAITS_COLLECTION or period is not None
        grace = goes_on or free_until == with_grace
        source = GrantSource(GrantKind.TRIAL, it.gateway_id)
        yield Grant(product, price, free_until, grace, source, own_days=False)


def _has_grace(summary: PaymentSummary, subscriptions: Sequence[Subscription]) -> bool:
    """Say whether access outlives the date (rule 9)."""
    return summary.prepaid is not None or any(
        it.paid_period is not None or it.status in _AWAITS_COLLECTION
        for it in subscriptions
    )


_S = SubscriptionStatus
_AWAITS_COLLECTION: Final = frozenset({_S.TRIALING, _S.ACTIVE})
# Of several open subscriptions, one that needs action takes precedence, then a trial.
_SHOWN: Final = (
    (frozenset({_S.PAST_DUE, _S.UNPAID}), PaymentStatus.FAILED),
    (frozenset({_S.INCOMPLETE}), PaymentStatus.PENDING),
    (frozenset({_S.TRIALING}), PaymentStatus.TRIALING),
)


def status_of(
    summary: PaymentSummary, subscriptions: Sequence[Subscription]
) -> PaymentStatus:
    """Return the account's payment status (rules 2, 6 and 7)."""
    return _status(summary, subscriptions)[0]


def _status(
    summary: PaymentSummary, subscriptions: Sequence[Subscription]
) -> tuple[PaymentStatus, StatusCause]:
    latest = summary.latest
    of_latest = (latest.status if latest else PaymentStatus.NONE), latest
    if not subscriptions:
        return of_latest
    for these, shown in _SHOWN:
        for subscription in subscriptions:
            if subscription.status in these:
                return shown, subscription
    paid = [it for it in subscriptions if it.paid_period]
    newest = max(paid, key=_paid_from, default=None)
    if newest and (latest is None or latest.created_at < _paid_from(newest)):
        return PaymentStatus.PAID, newest
    return of_latest


def _paid_from(subscription: Subscription) -> datetime:
    period = subscription.paid_period
    return period.starts_at if period else subscription.began_at


def _expire_date(
    summary: PaymentSummary, subscriptions: Sequence[Subscription]
) -> tuple[datetime | None, DateCause]:
    """Return until when the account is paid or free (rule 8), and by which fact."""
    until = summary.prepaid.ends_at if summary.prepaid else None
    by: DateCause = summary.prepaid
    for subscription in subscriptions:
        period, free_until = subscription.paid_period, subscription.free_until
        if free_until and (until is None or free_until > until):
            until, by = free_until, subscription
        if period and (until is None or period.ends_at > until):
            until, by = period.ends_at, period
    return until, by
