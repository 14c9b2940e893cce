"""Registrations and bindings: what an account links, and what it may not take."""

from typing import Final

import pytest

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    NOON,
    a_job_key,
    a_payment,
    a_report,
    a_subscription,
    an_account,
)
from payments_core.changes import Changes
from payments_core.facts import CustomerBound, UserRegistered
from payments_core.identity import CustomerId, UserId
from payments_core.job import Job, JobKind
from payments_core.payment import PaymentRecord
from support.deciding import Kept, found
from support.subscribed import CUS_9, only

UNLINKED: Final = (
    PaymentRecord(a_payment(CH_1, user=ADA)),
    a_subscription(a_report("sub_1")),
    a_subscription(a_report("sub_2", user=ADA, customer=CUS_2)),
    a_subscription(a_report("sub_3", user=ADA, customer=CUS_9)),
)


def adopted(kept: Kept, fact: UserRegistered | CustomerBound) -> Changes:
    """Return what a fact about Ada comes to, with the subscriptions that she has then.

    Its customer's holder, and the versions of all her keys, were loaded with it.
    """
    snapshot, decision = kept.load(found(fact))
    group = only(decision.groups)
    assert group.after is not None
    assert group.after.user_id == ADA
    assert CUS_9 in snapshot.lookup.keys.customer_ids
    linked = {it.gateway_id: it.user_id for it in group.subscriptions}
    assert linked == {"sub_1": ADA, "sub_3": ADA}
    assert [it.gateway_id for it in group.after.subscriptions] == [*linked]
    assert [record.user_id for record in group.payments] == [ADA]
    return group


def test_a_new_account_adopts_what_carries_its_keys() -> None:
    """
    What names two users, or is another's customer's, stays nobody's.
    """
    kept = Kept.of(an_account(BOB, customer=CUS_2), *UNLINKED)
    ada = an_account(ADA, customer=CUS_1)
    fact = UserRegistered(user_id=ADA, email=ada.email, customer_id=CUS_1)
    group = adopted(kept, fact)

    assert group.before is None
    assert set(group.link_versions) == {
        *("user ada", "customer cus_1", f"email {ada.email.key}")
    }


def test_a_customer_that_is_bound_brings_what_was_unlinked() -> None:
    """
    Bound by an operation as by a registration; what they have is asked for.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2), *UNLINKED)
    fact = CustomerBound(user_id=ADA, customer_id=CUS_1, existed=True)
    group = adopted(kept, fact)

    assert group.after is not None
    assert group.after.customer_id == CUS_1
    assert set(group.link_versions) == {"user ada", "customer cus_1"}
    key = a_job_key(CUS_1, JobKind.CUSTOMER)
    assert group.jobs == (Job.due(key, "bound to a user", NOON, ADA),)


def test_p21_what_anothers_customer_paid_is_not_adopted_by_its_email() -> None:
    """
    The customer's binding wins: it is not linked yet, and it is Bob's all the same.
    """
    ada = an_account(ADA)
    paid = a_payment(CH_1, customer=CUS_2, email=ada.email)
    kept = Kept.of(an_account(BOB, customer=CUS_2), PaymentRecord(paid))
    # Bob is loaded with it, because Ada's registration names what he has, too.
    theirs = CustomerBound(user_id=BOB, customer_id=CUS_2, existed=True)
    decision = kept.decide(
        found(UserRegistered(user_id=ADA, email=ada.email)), found(theirs)
    )

    taken = [
        (record.payment.id, record.user_id)
        for group in decision.groups
        if group.after is not None and group.after.user_id == ADA
        for record in group.payments
    ]
    assert taken == []


@pytest.mark.parametrize(
    ("user", "customer"), [(ADA, CUS_2), (BOB, CUS_1), (UserId("eve"), CUS_9)]
)
def test_p21_a_customer_that_cannot_be_bound_stays_where_it_is(
    user: UserId, customer: CustomerId
) -> None:
    """
    Another's customer, a second one of a user, and a user who is not there.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2))
    fact = CustomerBound(user_id=user, customer_id=customer, existed=True)
    group = only(kept.decide(found(fact)).groups)

    assert not group.changes_account
    assert not group.jobs
