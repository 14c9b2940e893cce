"""Money that was refunded takes what it paid for, and nothing else does."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import permutations
from typing import Final

import attrs
import pytest

from contracts.examples import (
    CUS_1,
    CUS_2,
    MONTH,
    NOON,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    of_invoice,
)
from payments_core import (
    DisputeState,
    Payment,
    PaymentState,
    PaymentStatus,
    Policy,
    Standing,
    Subscription,
    SubscriptionStatus,
    standing,
)
from payments_core.identity import CustomerId
from payments_core.months import months_after
from payments_core.paid_periods import needs_invoice
from payments_core.subscription import PaidPeriod

S, P, D = SubscriptionStatus, PaymentStatus, DisputeState
DAY: Final = timedelta(days=1)
STRICT: Final = Policy(grace=timedelta(0))
FIRST: Final = of_invoice(a_payment("ch_first", at=NOON))
REFUNDED: Final = of_invoice(a_payment("ch_first", PaymentState.REFUNDED, at=NOON))
LOST: Final = of_invoice(a_payment("ch_first", at=NOON, dispute=D.LOST))
END: Final = NOON + MONTH


def says(
    subscription: Subscription, *payments: Payment, periods: Sequence[PaidPeriod] = ()
) -> Standing:
    """Return the entitlement, after checking that no order of the facts matters."""
    (only,) = {
        standing(paid, [subscription], told, now=NOON + DAY, policy=STRICT)
        for paid in permutations(payments)
        for told in permutations(periods)
    }
    return only


def shown(
    subscription: Subscription, *payments: Payment, periods: Sequence[PaidPeriod] = ()
) -> tuple[PaymentStatus, datetime | None]:
    found = says(subscription, *payments, periods=periods)
    return found.payment_status, found.payment_expire_date


def of(
    status: SubscriptionStatus = S.ACTIVE, *, ended_at: datetime | None = None
) -> Subscription:
    """Return a subscription that began at noon; its first month is paid."""
    return a_subscription(a_report(status=status, ended_at=ended_at), term=a_term())


@pytest.mark.parametrize(
    ("back", "expected"), [(REFUNDED, P.REFUNDED), (LOST, P.DISPUTED)]
)
@pytest.mark.parametrize("status", [S.ACTIVE, S.CANCELED])
def test_money_that_went_back_takes_its_term_with_it(
    status: SubscriptionStatus, back: Payment, expected: PaymentStatus
) -> None:
    """
    Refunded in full, or lost in a dispute: the period counts as unpaid.
    """
    ended_at = NOON + 9 * DAY if status is S.CANCELED else None
    subscription = of(status, ended_at=ended_at)

    assert shown(subscription, back) == (expected, None)
    assert not says(subscription, back).entitled


@pytest.mark.parametrize("back", [REFUNDED, LOST], ids=["refunded", "lost"])
def test_a_grace_is_for_whoever_has_paid_before(back: Payment) -> None:
    """
    The first money of all was refunded: nothing was paid for that could end.
    """
    policy = Policy(grace=3 * DAY)
    assert not standing([back], [of()], now=NOON + DAY, policy=policy).entitled


def test_money_that_went_back_takes_no_other_term_with_it() -> None:
    """
    A refund of the second month leaves the first, and the other way round.
    """
    first, second = a_term(), a_term(starts_at=END, invoice="in_2")
    back = of_invoice(a_payment("ch_2", PaymentState.REFUNDED, at=END), "in_2")
    periods, now = [first, second], END + DAY

    assert shown(of(), FIRST, back, periods=periods) == (P.REFUNDED, END)
    assert shown(of(), REFUNDED, periods=periods) == (P.PAID, END + MONTH)
    found = standing([FIRST, back], [of()], periods, now=now, policy=Policy())
    # Something was paid before: that end has its grace.
    assert found.entitled


@pytest.mark.parametrize("status", [S.ACTIVE, S.PAST_DUE, S.CANCELED])
@pytest.mark.parametrize("state", [PaymentState.REFUNDED, PaymentState.SUCCEEDED])
@pytest.mark.parametrize(
    "other",
    [
        a_payment("ch_unknown", at=NOON + DAY, customer=CUS_1),
        attrs.evolve(a_payment("ch_one_off", at=NOON + DAY), invoice_known=True),
        # The small charge of an upgrade: its invoice covers no period.
        of_invoice(a_payment("ch_upgrade", at=NOON + DAY), "in_upgrade"),
        of_invoice(a_payment("ch_addon", at=NOON + DAY), "in_9", "sub_other"),
    ],
    ids=["unknown", "one-off", "upgrade", "of another subscription"],
)
@pytest.mark.parametrize("dispute", [D.NONE, D.OPEN, D.LOST])
def test_a_payment_of_something_else_takes_nothing(
    dispute: DisputeState,
    other: Payment,
    state: PaymentState,
    status: SubscriptionStatus,
) -> None:
    """
    Refunded or lost, the paid period stays, and so does the status.
    """
    ended_at = NOON + 9 * DAY if status is S.CANCELED else None
    back = attrs.evolve(
        other,
        state=state,
        dispute=dispute,
        refunded_minor=1_000 if state is PaymentState.REFUNDED else 0,
    )
    subscription = of(status, ended_at=ended_at)

    assert shown(subscription, FIRST, back) == shown(subscription, FIRST)
    assert shown(subscription, back) == shown(subscription)


@pytest.mark.parametrize("paid_minor", [2_000, None])
def test_a_period_goes_when_all_money_of_its_invoice_went_back(
    paid_minor: int | None,
) -> None:
    """
    An invoice with two payments: a refund of one of them takes nothing.
    """
    period = a_term(amount_minor=paid_minor)
    second = of_invoice(a_payment("ch_second", at=NOON + DAY))
    second_back = attrs.evolve(second, state=PaymentState.REFUNDED)

    assert shown(of(), REFUNDED, second, periods=[period]) == (P.PAID, END)
    assert shown(of(), REFUNDED, second_back, periods=[period])[1] is None


def test_a_period_that_cost_nothing_has_nothing_to_return() -> None:
    """
    A coupon paid it: the refund was for something else.
    """
    period = a_term(amount_minor=0)
    assert shown(of(), REFUNDED, periods=[period])[1] == END


def test_a_late_payment_of_an_invoice_buys_no_month_of_its_own() -> None:
    """
    The subscription ended unpaid; the overdue invoice was paid after that.
    """
    ended = a_subscription(a_report(status=S.CANCELED, ended_at=NOON + 9 * DAY))
    late = attrs.evolve(FIRST, created_at=NOON + 15 * DAY)
    purchase = a_payment("ch_month", at=NOON + 15 * DAY)

    assert shown(ended, late, periods=[a_term()]) == (P.PAID, END)
    # Its invoice is known, and what that covers is not: it buys nothing.
    assert shown(ended, late) == (P.NONE, None)
    assert shown(ended, purchase)[1] == months_after(NOON + 15 * DAY, 1)


@pytest.mark.parametrize("days", [-1, 15], ids=["before", "after"])
def test_money_that_went_back_outside_of_a_life_takes_none_of_its_terms(
    days: int,
) -> None:
    """
    It had bought a month of its own, and takes back that month.
    """
    ended = of(S.CANCELED, ended_at=NOON + 9 * DAY)
    outside = a_payment("ch_2", PaymentState.REFUNDED, at=NOON + days * DAY)

    assert shown(ended, FIRST, outside)[1] == END


@pytest.mark.parametrize(
    "kept",
    [
        a_payment("ch_first", PaymentState.PARTIALLY_REFUNDED, at=NOON),
        a_payment("ch_first", at=NOON, dispute=D.OPEN),
        a_payment("ch_first", at=NOON, dispute=D.WON),
    ],
    ids=["partly", "open", "won"],
)
def test_nothing_else_takes_a_term_back(kept: Payment) -> None:
    """
    A partial refund, a dispute that is open or won.
    """
    assert shown(of(), kept)[1] == END


@pytest.mark.parametrize("back", [REFUNDED, LOST], ids=["refunded", "lost"])
@pytest.mark.parametrize("state", [PaymentState.FAILED, PaymentState.PENDING])
@pytest.mark.parametrize(
    ("status", "days"),
    [(S.ACTIVE, 5), (S.CANCELED, 5), (S.CANCELED, 15)],
    ids=["living", "ended since", "after the end"],
)
def test_a_term_that_was_given_back_stays_so_whatever_is_tried_later(
    status: SubscriptionStatus, days: int, state: PaymentState, back: Payment
) -> None:
    """
    A later payment that did not succeed pays for nothing.
    """
    ended_at = NOON + 9 * DAY if status is S.CANCELED else None
    tried = a_payment("ch_tried", state, at=NOON + days * DAY)

    assert shown(of(status, ended_at=ended_at), back, tried)[1] is None


def test_a_term_that_was_given_back_stays_so_when_a_month_is_bought() -> None:
    """
    The month counts from its own payment, and restores nothing else.
    """
    ended = of(S.CANCELED, ended_at=NOON + DAY)
    long = attrs.evolve(ended, last_paid_period=a_term(ends_at=NOON + 365 * DAY))
    month = a_payment("ch_month", at=NOON + 2 * DAY)

    assert shown(long, REFUNDED, month) == (P.PAID, months_after(NOON + 2 * DAY, 1))


# Which payments are fetched


THEIRS: Final = attrs.evolve(FIRST, invoice_known=False, customer_id=CUS_1)
UNKNOWN: Final = attrs.evolve(THEIRS, invoice_id=None, subscription_id=None)
BACK: Final = attrs.evolve(UNKNOWN, state=PaymentState.REFUNDED)
LATE: Final = attrs.evolve(UNKNOWN, created_at=NOON + 15 * DAY)


@pytest.mark.parametrize("some_returned", [False, True])
@pytest.mark.parametrize(
    ("payment", "ended", "asks", "asks_if_some_returned"),
    [
        # Within a life: those that may take a period, or give the status next to a
        # taken one.
        (UNKNOWN, False, False, True),
        (BACK, False, True, True),
        (attrs.evolve(UNKNOWN, dispute=D.OPEN), False, True, True),
        (attrs.evolve(UNKNOWN, dispute=D.LOST), False, True, True),
        (attrs.evolve(UNKNOWN, dispute=D.WON), False, False, True),
        (attrs.evolve(UNKNOWN, state=PaymentState.FAILED), False, False, False),
        # After it: all that took money.
        (LATE, True, True, True),
        (attrs.evolve(LATE, state=PaymentState.REFUNDED), True, True, True),
        (attrs.evolve(LATE, state=PaymentState.FAILED), True, False, False),
        (attrs.evolve(LATE, state=PaymentState.PENDING), True, False, False),
        # It is fetched anyway.
        (attrs.evolve(BACK, state=PaymentState.CONTRADICTED), False, False, False),
        # The answer is known, or decides nothing.
        (attrs.evolve(BACK, invoice_known=True), False, False, False),
        (attrs.evolve(BACK, invoice_id="in_paid"), False, False, False),
        (attrs.evolve(BACK, invoice_id="in_other"), False, True, True),
        (attrs.evolve(BACK, customer_id=None), False, False, False),
        (attrs.evolve(BACK, customer_id=CUS_2), False, False, False),
        (attrs.evolve(BACK, created_at=None), False, False, False),
        (attrs.evolve(BACK, created_at=NOON - DAY), False, False, False),
        (attrs.evolve(BACK, created_at=NOON), False, True, True),
    ],
)
def test_an_invoice_is_asked_for_where_it_decides_on_something(
    payment: Payment,
    *,
    ended: bool,
    asks: bool,
    asks_if_some_returned: bool,
    some_returned: bool,
) -> None:
    """
    Each fetch is a call to the gateway.
    """
    subscription = of(S.CANCELED, ended_at=NOON + 9 * DAY) if ended else of()
    assert needs_invoice(
        payment, [subscription], {"in_paid"}, some_returned=some_returned
    ) is (asks_if_some_returned if some_returned else asks)
    never_lived = a_subscription(a_report(status=S.INCOMPLETE_EXPIRED))
    for others in ([], [never_lived]):
        assert not needs_invoice(payment, others, some_returned=some_returned)


@pytest.mark.parametrize("customer", [None, CUS_2])
@pytest.mark.parametrize("state", [PaymentState.SUCCEEDED, PaymentState.REFUNDED])
def test_a_payment_of_another_customer_says_nothing_within_a_life(
    state: PaymentState, customer: CustomerId | None
) -> None:
    """
    It cannot have paid an invoice of this subscription.
    """
    gift = a_payment("ch_gift", state, at=NOON + DAY, customer=customer)
    assert shown(of(), REFUNDED, gift) == (P.REFUNDED, None)
