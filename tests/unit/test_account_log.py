"""The log of verdicts: what a row says of the moments after it."""

from datetime import datetime, timedelta

import attrs
import pytest

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
from payments_core.access import PREPAID_MONTHS, Grant
from payments_core.account import PaymentAccount
from payments_core.account_log import LoggedVerdict
from payments_core.changes import Changes
from payments_core.entitlement import PaymentSummary
from payments_core.policy import Policy
from payments_core.subscription import SubscriptionStatus as S

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
    At any moment: before the date, at it, in the grace, at its end, and after it.
    """
    row, date = logged(account), account.payment_expire_date or NOON
    assert row is not None

    moment = timedelta(microseconds=1)
    for around in (NOON, date, date + GRACE):
        for now in (around - moment, around, around + moment):
            assert row.standing(now) == account.standing(now=now, policy=POLICY)


def test_a_grace_that_is_lost_is_logged() -> None:
    """
    Status and date stay: what reached to the date has been given up, and access ends
    with it.
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


@pytest.mark.parametrize(
    ("until", "ends_at"),
    [
        (None, None),
        (NOON - GRACE, None),
        (NOON, None),
        (NOON + GRACE, NOON + GRACE),
    ],
    ids=["none", "over", "now", "later"],
)
def test_access_ends_only_where_there_is_some(
    until: datetime | None, ends_at: datetime | None
) -> None:
    """
    What was over when it became known does not end any more.
    """
    row = logged(an_account(ADA))
    assert row is not None
    changed = attrs.evolve(row, entitled_until=until)
    assert changed.may_end_at == changed.next_end(POLICY) == ends_at


def test_access_to_one_product_may_end_before_the_others() -> None:
    """
    By its own grace; where that is not asked for, rather too early.
    """
    day = timedelta(days=1)
    grants = tuple(
        Grant(name, None, NOON + number * day, True, PREPAID_MONTHS)  # noqa: FBT003  # as it is listed
        for number, name in [(1, "first"), (9, "last")]
    )
    row = logged(an_account(ADA))
    assert row is not None
    row = attrs.evolve(row, entitled_until=NOON + 9 * day + GRACE, grants=grants)

    assert row.may_end_at == NOON + day
    assert row.next_end(POLICY) == NOON + day + GRACE
    later = attrs.evolve(row, at=NOON + day + GRACE)
    assert later.may_end_at == later.next_end(POLICY) == NOON + 9 * day + GRACE


def test_a_verdict_that_stays_is_logged_once_time_has_passed() -> None:
    """
    Only where that is to be told.
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
