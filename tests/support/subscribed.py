"""Subscriptions that are stored, fetched, and decided."""

from collections.abc import Sequence
from typing import Final

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    CUS_2,
    NOON,
    a_report,
    a_subscription,
    a_term,
    an_account,
)
from payments_core.changes import Changes
from payments_core.decide import QUARANTINE_REASON
from payments_core.events import EventState, Outcome
from payments_core.facts import (
    SubscriptionObserved,
)
from payments_core.identity import CustomerId
from payments_core.payment import PaymentState
from payments_core.subscription import (
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)
from support.deciding import Kept

S, P = SubscriptionStatus, PaymentState
TWO_BOUND: Final = (an_account(ADA, customer=CUS_1), an_account(BOB, customer=CUS_2))
CUS_9: Final = CustomerId("cus_9")
QUARANTINED: Final = Outcome(EventState.QUARANTINED, QUARANTINE_REASON)


def fetched(report: SubscriptionReport, sequence: int = 2) -> SubscriptionObserved:
    return SubscriptionObserved(report=report, at=NOON, sequence=sequence)


def paid_for(status: SubscriptionStatus = S.ACTIVE) -> Subscription:
    return a_subscription(a_report(status=status), owner=ADA, term=a_term())


def kept_with(*subscriptions: Subscription) -> Kept:
    """Store these, and Ada's account, whose customer is bound."""
    return Kept.of(an_account(customer=CUS_1), *subscriptions)


def only(groups: Sequence[Changes]) -> Changes:
    (group,) = groups
    return group
