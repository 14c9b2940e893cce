"""Which paid periods stand: returned money takes back exactly what it bought.

Rule 1: which invoice a payment paid is a fact, and so is what a paid invoice covers.
        The periods of a subscription are a set, one for each invoice.
Rule 2: a period is taken back when all the money of its invoice was returned: every
        payment was refunded in full or lost in a dispute. A partial return takes
        nothing back, and neither does the return of any other payment.
Rule 3: a period that was paid without money (a coupon, a credit) has nothing to return.
Rule 4: while the invoice of a payment is not known, its return takes nothing back. The
        invoice is fetched (`needs_invoice`).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import attrs

from payments_core.payment import DisputeState, Payment, PaymentState
from payments_core.subscription import PaidPeriod, Subscription


def needs_invoice(
    payment: Payment,
    subscriptions: Iterable[Subscription],
    paid_invoices: AbstractSet[str] = frozenset(),
    *,
    some_returned: bool,
) -> bool:
    """Say whether the invoice that a payment paid must be fetched.

    `paid_invoices` are those of which the periods are known. The invoice is fetched
    only if something depends on it. Within a subscription's life, that is whether a
    return takes a period back, and, with `some_returned`, which payments belong to a
    period that stands. After it, whether a payment was for an overdue invoice, which
    buys no month.
    """
    moment = payment.created_at
    if payment.invoice_known or payment.invoice_id in paid_invoices or moment is None:
        return False
    if payment.state is PaymentState.CONTRADICTED:
        # It is fetched because of the contradiction.
        return False
    lived = [
        it
        for it in subscriptions
        if it.has_lived and may_have_paid(payment, it) and it.began_at <= moment
    ]
    took_money = payment.money_stayed or payment.money_returned
    if some_returned or not any(it.lived_at(moment) for it in lived):
        return bool(lived) and took_money
    return payment.money_returned or payment.dispute is DisputeState.OPEN


def may_have_paid(payment: Payment, subscription: Subscription) -> bool:
    """Say whether a payment may be for a subscription: it has the same customer."""
    return payment.customer_id == subscription.report.customer_id


def some_paid_for(
    subscriptions: Iterable[Subscription], periods: Iterable[PaidPeriod]
) -> bool:
    """Say whether any period was paid for, even if its money was returned."""
    lives = {it.gateway_id: it for it in subscriptions}
    return any(
        it.gateway_id in lives and not lives[it.gateway_id].is_free(it)
        for it in periods
    )


def with_standing_periods(
    subscription: Subscription,
    periods: Iterable[PaidPeriod],
    payments: Sequence[Payment],
) -> Subscription:
    """Set the last paid period of a subscription to the last one that stands."""
    before = subscription.last_paid_period
    left = attrs.evolve(subscription, last_paid_period=None)
    of_invoice = defaultdict[str | None, list[Payment]](list)
    for payment in payments:
        of_invoice[payment.invoice_id].append(payment)
    for period in periods:
        if period.gateway_id == subscription.gateway_id and not _went_back(
            period, of_invoice.get(period.invoice_id, ())
        ):
            left = left.paid(period)
    return subscription if left.last_paid_period == before else left


def _went_back(period: PaidPeriod, of_it: Sequence[Payment]) -> bool:
    """Say whether all money of a period was returned, by its invoice's payments."""
    returned = sum(_minor(it) for it in of_it if it.money_returned)
    paid = period.amount_paid_minor
    if paid is None:
        # Older facts do not have the amount: use the known payments.
        paid = returned + sum(_minor(it) for it in of_it if it.money_stayed)
    return 0 < paid <= returned


def _minor(payment: Payment) -> int:
    return payment.amount.amount_minor if payment.amount else 0
