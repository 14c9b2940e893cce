"""Registrations and bindings: what an account links, and what it may not take."""

from datetime import timedelta
from typing import Final

import attrs
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
    email_of,
)
from payments_core.by_hand import ByHand
from payments_core.card import Card
from payments_core.changes import Changes
from payments_core.errors import CustomerTaken
from payments_core.facts import (
    CardObserved,
    CustomerBound,
    CustomerDeleted,
    LinkRequested,
    PaymentReported,
    UserRegistered,
)
from payments_core.identity import CustomerId, Email, UserId
from payments_core.job import Job
from payments_core.job_key import JobKind
from payments_core.now import Now
from payments_core.payment import PaymentId, PaymentRecord
from support.deciding import Kept, found
from support.subscribed import CUS_9, only

HOUR: Final = timedelta(hours=1)
UNLINKED: Final = (
    PaymentRecord(a_payment(CH_1, user=ADA)),
    a_subscription(a_report("sub_1")),
    a_subscription(a_report("sub_2", user=ADA, customer=CUS_2)),
    a_subscription(a_report("sub_3", user=ADA, customer=CUS_9)),
)


def adopted(kept: Kept, fact: UserRegistered | CustomerBound) -> Changes:
    """Return the result of a fact about Ada, with her subscriptions at that time.

    Her customer's holder, and the versions of all her keys, were loaded with it.
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
    What names two users, or has another's customer, stays unlinked.
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
    Whether an operation or a registration binds it; what the customer has is synced.
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
    The customer's binding takes precedence: it is not linked yet, and is Bob's all the
    same.
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
    A customer of another user, a second customer of a user, and a user who does not
    exist.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2))
    fact = CustomerBound(user_id=user, customer_id=customer, existed=True)
    group = only(kept.decide(found(fact)).groups)

    assert not group.changes_account
    assert not group.jobs


def registered(user: str, address: str) -> UserRegistered:
    return UserRegistered(user_id=UserId(user), email=Email.of(address))


def owner_in(kept: Kept, id_: str) -> str | None:
    return kept.database.tables.payments[PaymentId(id_)].user_id


@pytest.mark.parametrize(
    ("hours", "owner"), [(-1, ADA), (0, ADA), (1.5, None), (2, BOB), (3, BOB)]
)
def test_t69_a_late_payment_is_whose_the_email_was(
    hours: float, owner: str | None
) -> None:
    """
    Ada has the address from noon and gives it up an hour later, and Bob has it from two
    o'clock on; both times a payment from before their time is found at once.
    """
    kept = Kept()
    for user, address, hour in (
        (ADA, "shared@a.b", 0),
        (ADA, "own@a.b", 1),
        (BOB, "shared@a.b", 2),
    ):
        at = NOON + hour * HOUR
        later = attrs.evolve(kept, now=Now(at=at, system=at))
        later.record(found(registered(user, address)))
    at = (NOON + hours * HOUR).replace(microsecond=0)
    payment = a_payment(CH_1, at=at, email=Email.of("shared@a.b"))

    kept.record(found(PaymentReported(payment)))

    assert owner_in(kept, CH_1) == owner


def test_t69_an_account_adopts_what_was_paid_in_its_time() -> None:
    """
    Also by a former e-mail; and nothing of the next holder's.
    """
    kept = Kept.of(an_account(ADA), PaymentRecord(a_payment(CH_1, email=email_of(ADA))))
    after = NOON + HOUR
    later = attrs.evolve(kept, now=Now(at=after, system=after))
    later.record(found(registered(ADA, "own@a.b")))
    late = a_payment("ch_2", at=after + HOUR, email=email_of(ADA))
    kept.database.tables.put_payment(PaymentRecord(late, version=1))

    later.record(found(LinkRequested(ADA)))

    assert owner_in(kept, CH_1) == ADA
    assert owner_in(kept, "ch_2") is None
    later.record(found(registered(BOB, email_of(ADA).text)))
    later.record(found(LinkRequested(BOB)))
    assert owner_in(kept, CH_1) == ADA
    assert owner_in(kept, "ch_2") == BOB


def test_another_spelling_of_an_email_is_no_change_of_hands() -> None:
    """
    The shown spelling changes; no former key is noted.
    """
    kept = Kept.of(an_account(ADA))
    upper = email_of(ADA).text.upper()

    group = only(kept.decide(found(registered(ADA, upper))).groups)

    assert group.after is not None
    assert group.after.email.text == upper
    assert group.after.email_since is None
    assert not group.former_keys


CARD: Final = Card(id="pm_1", brand="visa", last4="4242", exp_month=1, exp_year=2040)


def test_a_deleted_customer_is_let_go() -> None:
    """
    With its card; a repeated deletion, or another customer's, changes nothing.
    """
    ada = attrs.evolve(an_account(ADA, customer=CUS_1), card=CARD, card_sequence=3)
    kept = Kept.of(ada)
    kept.record(found(CustomerDeleted(CUS_1)))
    after = kept.database.tables.accounts[ADA]
    assert (after.customer_id, after.card) == (None, None)

    kept.record(found(CardObserved(customer_id=CUS_1, card=CARD, sequence=99)))
    for customer in (CUS_1, CUS_9):
        assert not any(
            it.changes_account
            for it in kept.decide(found(CustomerDeleted(customer))).groups
        )
    bound = CustomerBound(user_id=ADA, customer_id=CUS_2, existed=False)
    kept.record(found(bound))
    kept.record(found(CustomerDeleted(CUS_1)))
    again = kept.database.tables.accounts[ADA]
    assert (again.customer_id, again.card) == (CUS_2, None)


def test_what_is_reported_late_of_a_deleted_customer_is_its_users() -> None:
    """
    If metadata names another user, it has no owner.
    """
    kept = Kept.of(an_account(ADA, customer=CUS_1), an_account(BOB))
    kept.record(found(CustomerDeleted(CUS_1)))

    late = a_payment(CH_1, customer=CUS_1, email=email_of(BOB))
    kept.record(found(PaymentReported(late)))
    bobs = a_payment("ch_2", customer=CUS_1, user=BOB)
    kept.record(found(PaymentReported(bobs)))

    assert owner_in(kept, CH_1) == ADA
    assert PaymentId("ch_2") not in kept.database.tables.payments
    refused = kept.decide(
        found(UserRegistered(user_id=BOB, email=email_of(BOB), customer_id=CUS_1))
    )
    assert isinstance(refused.decided[0].refusal, CustomerTaken)


def test_only_what_the_other_customer_has_keeps_its_place() -> None:
    """
    A third user's subscription, linked by its metadata, does not matter.
    """
    ada = an_account(ADA, customer=CUS_1)
    of_third = a_subscription(a_report(user=ADA, customer=CUS_9), owner=ADA)
    kept = Kept.of(ada, of_third)
    why = ByHand(by="root", reason="typed wrongly")
    fact = UserRegistered(user_id=ADA, email=ada.email, customer_id=CUS_2, by_hand=why)

    (answer,) = kept.record(found(fact)).decided

    assert answer.refusal is None
    assert kept.database.tables.accounts[ADA].customer_id == CUS_2
