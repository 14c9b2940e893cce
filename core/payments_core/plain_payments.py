"""Which payments of a long history a load answers as sums.

Rule 1: a payment is plain if all that it can do is to buy its month, or to be the
        latest: its money stayed, nothing of it is disputed, its time is known; and it
        is of no invoice, or of one that paid a period with a known amount, or was made
        before any subscription began.
Rule 2: a payment that the lookup names is answered as it is: it may be changed.
Rule 3: so is the latest of the others that says something. None that is summed is the
        latest of its account, whatever becomes of those that are named.
Rule 4: the sums rest on the lives of subscriptions and on paid periods as they were
        loaded. Where a decision changes these so that a payment in the sums would mean
        something else, or that the latest one of rule 3 says nothing any more, it loads
        the whole history.

The ledger in Postgres does the same in SQL: `history_v1.sql`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final, Self

import attrs

from payments_core.entitlement import SETTLED_DISPUTES, PaymentEffect
from payments_core.identity import UserId
from payments_core.payment import TAKEN, Payment, PaymentId, PaymentRecord
from payments_core.payment_buckets import PaymentBucket, bucket_number
from payments_core.subscription import PaidPeriod, Subscription

# Up to here a load answers each payment: that is quicker than to sum them.
WHOLE_HISTORY_MAX: Final = 100


@attrs.frozen
class PlainPayments:
    """What says of an account's payments which are plain.

    `settled` are the invoices that paid its periods: of each it is known what money
    paid it, so no payment that stayed decides on whether the period stands.
    """

    subscriptions: Sequence[Subscription]
    settled: AbstractSet[str]

    @classmethod
    def of(
        cls, subscriptions: Sequence[Subscription], periods: Iterable[PaidPeriod]
    ) -> Self:
        known, unknown = set[str](), set[str]()
        for it in periods:
            (unknown if it.amount_paid_minor is None else known).add(it.invoice_id)
        return cls(subscriptions, known - unknown)

    def has(self, payment: Payment) -> bool:
        """Say whether a payment is plain (rule 1)."""
        moment = payment.created_at
        if (
            moment is None
            or payment.state not in TAKEN
            or payment.dispute not in SETTLED_DISPUTES
        ):
            return False
        if payment.invoice_id is not None:
            return payment.invoice_id in self.settled
        if payment.subscription_id is not None:
            return False
        return payment.invoice_known or not any(
            it.has_lived and it.began_at <= moment for it in self.subscriptions
        )

    def effects(
        self, records: Iterable[PaymentRecord], named: AbstractSet[PaymentId]
    ) -> Mapping[PaymentId, PaymentEffect | None]:
        """Return what the plain ones of these say, without those that are named."""
        return {
            it.payment.id: PaymentEffect.of(
                it.payment, self.subscriptions, self.settled
            )
            for it in records
            if it.payment.id not in named and self.has(it.payment)
        }

    def hold_for(self, later: Self, until: datetime) -> bool:
        """Say whether what was plain by these, up to a moment, is so by later ones.

        And means the same (rule 4).
        """
        return self.settled <= later.settled and (
            _lives(self.subscriptions, until) == _lives(later.subscriptions, until)
        )


def _lives(
    subscriptions: Iterable[Subscription], until: datetime
) -> AbstractSet[tuple[datetime, datetime | None]]:
    """Return from when to when each lived; no end if it lived until this moment."""
    return {
        (it.began_at, ended_at if ended_at and ended_at < until else None)
        for it in subscriptions
        if it.has_lived and it.began_at <= until
        for ended_at in (it.report.ended_at,)
    }


def latest_of(effects: Iterable[PaymentEffect | None]) -> datetime | None:
    """Return when the latest payment was made that says something (rule 3)."""
    return max((it.created_at for it in effects if it is not None), default=None)


def in_buckets(
    records: Sequence[PaymentRecord],
    plain: PlainPayments,
    *,
    user_id: UserId,
    named: AbstractSet[PaymentId],
) -> tuple[Sequence[PaymentRecord], Sequence[PaymentBucket]]:
    """Sum the plain payments of one account; return the others as they are."""
    effects = plain.effects(records, named)
    latest = latest_of(effects.values())
    whole = list[PaymentRecord]()
    summed = defaultdict[int, list[tuple[datetime, bool]]](list)
    for record in records:
        moment = record.payment.created_at
        effect = effects.get(record.payment.id)
        says_latest = effect is not None and effect.created_at == latest
        if record.payment.id not in effects or says_latest or moment is None:
            whole.append(record)
        else:
            buys = effect is not None and effect.buys_month
            summed[bucket_number(moment)].append((moment, buys))
    return whole, [_bucket(user_id, it) for _, it in sorted(summed.items())]


def _bucket(user_id: UserId, made: Sequence[tuple[datetime, bool]]) -> PaymentBucket:
    bought = [moment for moment, buys in made if buys]
    return PaymentBucket(
        user_id=user_id,
        months=len(bought),
        first_at=min(bought, default=None),
        until=max(moment for moment, _ in made),
    )
