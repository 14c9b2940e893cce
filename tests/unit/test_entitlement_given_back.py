"""Money that went back takes what it paid for with it, and nothing else does."""

from datetime import datetime, timedelta
from itertools import permutations
from typing import Final

import attrs
import pytest

from contracts.examples import (
    MONTH,
    NOON,
    a_payment,
    a_report,
    a_subscription,
    a_term,
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
from payments_core.months import months_after

S, P, D = SubscriptionStatus, PaymentStatus, DisputeState
DAY: Final = timedelta(days=1)
STRICT: Final = Policy(grace=timedelta(0))
FIRST: Final = a_payment("ch_first", at=NOON)
REFUNDED: Final = a_payment("ch_first", PaymentState.REFUNDED, at=NOON)
LOST: Final = a_payment("ch_first", at=NOON, dispute=D.LOST)
END: Final = NOON + MONTH


def says(subscription: Subscription, *payments: Payment) -> Standing:
    """Return the standing, after checking that no order of payments matters."""
    (only,) = {
        standing(order, [subscription], now=NOON + DAY, policy=STRICT)
        for order in permutations(payments)
    }
    return only


def shown(
    subscription: Subscription, *payments: Payment
) -> tuple[PaymentStatus, datetime | None]:
    found = says(subscription, *payments)
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
    Refunded in full, or lost in a dispute: the term is as if it had not been paid.
    """
    ended_at = NOON + 9 * DAY if status is S.CANCELED else None
    subscription = of(status, ended_at=ended_at)

    assert shown(subscription, back) == (expected, NOON)
    assert not says(subscription, back).entitled


@pytest.mark.parametrize("back", [REFUNDED, LOST], ids=["refunded", "lost"])
def test_a_grace_is_for_whoever_has_paid_before(back: Payment) -> None:
    """
    The first money of all went back: nothing was paid for that could run out.
    """
    policy = Policy(grace=3 * DAY)
    assert not standing([back], [of()], now=NOON + DAY, policy=policy).entitled


def test_money_that_went_back_takes_no_other_term_with_it() -> None:
    """
    A refund of the second month leaves the first, and the other way round.
    """
    second = a_term(starts_at=END, invoice="in_2")
    back = a_payment("ch_2", PaymentState.REFUNDED, at=END)
    old = a_payment("ch_0", PaymentState.REFUNDED, at=NOON)

    assert shown(of().paid(second), FIRST, back) == (P.REFUNDED, END)
    assert shown(of().paid(second), old)[1] == END + MONTH


@pytest.mark.parametrize("days", [-1, 15], ids=["before", "after"])
def test_money_that_went_back_outside_of_a_life_takes_none_of_its_terms(
    days: int,
) -> None:
    """
    It had bought a month of its own, and gives that one back.
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

    assert shown(of(status, ended_at=ended_at), back, tried)[1] == NOON


def test_a_term_that_was_given_back_stays_so_when_a_month_is_bought() -> None:
    """
    The month counts from its own payment, and brings nothing else back.
    """
    ended = of(S.CANCELED, ended_at=NOON + DAY)
    long = attrs.evolve(ended, last_paid_period=a_term(ends_at=NOON + 365 * DAY))
    month = a_payment("ch_month", at=NOON + 2 * DAY)

    assert shown(long, REFUNDED, month) == (P.PAID, months_after(NOON + 2 * DAY, 1))
