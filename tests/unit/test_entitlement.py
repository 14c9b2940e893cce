"""Who has paid, with subscriptions. Without any: see `test_account`."""

from datetime import datetime, timedelta
from itertools import permutations
from typing import Final

import attrs
import pytest

from contracts.examples import (
    CUS_1,
    MONTH,
    NOON,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    in_trial,
    of_invoice,
)
from payments_core import (
    Payment,
    PaymentState,
    PaymentStatus,
    Policy,
    Standing,
    Subscription,
    SubscriptionStatus,
    standing,
)
from payments_core.entitlement import replayed, undecided
from payments_core.months import months_after
from payments_core.payment import DisputeState

S, P = SubscriptionStatus, PaymentStatus
DAY: Final = timedelta(days=1)
MOMENT: Final = timedelta(microseconds=1)
STRICT: Final = Policy(grace=timedelta(0))
LATER: Final = NOON + 10 * DAY
LIVING: Final = [s for s in S if s not in (S.CANCELED, S.INCOMPLETE_EXPIRED)]


def says(*facts: Payment | Subscription, now: datetime = LATER) -> Standing:
    """Return the entitlement, after checking that no order of the facts matters."""
    found = {
        standing(
            [fact for fact in order if isinstance(fact, Payment)],
            [fact for fact in order if isinstance(fact, Subscription)],
            now=now,
            policy=STRICT,
        )
        for order in permutations(facts)
    }
    (only,) = found
    return only


def shown(*facts: Payment | Subscription) -> tuple[PaymentStatus, datetime | None]:
    found = says(*facts)
    return found.payment_status, found.payment_expire_date


def of(
    status: SubscriptionStatus = S.ACTIVE,
    *,
    paid: bool = True,
    ended_at: datetime | None = None,
) -> Subscription:
    """Return a subscription that began at noon; its first month is paid, or not."""
    report = a_report(status=status, ended_at=ended_at)
    return a_subscription(report, term=a_term() if paid else None)


FIRST: Final = a_payment("ch_first", at=NOON)
FAILED: Final = a_payment("ch_failed", PaymentState.FAILED, at=NOON + 5 * DAY)
BEFORE: Final = a_payment("ch_before", at=NOON - DAY)
END: Final = NOON + MONTH


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (S.INCOMPLETE, P.PENDING),
        (S.TRIALING, P.TRIALING),
        (S.ACTIVE, P.PAID),
        (S.PAST_DUE, P.FAILED),
        (S.UNPAID, P.FAILED),
        (S.PAUSED, P.PAID),
        (S.CANCELED, P.PAID),
    ],
)
def test_each_status_shows_what_it_means_for_a_month_that_was_paid(
    status: SubscriptionStatus, expected: PaymentStatus
) -> None:
    """
    The month stays, whatever the status is: paid time is not taken away.
    """
    assert shown(of(status), FIRST) == (expected, END)
    assert shown(of(status)) == (expected, END)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (S.INCOMPLETE, P.PENDING),
        (S.INCOMPLETE_EXPIRED, P.NONE),
        (S.TRIALING, P.TRIALING),
        (S.ACTIVE, P.NONE),
        (S.PAST_DUE, P.FAILED),
        (S.UNPAID, P.FAILED),
        (S.PAUSED, P.NONE),
        (S.CANCELED, P.NONE),
    ],
)
def test_no_status_is_worth_anything_by_itself(
    status: SubscriptionStatus, expected: PaymentStatus
) -> None:
    """
    Not even `active`: what was not paid for and is no trial has no date.
    """
    assert shown(of(status, paid=False)) == (expected, None)


def test_of_several_subscriptions_the_one_that_needs_somebody_counts() -> None:
    """
    A debt takes precedence over an expected payment, that over a trial, and that over a
    paid one.
    """
    waiting = a_subscription(a_report("sub_2", S.INCOMPLETE))
    owing = a_subscription(a_report("sub_3", S.PAST_DUE))
    trying = a_subscription(a_report("sub_4", S.TRIALING))

    assert shown(of(), trying) == (P.TRIALING, END)
    assert shown(of(), trying, waiting) == (P.PENDING, END)
    assert shown(of(), trying, waiting, owing) == (P.FAILED, END)


def test_a_trial_is_free_and_nothing_is_paid() -> None:
    """
    Its end is the date; the invoice over zero is no payment. A payment, failure or
    refund from before it began does not matter in it.
    """
    assert shown(in_trial()) == (P.TRIALING, NOON + 14 * DAY)
    for state in (PaymentState.FAILED, PaymentState.REFUNDED):
        before = attrs.evolve(BEFORE, state=state)
        assert shown(in_trial(), before) == (P.TRIALING, NOON + 14 * DAY)


def test_a_trial_that_is_ended_early_ends_there() -> None:
    """
    The rest of it was not paid for.
    """
    ended = in_trial(S.CANCELED, ended_at=NOON + 3 * DAY)
    assert shown(ended) == (P.NONE, NOON + 3 * DAY)
    assert not says(ended).entitled


@pytest.mark.parametrize("status", [S.CANCELED, S.INCOMPLETE_EXPIRED])
@pytest.mark.parametrize("known", [True, False])
def test_p01_a_failed_payment_of_what_is_over_says_the_same_when_more_is_known(
    status: SubscriptionStatus,
    known: bool,  # noqa: FBT001  # a column
) -> None:
    """
    That its invoice was the subscription's makes it no less failed.
    """
    failed = attrs.evolve(
        a_payment(state=PaymentState.FAILED, at=NOON + DAY),
        invoice_known=known,
        invoice_id="in_9" if known else None,
        subscription_id="sub_1" if known else None,
    )
    over = of(status, ended_at=NOON + 2 * DAY)

    assert shown(over, failed)[0] is P.FAILED


@pytest.mark.parametrize("ended_at", [None, NOON + 9 * DAY])
@pytest.mark.parametrize("known", [True, False])
def test_p01_who_paid_for_an_upgrade_alone_has_paid_whatever_is_known_of_it(
    ended_at: datetime | None,
    known: bool,  # noqa: FBT001  # a column
) -> None:
    """
    No period was ever paid for, and money was taken within the life; it has no date.
    """
    status = S.CANCELED if ended_at else S.ACTIVE
    unpaid = of(status, paid=False, ended_at=ended_at)
    upgrade = a_payment("ch_upgrade", at=NOON + 5 * DAY, customer=CUS_1)
    if known:
        upgrade = of_invoice(upgrade, "in_upgrade")

    assert shown(unpaid, upgrade) == (P.PAID, None)


def test_once_a_period_was_paid_for_an_upgrade_says_nothing() -> None:
    """
    Its period's money was refunded, and that is what is shown.
    """
    back = of_invoice(attrs.evolve(FIRST, state=PaymentState.REFUNDED))
    upgrade = of_invoice(a_payment("ch_upgrade", at=NOON + 5 * DAY), "in_upgrade")

    assert shown(of(), back, upgrade)[0] is P.REFUNDED
    assert shown(of(S.CANCELED, ended_at=NOON + 9 * DAY), back, upgrade) == (
        P.REFUNDED,
        None,
    )


def test_a_trial_that_was_invoiced_is_no_period_that_was_paid_for() -> None:
    """
    Its invoice is over zero; an upgrade in the trial is all that was paid.
    """
    ended = in_trial(S.CANCELED, ended_at=NOON + 9 * DAY)
    free = attrs.evolve(
        a_term(), starts_at=NOON, ends_at=ended.report.trial_end or NOON
    )
    upgrade = of_invoice(a_payment("ch_up", at=NOON + DAY, customer=CUS_1), "in_up")
    summary, _ = replayed([upgrade], [ended], [free])

    assert summary.latest is not None
    assert summary.latest.status is P.PAID


DISPUTED: Final = attrs.evolve(of_invoice(FIRST), dispute=DisputeState.OPEN)


@pytest.mark.parametrize(
    ("subscription", "others", "asked"),
    [
        # All that is known of an ended life is that money was taken in it.
        (of(S.CANCELED, ended_at=NOON + 9 * DAY), [FAILED], True),
        (of(S.CANCELED, ended_at=NOON + 9 * DAY), [], False),
        # The period's own payment is known: it is sufficient.
        (of(S.CANCELED, ended_at=NOON + 9 * DAY), [of_invoice(FIRST)], False),
        # Of an open one the period is sufficient, or its payment differs.
        (of(), [FAILED], False),
        (of(), [of_invoice(FIRST)], False),
        (of(), [DISPUTED], True),
        # Nothing is charged for one that is paused after its trial.
        (in_trial(S.PAUSED), [], True),
        # The event of a first payment is still to come, or the trial is sufficient.
        (of(paid=False), [], False),
        (in_trial(), [], False),
    ],
    ids=[
        *["over, failed", "over", "over, known", "open, failed", "open, known"],
        *["open, disputed", "paused", "begun", "in a trial"],
    ],
)
def test_a_status_that_rests_on_what_is_not_known_is_asked_about(
    subscription: Subscription,
    others: list[Payment],
    asked: bool,  # noqa: FBT001  # a column
) -> None:
    """
    Money was taken, and it is not known for what: the period, or anything else?
    """
    taken = a_payment("ch_taken", at=NOON + 7 * DAY, customer=CUS_1)
    payments = [*others, taken]
    periods = [it for it in [subscription.last_paid_period] if it]
    summary, left = replayed(payments, [subscription], periods)

    wanted = taken if asked else None
    assert undecided(summary, payments, left, periods) == wanted


@pytest.mark.parametrize(
    ("status", "grace"),
    [
        # Its first payment is charged an hour after the trial.
        (S.TRIALING, True),
        (S.ACTIVE, True),
        (S.PAST_DUE, False),
        (S.UNPAID, False),
        (S.PAUSED, False),
        (S.CANCELED, False),
    ],
)
def test_p11_a_grace_after_a_trial_is_for_who_goes_on(
    status: SubscriptionStatus,
    grace: bool,  # noqa: FBT001  # a column
) -> None:
    """
    A user who left, or did not pay, gets the trial for free, and nothing more.
    """
    end = NOON + 14 * DAY
    ended_at = end if status is S.CANCELED else None
    trial = in_trial(status, ended_at=ended_at)
    paid = [a_payment(at=NOON - 60 * DAY)]

    def entitled(payments: list[Payment], now: datetime) -> bool:
        return standing(payments, [trial], now=now, policy=Policy()).entitled

    assert entitled([], end - MOMENT)
    assert entitled([], end) is entitled([], end + DAY) is grace
    assert entitled(paid, end + DAY)
    assert not entitled(paid, end + 3 * DAY)


def test_what_is_paid_after_a_trial_counts_from_then() -> None:
    """
    From the later of both: the trial's end, or the end of the paid period.
    """
    after = in_trial(S.ACTIVE).paid(a_term(starts_at=NOON + 14 * DAY))
    assert shown(after) == (P.PAID, NOON + 14 * DAY + MONTH)


@pytest.mark.parametrize("status", [S.ACTIVE, S.PAST_DUE, S.UNPAID, S.CANCELED])
def test_paid_through_is_the_paid_terms_end_and_not_the_periods(
    status: SubscriptionStatus,
) -> None:
    """
    The gateway moves the period forward before it is paid for.
    """
    moved_on = attrs.evolve(
        a_report(status=status), period_start=END, period_end=END + MONTH
    )
    expected = P.FAILED if status in {S.PAST_DUE, S.UNPAID} else P.PAID
    assert shown(a_subscription(moved_on, term=a_term()), FIRST) == (expected, END)


def test_a_first_payment_that_is_awaited_takes_nothing_from_what_was_paid() -> None:
    """
    The status is pending, the month that was bought before stays.
    """
    month = months_after(NOON - DAY, 1)
    assert shown(of(S.INCOMPLETE, paid=False), BEFORE) == (P.PENDING, month)


def test_a_cancellation_takes_no_paid_time() -> None:
    """
    Ended in the middle of a month, it is paid to the month's end, and not after.
    """
    ended = of(S.CANCELED, ended_at=NOON + 5 * DAY)

    assert shown(ended, FIRST) == (P.PAID, END)
    assert says(ended, FIRST, now=END - MOMENT).entitled
    assert not says(ended, FIRST, now=END).entitled


@pytest.mark.parametrize("grace", [timedelta(0), timedelta(days=3)])
def test_p20_a_paid_term_lets_in_until_just_before_its_end_and_the_grace(
    grace: timedelta,
) -> None:
    """
    The last moment is included, the end itself is not.
    """

    def entitled(now: datetime) -> bool:
        return standing([], [of()], now=now, policy=Policy(grace=grace)).entitled

    assert entitled(END + grace - MOMENT)
    assert not entitled(END + grace)


@pytest.mark.parametrize("status", [*LIVING, S.CANCELED])
def test_a_payment_within_a_life_buys_no_month(status: SubscriptionStatus) -> None:
    """
    Only the subscription says what it paid for.
    """
    ended_at = NOON + 9 * DAY if status is S.CANCELED else None
    subscription = of(status, paid=False, ended_at=ended_at)
    assert shown(subscription, FIRST)[1] is None


@pytest.mark.parametrize(
    "subscription",
    [
        of(S.CANCELED, paid=False, ended_at=NOON - DAY),
        of(S.INCOMPLETE_EXPIRED, paid=False),
        a_subscription(a_report(at=NOON + MOMENT)),
    ],
    ids=["after its end", "never lived", "before its beginning"],
)
def test_a_payment_outside_of_any_life_buys_a_month(subscription: Subscription) -> None:
    """
    As if there were no subscription.
    """
    assert shown(subscription, FIRST) == (P.PAID, months_after(NOON, 1))


@pytest.mark.parametrize(
    "state", [PaymentState.FAILED, PaymentState.PENDING, PaymentState.CONTRADICTED]
)
def test_within_a_living_life_only_the_subscription_says_that_one_failed(
    state: PaymentState,
) -> None:
    """
    A failed attempt alone decides nothing; the next one may succeed.
    """
    tried = attrs.evolve(FAILED, state=state)
    assert shown(of(), FIRST, tried) == (P.PAID, END)
    assert shown(of(S.PAST_DUE), FIRST, tried) == (P.FAILED, END)


def test_once_its_subscription_has_ended_a_failure_shows() -> None:
    """
    Nothing else can report it any longer.
    """
    ended = of(S.CANCELED, ended_at=NOON + 9 * DAY)
    assert shown(ended, FIRST, FAILED) == (P.FAILED, END)


def test_the_date_is_the_latest_of_all() -> None:
    """
    Of bought months, of paid periods and of free time.
    """
    month = months_after(NOON - DAY, 1)
    assert shown(of(), BEFORE)[1] == max(END, month)
    assert shown(in_trial(), BEFORE)[1] == month
    short = a_subscription(term=a_term(ends_at=NOON + DAY))
    assert shown(short, in_trial(), BEFORE)[1] == month
    assert shown(short, in_trial())[1] == NOON + 14 * DAY


def test_an_end_without_grace_lets_nobody_in_at_its_very_moment() -> None:
    """
    The first period was paid and refunded: nothing was ever paid, and there is no end,
    and no grace after it.
    """
    given_back = of_invoice(a_payment("ch_back", PaymentState.REFUNDED, at=NOON))
    subscription = a_subscription(term=a_term())
    for moment in (NOON, NOON + timedelta(microseconds=1)):
        shown_then = standing([given_back], [subscription], now=moment, policy=Policy())
        assert not shown_then.entitled
        assert shown_then.payment_expire_date is None
