"""Who has paid, derived from payments and subscriptions.

Rule 1: a status is never written. It follows from the facts, whatever their order.
Rule 2: outside of any subscription's life the latest payment, by the charge's own
        time, gives the status. Of several in one second a success counts before a
        failure before a pending one.
Rule 3: money that stayed buys one calendar month. Bought early, the month is added
        to the end of the term; after a gap it starts a new term.
Rule 4: months are counted from the term's anchor, never from the previous end.
Rule 5: a refund in full and a lost dispute give the month back. Nothing else does.
Rule 6: within a subscription's life the subscription is the truth: a payment there
        buys no month, and one that did not succeed says nothing by itself. Paid is
        what its paid invoices cover, without those whose money went back
        (`payments_core.paid_periods`); free is its trial. A payment of such an invoice
        buys no month either, whenever it is made. A payment of anything else says
        nothing within a life; one of another invoice of the subscription (an upgrade)
        does where no period was ever paid for. While it is not known what a payment was
        for, it says no more than that money was taken (`undecided`).
Rule 7: `past_due` and `unpaid` show `failed`, a first payment that is awaited shows
        `pending`, a trial `trialing`, before anything that a payment says; in this
        order where there are several subscriptions.
Rule 8: the date is the latest of all. "Expired" is not a status; it is what the clock
        says about the date.
Rule 9: the grace after the date is for who paid once, and for who goes on after a
        trial: its first payment is collected an hour later. A trial that was ended,
        or whose first payment failed, has none.
Rule 10: each thing that gives access is a grant with an end and a grace of its own
        (`payments_core.access`). The grace of what reaches to the date is the account's
        (rule 9), so who is entitled has access to a product, and the other way round.
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
        # Not known until the gateway is asked.
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
    """What one payment means to its account; the latest one gives the status."""

    created_at: datetime
    precedence: int
    payment_id: PaymentId
    status: PaymentStatus
    buys_month: bool
    # Taken, and given back in full or lost since.
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
        """Return what the payment means, or None where it means nothing (yet).

        That is while its time is not known, where an open subscription says more than
        a payment of its own that did not succeed, and where it paid for something that
        is none of our business. `some_paid`: a period was paid for, which says more
        than an upgrade.
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
            # It bought nothing, whatever invoice it was for; no open subscription
            # says more than its status.
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
    # Asked for several times on the way of every webhook, and worked out once.
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
    """All that the payments folded so far come to.

    Payments fold in the order of their own time. One that is not older than
    `latest` can be taken at once; anything else folds from the start.
    """

    latest: PaymentEffect | None = None
    prepaid: PrepaidMonths | None = None
    # When the latest of the payments was made whose money went back, whatever it paid.
    # Nothing is decided by it here: the release before does so.
    returned_at: datetime | None = None
    # Whether money of a subscriber is disputed, whatever was paid since.
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
        """Fold payments, in any order given, from the start.

        `summed` are months that others bought, which are not there themselves, each
        time with their number: `payments_core.payment_buckets`. `some_paid`: see
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
        """Say whether a payment new to this account can be taken at once."""
        return self.latest is None or effect.created_at >= self.latest.created_at

    def advance(self, effect: PaymentEffect) -> Self:
        """Take a payment that is new and not older than the latest one.

        Payments of one second are symmetric: whichever is first, the second
        either joins its term or adds to the same one.
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
    """Add months that were bought at a moment: to the end of the term, or after it."""
    if prepaid is None or prepaid.ends_at < moment:
        return PrepaidMonths(moment, months)
    return PrepaidMonths(prepaid.anchor, prepaid.months + months)


NO_PAYMENTS: Final = PaymentSummary()


@attrs.frozen
class Standing:
    """What the world may know: whether a user has paid, until when, and may enter."""

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
        """Return what is known at a moment of who has access until another."""
        entitled = entitled_until is not None and now < entitled_until
        return cls(status, date, entitled=entitled)


# What decides on a status: the state or the paid period of a subscription, a payment.
StatusCause = Subscription | PaymentEffect | None
# What reaches to the date: a paid period, a subscription's trial, months bought.
DateCause = PaidPeriod | Subscription | PrepaidMonths | None


@attrs.frozen
class AccountVerdict:
    """What the facts come to, whatever time it is; each change of it is logged.

    `has_grace`: access outlives the date (rule 9). `status_by` and `date_by` are the
    facts that decide, or None: two verdicts are equal whatever they rest on. What gives
    access are months that are prepaid until `prepaid_until`, and `of_subscriptions`.
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
        """Return all that gives access, or gave it: made when it is asked for."""
        if self.prepaid_until is None:
            return self.of_subscriptions
        # Not before it is needed: it would be a part of each import of the rules.
        from payments_core.access import PREPAID_MONTHS, Grant  # noqa: PLC0415
        from payments_core.catalogue import PREPAID  # noqa: PLC0415

        prepaid = Grant(
            PREPAID, None, self.prepaid_until, has_grace=True, because=PREPAID_MONTHS
        )
        return (prepaid, *self.of_subscriptions)

    def entitled_until(self, policy: Policy) -> datetime | None:
        """Return the moment from which on there is no access; None: there is none."""
        date = self.payment_expire_date
        if date is None or not self.has_grace:
            return date
        if policy.catalogue is not None and policy.catalogue.days_after_end:
            return max(it.until(policy) for it in self.grants)
        # As `moved`, without a call: on the way of every webhook.
        return date + min(policy.grace, LAST - date)

    @property
    def rests_on(self) -> tuple[str | None, str | None]:
        """Return the names of `status_by` and `date_by`."""
        status, date = self.status_by, self.date_by
        # In a table: this is on the way of every webhook.
        return (
            None if status is None else _NAMES[type(status)].format(status),
            None if date is None else _NAMES[type(date)].format(date),
        )

    def standing(self, now: datetime, policy: Policy) -> Standing:
        """Say what the verdict comes to at a moment."""
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
    """Say what a user's payments, subscriptions and paid periods come to.

    The one definition; `PaymentAccount.standing` says the same from a summary,
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
    """Fold a whole history: the summary, and the subscriptions with what stands.

    `summed` are the months of payments that are not there themselves.
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
    """Return the payment on whose invoice, which is not known, the status rests."""
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
    """Say whether money was taken in a life, and nothing is to come that says for what.

    The event of a first payment is: it may come after its charge.
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
    """Return these periods, and each subscription's own last one if it is another."""
    last = (it.last_paid_period for it in subscriptions)
    found = {(it.gateway_id, it.invoice_id): it for it in last if it}
    found |= {(it.gateway_id, it.invoice_id): it for it in periods}
    return found.values()


def verdict_of(
    summary: PaymentSummary, subscriptions: Sequence[Subscription]
) -> AccountVerdict:
    if not subscriptions:
        # As below, without a call: on the way of every webhook, and mostly so.
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
    """Return what subscriptions give; the end `with_grace` has the account's grace."""
    # As above: not before it is needed.
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
# Of several open subscriptions the one that needs action counts, then a trial.
_SHOWN: Final = (
    (frozenset({_S.PAST_DUE, _S.UNPAID}), PaymentStatus.FAILED),
    (frozenset({_S.INCOMPLETE}), PaymentStatus.PENDING),
    (frozenset({_S.TRIALING}), PaymentStatus.TRIALING),
)


def status_of(
    summary: PaymentSummary, subscriptions: Sequence[Subscription]
) -> PaymentStatus:
    """Say how the account's payments are (rules 2, 6 and 7)."""
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
    """Say until when the account has paid, or has free (rule 8), and by what."""
    until = summary.prepaid.ends_at if summary.prepaid else None
    by: DateCause = summary.prepaid
    for subscription in subscriptions:
        period, free_until = subscription.paid_period, subscription.free_until
        if free_until and (until is None or free_until > until):
            until, by = free_until, subscription
        if period and (until is None or period.ends_at > until):
            until, by = period.ends_at, period
    return until, by
