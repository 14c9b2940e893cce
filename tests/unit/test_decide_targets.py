"""To which group a fact belongs: one object is in one group."""

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    CUS_2,
    NOON,
    a_job,
    a_job_key,
    a_payment,
    a_report,
    a_term,
    an_account,
    an_intent,
    email_of,
)
from payments_core.changes import Lookup, Snapshot
from payments_core.decide.known import Known
from payments_core.decide.targets import Targets
from payments_core.events import CardChange, CardReported, SyncNeeded
from payments_core.facts import (
    CardObserved,
    CustomerBound,
    LinkRequested,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.identity import CustomerId, UserId
from payments_core.payment import PaymentRecord
from payments_core.policy import Policy
from support.deciding import found, reported

CUS_9 = CustomerId("cus_9")
ADAS = ("user ada", ADA)
BOBS = ("user bob", BOB)


def a_card(customer: CustomerId) -> CardReported:
    return CardReported(
        customer_id=customer, change=CardChange.DEFAULT, card_id="pm_1", reason="told"
    )


def targets_of(
    *sources: SourcedFacts, payments: tuple[PaymentRecord, ...] = ()
) -> list[tuple[str, UserId | None]]:
    """Return the group of each source; both users' customers are bound."""
    accounts = (an_account(ADA, customer=CUS_1), an_account(BOB, customer=CUS_2))
    snapshot = Snapshot(
        lookup=Lookup(), sequence=1, accounts=accounts, payments=payments
    )
    targets = Targets(Known.of(snapshot, Policy()), sources)
    return [targets.of(source) for source in sources]


@pytest.mark.parametrize(
    ("source", "group"),
    [
        (found(PaymentReported(a_payment(customer=CUS_2))), BOBS),
        (found(PaymentReported(a_payment())), ("payment ch_1", None)),
        (found(SubscriptionObserved(report=a_report(), at=NOON)), ADAS),
        (
            found(SubscriptionObserved(report=a_report(customer=CUS_9), at=NOON)),
            ("subscription sub_1", None),
        ),
        (found(CardObserved(customer_id=CUS_2, card=None, sequence=1)), BOBS),
        (
            found(CardObserved(customer_id=CUS_9, card=None, sequence=1)),
            ("customer cus_9", None),
        ),
        (found(a_card(CUS_2)), BOBS),
        (found(a_card(CUS_9)), ("customer cus_9", None)),
        (found(UserRegistered(user_id=ADA, email=email_of(ADA))), ADAS),
        (found(CustomerBound(user_id=ADA, customer_id=CUS_2, existed=False)), ADAS),
        (found(LinkRequested(ADA)), ADAS),
        (found(SyncNeeded(job=a_job_key(), reason="why")), ("syncs", None)),
        (attrs.evolve(found(), job=a_job()), ("job subscription sub_1", None)),
        (reported(1, None), ("event evt_1 charge.succeeded", None)),
        (
            attrs.evolve(
                found(PaymentReported(a_payment(user=BOB))), intent=an_intent()
            ),
            ADAS,
        ),
    ],
)
def test_a_source_belongs_to_its_owner_or_is_by_itself(
    source: SourcedFacts, group: tuple[str, UserId | None]
) -> None:
    """
    The result of an operation is in the group of its user, whatever it is about.
    """
    assert targets_of(source) == [group]


def test_reports_of_one_payment_are_joined_before_its_owner_is_looked_for() -> None:
    """
    The second names the user, the first does not: both are in the user's group.
    """
    bare, named = reported(1, a_payment()), reported(2, a_payment(user=ADA))

    assert targets_of(bare, named) == [ADAS, ADAS]
    assert targets_of(named, bare) == [ADAS, ADAS]


def test_a_period_follows_its_subscription() -> None:
    """
    It names no customer; the report next to it does.
    """
    paid = found(PeriodPaid(a_term()))
    observed = found(SubscriptionObserved(report=a_report(), at=NOON))

    assert targets_of(paid, observed) == [ADAS, ADAS]
    assert targets_of(paid) == [("subscription sub_1", None)]


def test_a_linked_payment_stays_with_its_account_whatever_a_report_says() -> None:
    """
    The decision is made there, and it is quarantined there.
    """
    record = PaymentRecord(a_payment(user=ADA), ADA, version=1)
    forged = reported(1, a_payment(user=BOB, customer=CUS_2))

    assert targets_of(forged, payments=(record,)) == [ADAS]
