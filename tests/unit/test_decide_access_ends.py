"""The decision when a time at which access ends has passed."""

from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, NOON, an_account
from payments_core.access import PREPAID_MONTHS, Grant
from payments_core.account import PaymentAccount
from payments_core.account_log import LoggedVerdict
from payments_core.changes import Changes, Snapshot
from payments_core.decide import access_end_job, decide, lookup_of
from payments_core.decide.access_ends import SLACK
from payments_core.entitlement import PaymentSummary, PrepaidMonths
from payments_core.events import EventState
from payments_core.facts import AccessEndDue, SourcedFacts
from payments_core.job import Job, JobState
from payments_core.months import months_after
from payments_core.now import Now
from payments_core.policy import Policy

DAY: Final = timedelta(days=1)
MOMENT: Final = timedelta(microseconds=1)
POLICY: Final = Policy(grace=DAY)
DATE: Final = months_after(NOON, 1)
END: Final = DATE + DAY
ACCOUNT: Final = attrs.evolve(
    an_account().with_summary(PaymentSummary(prepaid=PrepaidMonths(NOON, 1))),
    version=4,
)
# The clock of jobs is another clock.
JOB: Final = Job.due(access_end_job(ADA), "access ends", NOON, ADA).claimed(NOON)


def logged(account: PaymentAccount = ACCOUNT, *, at: datetime = NOON) -> LoggedVerdict:
    row = Changes(key="user ada", after=account, policy=POLICY).logged(at)
    assert row is not None
    return row


def decided(
    now: datetime,
    row: LoggedVerdict | None,
    *,
    account: PaymentAccount | None = ACCOUNT,
    version: int = 4,
    policy: Policy = POLICY,
) -> tuple[Changes, LoggedVerdict | None]:
    """Return what is saved, and the row of the log."""
    fact = AccessEndDue(user_id=ADA, version=version, logged=row)
    source = SourcedFacts(facts=(fact,), job=JOB)
    lookup = lookup_of([source])
    assert ADA in lookup.keys.user_ids
    accounts = [] if account is None else [account]
    snapshot = Snapshot(lookup=lookup, sequence=1, accounts=accounts)
    decision = decide(
        snapshot, [source], now=Now(at=now, system=NOON + DAY), policy=policy
    )
    [changes] = decision.groups
    return changes, changes.logged(now)


def after(changes: Changes) -> Job:
    [finish] = changes.finished
    return finish.after


@pytest.mark.parametrize("late", [timedelta(), 40 * DAY])
def test_an_end_that_passed_is_logged_with_the_jobs_end(late: timedelta) -> None:
    """
    By the account's present state; it names nothing as its source.
    """
    changes, row = decided(END + late, logged())

    expected = attrs.evolve(
        logged(), version=5, at=END + late, cause="access ended", sources=()
    )
    assert row == attrs.evolve(expected, ends_at=None)
    assert not row.standing(END + late).entitled
    assert after(changes).state is JobState.DONE


def test_an_end_that_is_to_come_is_waited_for() -> None:
    """
    By the clock of jobs, for as long as the end is away. Nothing else is saved.
    """
    for before in (MOMENT, SLACK):
        changes, row = decided(END - before, logged())
        assert (row, changes.changes_account) == (None, False)
        assert after(changes).state is JobState.OPEN
        assert after(changes).lease.due_at == NOON + DAY + before
        assert after(changes).lease.attempts == 0


def test_an_end_that_was_logged_meanwhile_is_known_by_itself() -> None:
    """
    A renewal: the job ends, because the sequencer knows the later end.
    """
    changes, row = decided(END - SLACK - MOMENT, logged())
    assert (row, changes.changes_account) == (None, False)
    assert after(changes).state is JobState.DONE


def test_the_end_of_one_product_is_told_by_its_name() -> None:
    """
    With the product's own days after the end; before that the job waits.
    """
    grants = tuple(
        Grant(name, None, DATE - days * DAY, True, PREPAID_MONTHS)  # noqa: FBT003  # as it is listed
        for name, days in [("first", 9), ("prepaid", 0)]
    )
    ends_at = DATE - 8 * DAY
    row = attrs.evolve(logged(), grants=grants, ends_at=ends_at)
    changes, told = decided(ends_at - SLACK, row)
    assert told is None
    assert after(changes).lease.due_at == NOON + DAY + SLACK
    changes, told = decided(ends_at, row)
    assert told is not None
    assert told.cause == "access to first ended"
    assert told.standing(ends_at).entitled
    assert after(changes).state is JobState.DONE


@pytest.mark.parametrize("days", [0, 6])
def test_the_end_that_was_logged_is_told_whatever_the_grace_is_by_now(
    days: int,
) -> None:
    """
    Also of one of two products: a reader that copied the row relies on it.
    """
    grants = tuple(
        Grant(name, None, date, True, PREPAID_MONTHS)  # noqa: FBT003  # as it is listed
        for name, date in [("first", DATE - 9 * DAY), ("prepaid", DATE)]
    )
    ends_at = DATE - 8 * DAY
    row = attrs.evolve(logged(), grants=grants, ends_at=ends_at)

    changes, told = decided(ends_at, row, policy=Policy(grace=days * DAY))

    assert told is not None
    assert told.entitled_until == DATE + days * DAY
    goes_on = "access continues: the grace changed"
    assert told.cause == (goes_on if days else "access to first ended")
    assert after(changes).state is JobState.DONE


def test_an_end_that_was_told_is_not_told_again() -> None:
    """
    Whether it was recorded by a row of its own, or by a change that took the access.
    """
    for row in (
        logged(at=END),
        attrs.evolve(logged(), entitled_until=None, grants=(), ends_at=None),
        attrs.evolve(logged(), entitled_until=NOON, grants=(), ends_at=None),
    ):
        changes, told = decided(END + DAY, row)
        assert (told, changes.changes_account) == (None, False)
        assert after(changes).state is JobState.DONE


def test_an_account_that_was_changed_meanwhile_is_looked_at_again() -> None:
    """
    The change may be logged, and may be a renewal.
    """
    changes, row = decided(END, logged(), version=3)
    assert (row, changes.changes_account) == (None, False)
    assert after(changes).state is JobState.OPEN
    assert after(changes).lease.due_at == NOON + DAY


def test_a_grace_that_is_longer_by_now_is_told() -> None:
    """
    The new end of access: a reader with a copy would otherwise deny access.
    """
    longer = Policy(grace=9 * DAY)
    _, row = decided(END, logged(), policy=longer)
    assert row is not None
    assert row.entitled_until == DATE + 9 * DAY == row.ends_at
    assert row.cause == "access continues: the grace changed"


def test_where_the_log_says_nothing_of_it_the_account_does() -> None:
    """
    Rows from before migration 0016: the end is recorded if it has passed, otherwise the
    job waits.
    """
    _, row = decided(END, None)
    assert row is not None
    changes, row = decided(DATE, None)
    assert row is None
    assert after(changes).lease.due_at == NOON + DAY + DAY
    changes, row = decided(END, None, account=attrs.evolve(an_account(), version=4))
    assert row is None
    assert after(changes).state is JobState.DONE


def test_of_who_was_erased_nothing_is_told() -> None:
    """
    The job ends.
    """
    changes, row = decided(END, logged(), account=None)
    assert row is None
    assert after(changes).state is JobState.DONE
    [finish] = changes.finished
    assert finish.outcome is not None
    assert finish.outcome.state is EventState.APPLIED
