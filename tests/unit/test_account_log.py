"""The log of verdicts: what a row says of the times after it."""

from datetime import timedelta
from typing import Final

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.examples import (
    ADA,
    NOON,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
    in_trial,
)
from payments_core.account import PaymentAccount
from payments_core.account_log import LoggedVerdict
from payments_core.catalogue import Catalogue, CatalogueProduct
from payments_core.changes import Changes
from payments_core.entitlement import PaymentSummary, PrepaidMonths
from payments_core.months import months_after
from payments_core.policy import Policy
from payments_core.subscription import SubscriptionStatus as S

DAY: Final = timedelta(days=1)
GRACE = timedelta(days=2)
POLICY = Policy(grace=GRACE)


def logged(
    after: PaymentAccount, before: PaymentAccount | None = None
) -> LoggedVerdict | None:
    return Changes(key="user ada", before=before, after=after, policy=POLICY).logged(
        NOON
    )


@pytest.mark.parametrize(
    "account",
    [
        an_account(ADA),
        an_account(ADA).with_summary(PaymentSummary.replay([a_payment(at=NOON)])),
        an_account(ADA).with_subscription(in_trial()),
        an_account(ADA).with_subscription(in_trial(S.CANCELED, ended_at=NOON)),
        an_account(ADA).with_subscription(a_subscription(owner=ADA, term=a_term())),
    ],
    ids=["nothing", "a month", "a trial", "a trial that ended", "a period"],
)
def test_a_row_rolls_forward_as_the_account_does(account: PaymentAccount) -> None:
    """
    At any time: before the date, at it, in the grace, at its end, and after it.
    """
    row, date = logged(account), account.payment_expire_date or NOON
    assert row is not None

    moment = timedelta(microseconds=1)
    for around in (NOON, date, date + GRACE):
        for now in (around - moment, around, around + moment):
            assert row.standing(now) == account.standing(now=now, policy=POLICY)


def test_a_grace_that_is_lost_is_logged() -> None:
    """
    Status and date stay: the payment that reached to the date was given up, and access
    ends with it.
    """
    trial, end = in_trial(), NOON + timedelta(days=14)
    waits = attrs.evolve(trial, report=a_report(status=S.ACTIVE))
    waits = attrs.evolve(
        waits,
        report=attrs.evolve(waits.report, trial_start=NOON, trial_end=end),
    )
    gone = attrs.evolve(
        waits, report=attrs.evolve(waits.report, status=S.CANCELED, ended_at=end)
    )
    before = an_account(ADA).with_subscription(waits)
    after = an_account(ADA).with_subscription(gone).saved_as(1)
    assert before.payment_status is after.payment_status
    assert before.payment_expire_date == after.payment_expire_date == end

    row = logged(after, before)

    assert row is not None
    assert row.entitled_until == end
    assert before.verdict.entitled_until(POLICY) == end + GRACE


def prepaid(months: int) -> PaymentAccount:
    summary = PaymentSummary(prepaid=PrepaidMonths(NOON, months))
    return attrs.evolve(an_account(ADA), summary=summary)


def test_access_ends_only_where_there_is_some() -> None:
    """
    Access that was over when it became known does not end again.
    """
    date = months_after(NOON, 1)
    for account, at, ends_at in (
        (an_account(ADA), NOON, None),
        (prepaid(1), NOON, date + GRACE),
        (prepaid(1), date, date + GRACE),
        (prepaid(1), date + GRACE, None),
    ):
        changes = Changes(key="user ada", after=account, policy=POLICY)
        row = changes.logged(at)
        assert row is not None
        assert row.ends_at == ends_at


DAYS: Final = st.integers(0, 12).map(lambda it: timedelta(days=it))


@given(
    st.lists(st.tuples(DAYS, DAYS), min_size=1, max_size=3),
    DAYS,
    DAYS,
)
@example([(10 * DAY, 12 * DAY), (12 * DAY, 0 * DAY)], 3 * DAY, 11 * DAY)
@example([(10 * DAY, 3 * DAY), (12 * DAY, 3 * DAY)], 3 * DAY, 11 * DAY)
def test_the_first_end_is_known_whatever_grace_each_has(
    bought: list[tuple[timedelta, timedelta]],
    grace: timedelta,
    at: timedelta,
) -> None:
    """
    No access ends between a row and the time that it names, also if the days after the
    end of one product are longer than everything paid of another.
    """
    products = [
        CatalogueProduct(product=f"prod_{number}", days_after_end=days.days)
        for number, (_, days) in enumerate(bought)
    ]
    policy = Policy(grace=grace, catalogue=Catalogue.of(products))
    account = an_account(ADA)
    for number, (paid, _) in enumerate(bought):
        id_ = f"sub_{number}"
        report = attrs.evolve(a_report(id_), product=f"prod_{number}")
        term = a_term(id_, starts_at=NOON - DAY, ends_at=NOON + paid)
        sold = a_subscription(report, owner=ADA, term=term)
        account = account.with_subscription(sold)
    row = Changes(key="user ada", after=account, policy=policy).logged(NOON + at)

    assert row is not None
    ends = [it.until(policy) for it in account.verdict.grants]
    assert row.ends_at == min((it for it in ends if it > NOON + at), default=None)


def test_a_verdict_that_stays_is_logged_once_time_has_passed() -> None:
    """
    Only on request.
    """
    before = an_account(ADA).with_summary(PaymentSummary.replay([a_payment(at=NOON)]))
    after = before.saved_as(1)
    assert logged(after, before) is None
    told = Changes(
        key="user ada", before=before, after=after, logs_anyway=True, cause="ended"
    )
    row = told.logged(NOON)
    assert row is not None
    assert row.cause == "ended"


def test_a_row_names_what_the_verdict_rests_on() -> None:
    """
    The subscription that gives the status, and the invoice that reaches to the date.
    """
    own = a_subscription(a_report(status=S.PAST_DUE), owner=ADA, term=a_term())
    row = logged(an_account(ADA).with_subscription(own))

    assert row is not None
    assert (row.status_by, row.date_by) == ("subscription sub_1", "invoice in_1")
    assert row.cause == "changed"
