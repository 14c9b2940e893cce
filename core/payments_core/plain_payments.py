"""Which payments of a long history a load returns as sums.

Rule 1: a payment is plain if it can only buy its month or be the latest: its money was
        not returned, it is not disputed, its time is known; and it has no invoice, or
        one that paid a period with a known amount, or its invoice need not be fetched
        (`needs_invoice`).
Rule 2: a payment that the lookup names is returned by itself: it may be changed.
Rule 3: so is the latest of the others that has an effect. No summed payment is the
        latest of its account, whatever happens to the named ones.
Rule 4: the sums depend on the lives of subscriptions, on paid periods, and on whether
        any money was returned, as loaded. If a decision changes these so that a summed
        payment would have another effect or its invoice must be fetched, or the latest
        payment of rule 3 no longer has an effect, the whole history is loaded.

The ledger in Postgres does the same in SQL: `history_v1.sql`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final, Self

import attrs

from payments_core.entitlement import SETTLED_DISPUTES, PaymentEffect
from payments_core.identity import CustomerId, UserId
from payments_core.paid_periods import needs_invoice
from payments_core.payment import TAKEN, Payment, PaymentId, PaymentRecord
from payments_core.payment_buckets import PaymentBucket, bucket_number
from payments_core.subscription import PaidPeriod, Subscription

# Up to this number a load returns each payment: that is quicker than sums.
WHOLE_HISTORY_MAX: Final = 100


@attrs.frozen
class PlainPayments:
    """What decides which of an account's payments are plain.

    `some_returned`: money of some payment was returned, so more invoices must be
    fetched. `settled` are the invoices of its periods with a known amount: no payment
    whose money stayed decides on whether the period stands.
    """

    subscriptions: Sequence[Subscription]
    settled: AbstractSet[str]
    some_returned: bool

    @classmethod
    def of(
        cls,
        subscriptions: Sequence[Subscription],
        periods: Iterable[PaidPeriod],
        payments: Iterable[Payment],
    ) -> Self:
        """Return it for these; `payments` must have all with returned money."""
        known, unknown = set[str](), set[str]()
        for it in periods:
            (unknown if it.amount_paid_minor is None else known).add(it.invoice_id)
        some_returned = any(it.money_returned for it in payments)
        return cls(subscriptions, known - unknown, some_returned)

    def has(self, payment: Payment) -> bool:
        """Say whether a payment is plain (rule 1)."""
        if (
            payment.created_at is None
            or payment.state not in TAKEN
            or payment.dispute not in SETTLED_DISPUTES
        ):
            return False
        if payment.invoice_id is not None:
            return payment.invoice_id in self.settled
        if payment.subscription_id is not None:
            return False
        return not self._is_asked_about(payment, some_returned=self.some_returned)

    def is_unknown(self, payment: Payment) -> bool:
        """Say whether its invoice must be fetched if money was returned."""
        return self._is_asked_about(payment, some_returned=True)

    def _is_asked_about(self, payment: Payment, *, some_returned: bool) -> bool:
        return needs_invoice(
            payment, self.subscriptions, self.settled, some_returned=some_returned
        )

    def effects(
        self, records: Iterable[PaymentRecord], named: AbstractSet[PaymentId]
    ) -> Mapping[PaymentId, PaymentEffect | None]:
        """Return the effects of the plain payments, without the named ones."""
        return {
            it.payment.id: PaymentEffect.of(
                it.payment, self.subscriptions, self.settled
            )
            for it in records
            if it.payment.id not in named and self.has(it.payment)
        }

    def hold_for(self, later: Self, buckets: Sequence[PaymentBucket]) -> bool:
        """Say whether the summed payments are still plain, with the same effect.

        See rule 4.
        """
        until = max(it.until for it in buckets)
        are_asked_about = later.some_returned and any(it.some_unknown for it in buckets)
        return (
            self.settled <= later.settled
            and _lives(self.subscriptions, until) == _lives(later.subscriptions, until)
            and not are_asked_about
        )


def _lives(
    subscriptions: Iterable[Subscription], until: datetime
) -> AbstractSet[tuple[CustomerId, datetime, datetime | None]]:
    """Return customer, begin and end of each life; no end if it is after `until`."""
    return {
        (
            it.report.customer_id,
            it.began_at,
            ended_at if ended_at and ended_at < until else None,
        )
        for it in subscriptions
        if it.has_lived and it.began_at <= until
        for ended_at in (it.report.ended_at,)
    }


def latest_of(effects: Iterable[PaymentEffect | None]) -> datetime | None:
    """Return the time of the latest payment that has an effect (rule 3)."""
    return max((it.created_at for it in effects if it is not None), default=None)


def in_buckets(
    records: Sequence[PaymentRecord],
    plain: PlainPayments,
    *,
    user_id: UserId,
    named: AbstractSet[PaymentId],
) -> tuple[Sequence[PaymentRecord], Sequence[PaymentBucket]]:
    """Sum the plain payments of one account; return the others unsummed."""
    effects = plain.effects(records, named)
    latest = latest_of(effects.values())
    whole = list[PaymentRecord]()
    summed = defaultdict[int, list[tuple[datetime, bool, bool]]](list)
    for record in records:
        payment, moment = record.payment, record.payment.created_at
        effect = effects.get(payment.id)
        says_latest = effect is not None and effect.created_at == latest
        if payment.id not in effects or says_latest or moment is None:
            whole.append(record)
        else:
            buys = effect is not None and effect.buys_month
            one = moment, buys, plain.is_unknown(payment)
            summed[bucket_number(moment)].append(one)
    return whole, [_bucket(user_id, it) for _, it in sorted(summed.items())]


def _bucket(
    user_id: UserId, made: Sequence[tuple[datetime, bool, bool]]
) -> PaymentBucket:
    bought = [moment for moment, buys, _ in made if buys]
    return PaymentBucket(
        user_id=user_id,
        months=len(bought),
        first_at=min(bought, default=None),
        until=max(moment for moment, _, _ in made),
        some_unknown=any(is_unknown for _, _, is_unknown in made),
    )
