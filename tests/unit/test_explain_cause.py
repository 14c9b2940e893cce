"""The first cause if what was paid and what was reported do not agree."""

from datetime import timedelta

import attrs
import pytest

from contracts.examples import (
    ADA,
    CUS_1,
    MONTH,
    NOON,
    a_job,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    in_trial,
    of_invoice,
)
from payments_core.account_facts import AccountFacts
from payments_core.entitlement import PaymentStatus, replayed
from payments_core.explain.cause import first_cause
from payments_core.explanation import Cause, CauseCode
from payments_core.identity import CustomerId
from payments_core.payment import DisputeState, Payment, PaymentState
from payments_core.policy import Policy
from payments_core.subscription import PaidPeriod, Subscription
from payments_core.subscription import SubscriptionStatus as S

DAY = timedelta(days=1)
LATER = NOON + 10 * MONTH


def facts_of(
    *payments: Payment,
    subscriptions: tuple[Subscription, ...] = (),
    periods: tuple[PaidPeriod, ...] = (),
) -> AccountFacts:
    summary, standing = replayed(payments, subscriptions, periods)
    account = attrs.evolve(
        an_account(ADA, customer=CUS_1),
        summary=summary,
        subscriptions=tuple(standing),
    )
    return AccountFacts(
        account=account,
        payments=[a_record(it, owner=ADA) for it in reversed(payments)],
        periods=periods,
    )


def cause_of(facts: AccountFacts) -> Cause:
    verdict = facts.account.verdict
    return first_cause(facts, verdict, verdict.standing(LATER, Policy()))


def test_money_that_was_taken_for_what_nobody_knows() -> None:
    """
    Taken after everything that was paid; before its end it decides nothing.
    """
    own = a_subscription(owner=ADA, term=a_term())
    periods = (a_term(),)
    after = a_payment("ch_2", at=NOON + 2 * MONTH, customer=CUS_1)
    within = attrs.evolve(after, created_at=NOON)

    unknown = cause_of(facts_of(after, subscriptions=(own,), periods=periods))
    known = cause_of(facts_of(within, subscriptions=(own,), periods=periods))

    assert (unknown.code, unknown.objects) == (CauseCode.INVOICE_UNKNOWN, ("ch_2",))
    assert known.code is CauseCode.PERIOD_OVER


@pytest.mark.parametrize(
    ("subscription", "code"),
    [
        (a_subscription(a_report(status=S.PAUSED)), CauseCode.SUBSCRIPTION_PAUSED),
        (a_subscription(a_report(status=S.ACTIVE)), CauseCode.PERIOD_NOT_PAID),
        (
            a_subscription(a_report(status=S.CANCELED, ended_at=NOON)),
            CauseCode.SUBSCRIPTION_ENDED,
        ),
        (
            attrs.evolve(in_trial(S.CANCELED, ended_at=NOON), last_paid_period=None),
            CauseCode.TRIAL_ENDED,
        ),
        (
            a_subscription(a_report(status=S.INCOMPLETE_EXPIRED, ended_at=NOON)),
            CauseCode.FIRST_PAYMENT_EXPIRED,
        ),
    ],
)
def test_nothing_paid_is_the_subscriptions_own_state(
    subscription: Subscription, code: CauseCode
) -> None:
    """
    Its id, and when it began or ended.
    """
    cause = cause_of(facts_of(subscriptions=(subscription,)))

    assert cause == Cause(code=code, at=NOON, objects=("sub_1",))


def test_an_open_subscription_says_more_than_one_that_ended_since() -> None:
    """
    Though the other began later.
    """
    paused = a_subscription(a_report("sub_1", S.PAUSED))
    ended = a_subscription(a_report("sub_2", S.CANCELED, at=NOON + MONTH))

    cause = cause_of(facts_of(subscriptions=(paused, ended)))

    assert cause.objects == ("sub_1",)


def test_what_is_owed_is_explained_by_the_last_attempt() -> None:
    """
    Not by an attempt from before the paid period.
    """
    own = a_subscription(a_report(status=S.PAST_DUE), owner=ADA, term=a_term())
    old = a_payment("ch_1", PaymentState.FAILED, at=NOON - MONTH, customer=CUS_1)
    failed = attrs.evolve(
        of_invoice(a_payment("ch_2", PaymentState.FAILED, at=NOON + MONTH), "in_2"),
        failure_code="card_declined",
    )

    overdue = cause_of(facts_of(old, subscriptions=(own,), periods=(a_term(),)))
    declined = cause_of(
        facts_of(old, failed, subscriptions=(own,), periods=(a_term(),))
    )

    assert overdue.code is CauseCode.PAYMENT_OVERDUE
    assert declined == Cause(
        code=CauseCode.PAYMENT_DECLINED,
        at=NOON + MONTH,
        objects=("ch_2", "sub_1"),
        failure_code="card_declined",
    )


def test_a_job_that_waits_is_a_reason_to_know_nothing() -> None:
    """
    For a user of whom nothing else is known.
    """
    facts = attrs.evolve(facts_of(), jobs=[a_job("cus_1")])

    assert cause_of(facts) == Cause(code=CauseCode.SYNC_PENDING, objects=("cus_1",))


def test_a_decline_of_what_was_paid_since_explains_nothing() -> None:
    """
    Of the same invoice, or before a payment that succeeded.
    """
    own = a_subscription(a_report(status=S.PAST_DUE), owner=ADA, term=a_term())
    failed = of_invoice(a_payment("ch_1", PaymentState.FAILED, at=NOON + DAY))
    bare = a_payment("ch_1", PaymentState.FAILED, at=NOON + DAY, customer=CUS_1)
    paid = a_payment("ch_2", at=NOON + 2 * DAY, customer=CUS_1)

    of_it = cause_of(facts_of(failed, subscriptions=(own,), periods=(a_term(),)))
    before = cause_of(facts_of(bare, paid, subscriptions=(own,), periods=(a_term(),)))

    assert {of_it.code, before.code} == {CauseCode.PAYMENT_OVERDUE}


def test_months_are_explained_by_what_bought_them() -> None:
    """
    Not by a later payment that failed, nor by a refunded one.
    """
    bought = a_payment("ch_1", at=NOON)
    back = a_payment("ch_2", PaymentState.REFUNDED, at=NOON + DAY)
    facts = facts_of(bought, back)
    status = attrs.evolve(facts.account.verdict, payment_status=PaymentStatus.PAID)

    cause = first_cause(facts, status, status.standing(NOON, Policy()))

    assert (cause.code, cause.objects) == (CauseCode.PREPAID_MONTH, ("ch_1",))


def test_a_contradicted_dispute_is_a_contradiction() -> None:
    """
    It needs no answer before its state is known.
    """
    disputed = a_payment("ch_1", dispute=DisputeState.CONTRADICTED)

    assert cause_of(facts_of(disputed)).code is CauseCode.PAYMENT_CONTRADICTED


def test_another_customers_failure_ends_no_subscription() -> None:
    """
    Though it was in the life of a subscription that has ended since.
    """
    ended = a_subscription(a_report(status=S.CANCELED, ended_at=NOON + MONTH))
    other = CustomerId("cus_9")
    failed = a_payment("ch_1", PaymentState.FAILED, at=NOON + DAY, customer=other)

    cause = cause_of(facts_of(failed, subscriptions=(ended,)))

    assert cause.code is CauseCode.PAYMENT_DECLINED
