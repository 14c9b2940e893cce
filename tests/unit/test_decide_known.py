"""A snapshot by its keys: the owner of a thing, and the holder of an intent."""

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    CUS_2,
    a_payment,
    a_subscription,
    an_account,
    an_intent,
    email_of,
)
from payments_core.changes import Lookup, Snapshot
from payments_core.decide.known import Known
from payments_core.identity import CustomerId, UserId
from payments_core.intent import Intent
from payments_core.linking import OwnershipConflict
from payments_core.payment import Payment
from payments_core.policy import Policy


def known(*intents: Intent) -> Known:
    accounts = (an_account(ADA, customer=CUS_1), an_account(BOB, customer=CUS_2))
    return Known.of(
        Snapshot(lookup=Lookup(), sequence=1, accounts=accounts, intents=intents),
        Policy(),
    )


@pytest.mark.parametrize(
    ("payment", "owner"),
    [
        (a_payment(user=ADA), ADA),
        (a_payment(user=ADA, customer=CUS_1), ADA),
        (a_payment(user=ADA, customer=CUS_2), OwnershipConflict()),
        (a_payment(user="eve", customer=CUS_2), OwnershipConflict()),
        (a_payment(user="eve"), None),
        (a_payment(customer=CUS_2, email=email_of(ADA)), BOB),
        (a_payment(customer=CustomerId("cus_9"), email=email_of(ADA)), ADA),
        (a_payment(email=email_of("eve")), None),
    ],
)
def test_a_binding_and_metadata_that_disagree_are_a_conflict(
    payment: Payment, owner: UserId | OwnershipConflict | None
) -> None:
    """
    Otherwise the metadata counts, then the customer, then the e-mail.
    """
    assert known().owner_of(payment) == owner


def test_a_subscription_is_known_by_itself_and_by_its_account() -> None:
    """
    The subscription loaded by itself takes precedence: it is no older.
    """
    account = attrs.evolve(
        an_account(ADA), subscriptions=(a_subscription(owner=ADA, sequence=1),)
    )
    own = a_subscription(owner=ADA, sequence=2)
    of_account = Snapshot(lookup=Lookup(), sequence=1, accounts=(account,))

    assert Known.of(of_account, Policy()).subscriptions["sub_1"].sequence == 1
    both = attrs.evolve(of_account, subscriptions=(own,))
    assert Known.of(both, Policy()).subscriptions["sub_1"] is own


def test_an_intent_is_ours_to_save_while_its_version_is_the_same() -> None:
    """
    Another version written by us is a save whose reply was lost; any other means that
    it is lost.
    """
    ours = attrs.evolve(an_intent(), version=3, writer="us")
    saved = attrs.evolve(ours, version=4)
    taken = attrs.evolve(saved, writer="them")

    assert known(ours).claim_on(ours) is None
    lost_reply = known(saved).claim_on(ours)
    assert lost_reply is not None
    assert lost_reply.duplicate
    for others in ((taken,), ()):
        lost = known(*others).claim_on(ours)
        assert lost is not None
        assert lost.lease_lost
