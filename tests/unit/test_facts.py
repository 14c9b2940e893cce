"""What each report of an event is a fact about."""

import pytest

from contracts.examples import CH_1, NOON, a_job_key, a_payment, a_report, a_term
from contracts.examples import an_event as event_with
from payments_core.events import QuarantineNeeded, Report, SyncNeeded
from payments_core.facts import (
    Fact,
    PaymentReported,
    PeriodPaid,
    SubscriptionObserved,
    facts_of,
)
from payments_core.job_key import JobKey, JobKind

CREATED = event_with().created_at


@pytest.mark.parametrize(
    ("report", "fact"),
    [
        (a_payment(), PaymentReported(a_payment())),
        (a_report(), SubscriptionObserved(report=a_report(), at=CREATED)),
        (a_term(), PeriodPaid(a_term())),
        (SyncNeeded(a_job_key(), "why"), SyncNeeded(job=a_job_key(), reason="why")),
        (
            SyncNeeded.of_payment(CH_1, "why"),
            SyncNeeded(job=JobKey(JobKind.PAYMENT, CH_1), reason="why"),
        ),
        (QuarantineNeeded("why"), QuarantineNeeded("why")),
    ],
    ids=["payment", "subscription", "period", "notice", "doubt", "kept apart"],
)
def test_a_report_is_one_fact(report: Report, fact: Fact) -> None:
    """
    It is recorded with its event; an unclear one requests a sync of the payment, if it
    has one.
    """
    event = event_with(report=report)
    source = facts_of(event)

    assert source.facts == (fact,)
    assert source.event is event


def test_an_event_that_reports_nothing_has_no_facts() -> None:
    """
    It is stored all the same.
    """
    source = facts_of(event_with())

    assert source.facts == ()
    assert source.event is not None


def test_what_has_a_sequence_was_fetched() -> None:
    """
    An event takes the number of the load that it is decided on.
    """
    reported = SubscriptionObserved(report=a_report(), at=NOON)
    fetched = SubscriptionObserved(report=a_report(), at=NOON, sequence=0)

    assert not reported.fetched
    assert fetched.fetched
