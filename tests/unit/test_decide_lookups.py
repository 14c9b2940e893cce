"""What a decision on facts needs, in one load."""

import attrs
import pytest

from contracts.examples import (
    ADA,
    CH_1,
    CUS_1,
    NOON,
    SUB_1,
    a_job_key,
    a_payment,
    a_report,
    a_term,
    an_event,
    an_intent,
    email_of,
)
from payments_core.changes import Lookup
from payments_core.decide.lookups import lookup_of
from payments_core.events import SyncNeeded
from payments_core.facts import (
    CardObserved,
    CustomerBound,
    Fact,
    LinkRequested,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SubscriptionObserved,
    UserRegistered,
    facts_of,
)
from payments_core.job_key import JobKind
from payments_core.linking import LinkKeys
from support.deciding import found

PAYMENT = a_payment(user=ADA, customer=CUS_1)
ADAS = LinkKeys(frozenset({ADA}))
BOUND = LinkKeys(frozenset({ADA}), frozenset({CUS_1}))
NAMED = LinkKeys(frozenset({ADA}), frozenset({CUS_1}), frozenset({email_of(ADA).key}))
OBSERVED = SubscriptionObserved(report=a_report(user=ADA), at=NOON)
REGISTERED = UserRegistered(user_id=ADA, email=email_of(ADA), customer_id=CUS_1)


@pytest.mark.parametrize(
    ("fact", "lookup"),
    [
        (PaymentReported(PAYMENT), Lookup(keys=BOUND, payments=frozenset({CH_1}))),
        (PaymentCorrected(PAYMENT, 1), Lookup(keys=BOUND, payments=frozenset({CH_1}))),
        (OBSERVED, Lookup(keys=BOUND, subscriptions=frozenset({SUB_1}))),
        (PeriodPaid(a_term()), Lookup(subscriptions=frozenset({SUB_1}))),
        (
            CardObserved(customer_id=CUS_1, card=None, sequence=1),
            Lookup(keys=LinkKeys(customer_ids=frozenset({CUS_1}))),
        ),
        (REGISTERED, Lookup(keys=NAMED, unlinked=NAMED, link_keys=NAMED)),
        (
            CustomerBound(user_id=ADA, customer_id=CUS_1, existed=True),
            Lookup(keys=BOUND, unlinked=BOUND, link_keys=BOUND),
        ),
        (LinkRequested(ADA), Lookup(keys=ADAS)),
        # Its owner may have been erased.
        (
            SyncNeeded(job=a_job_key(), reason="why"),
            Lookup(subscriptions=frozenset({SUB_1})),
        ),
        (
            SyncNeeded(job=a_job_key(CH_1, JobKind.PAYMENT), reason="why"),
            Lookup(payments=frozenset({CH_1})),
        ),
        (
            SyncNeeded(job=a_job_key(CUS_1, JobKind.CUSTOMER), reason="why"),
            Lookup(customers=frozenset({CUS_1})),
        ),
        (SyncNeeded(job=a_job_key("x", JobKind.SET_UP), reason="why"), Lookup()),
    ],
    ids=lambda it: type(it).__name__,
)
def test_each_fact_says_what_it_has_to_be_compared_with(
    fact: Fact, lookup: Lookup
) -> None:
    """
    A user who gets a key needs what is unlinked under it, and the versions of the keys.
    """
    assert lookup_of([found(fact)]) == lookup


def test_an_event_and_an_intent_are_looked_up_with_their_facts() -> None:
    """
    What an operation observes is most likely a replay, so its history is loaded.
    """
    event = an_event(report=PAYMENT)
    operation = attrs.evolve(found(OBSERVED), intent=an_intent())
    lookup = lookup_of([facts_of(event), operation])

    assert lookup.events == {event.key}
    assert lookup.intents == {an_intent().id}
    assert lookup.histories == {ADA}
    assert not lookup_of([attrs.evolve(found(), intent=an_intent())]).histories
