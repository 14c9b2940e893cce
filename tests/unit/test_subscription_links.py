"""The owner of a subscription, decided by hand: it takes precedence over all facts."""

from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CUS_2,
    MONTH,
    NOON,
    a_job_key,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
)
from payments_adapters.memory import MemoryAuditLog
from payments_core.by_hand import ActionByHand, ByHand
from payments_core.entitlement import PaymentStatus
from payments_core.errors import (
    AccountNotFound,
    Rejected,
    SubscriptionLinked,
    SubscriptionNotFound,
)
from payments_core.facts import (
    LinkRequested,
    PaymentReported,
    PeriodPaid,
    SubscriptionLinkDecided,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.identity import UserId
from payments_core.subscription import Subscription, SubscriptionStatus
from payments_core.use_cases.subscription_links import LinkSubscription
from support.deciding import Kept, found
from support.deployment import admin
from support.reconciling import GOOD, told
from support.subscribed import only

SUB: Final = "sub_1"
WHY: Final = ByHand(by="root", reason="said so on the phone")
# Its metadata name ada, and its customer is bob's.
OF_TWO: Final = a_report(user=ADA, customer=CUS_2)


def decided(user: str | None, **more: Any) -> SubscriptionLinkDecided:
    return SubscriptionLinkDecided(
        gateway_id=SUB, user_id=UserId(user) if user else None, by_hand=WHY, **more
    )


def observed(seconds: int = 60, **changes: Any) -> SubscriptionObserved:
    """Return what was fetched so much later."""
    report = attrs.evolve(OF_TWO, **changes)
    at = NOON + timedelta(seconds=seconds)
    return SubscriptionObserved(report=report, at=at, sequence=10**6 + seconds)


def two_users(*subscriptions: Subscription) -> Kept:
    return Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2), *subscriptions)


def in_(kept: Kept) -> Subscription:
    return kept.database.tables.subscriptions[SUB]


def account(kept: Kept, user: UserId = ADA) -> Any:
    tables = kept.database.tables
    return tables.whole(tables.accounts[user])


def test_a_subscription_in_conflict_is_linked_as_it_was_fetched() -> None:
    """
    A sync fetches what was paid for it; from then on it is the user's.
    """
    kept = two_users()
    kept.record(found(observed()))
    assert SUB not in kept.database.tables.subscriptions

    (group,) = kept.record(found(decided(ADA, observed=observed()))).groups

    assert (in_(kept).user_id, in_(kept).linked_by_hand) == (ADA, True)
    assert in_(kept).report == OF_TWO
    assert a_job_key() in {it.key for it in group.jobs}
    kept.record(found(observed(120), PeriodPaid(a_term())))
    assert account(kept).payment_expire_date == NOON + MONTH
    assert not account(kept, BOB).subscriptions


def test_a_subscription_is_linked_by_hand_and_taken_back() -> None:
    """
    With all that was paid for it, as if it had never been that user's; each act is
    logged.
    """
    kept = two_users(
        a_subscription(a_report(customer=CUS_2, user="gone"), term=a_term())
    )
    kept.database.tables.put_period(a_term())
    before = account(kept).verdict

    kept.record(found(decided(ADA)))
    assert account(kept).payment_expire_date == NOON + MONTH
    assert not kept.decide(found(decided(ADA))).groups[0].by_hand
    kept.record(found(decided(None)))
    assert account(kept).verdict == before
    assert account(kept).subscriptions == ()
    assert (in_(kept).user_id, in_(kept).linked_by_hand) == (None, True)
    assert not kept.decide(found(decided(None))).groups[0].by_hand
    kept.record(found(decided(BOB)))
    assert account(kept, BOB).payment_expire_date == NOON + MONTH

    logged = [it for _, it in kept.database.tables.changes_by_hand]
    assert [(it.action, it.user_id) for it in logged] == [
        (ActionByHand.LINK_SUBSCRIPTION, ADA),
        (ActionByHand.UNLINK_SUBSCRIPTION, ADA),
        (ActionByHand.LINK_SUBSCRIPTION, BOB),
    ]
    assert {(it.subject, it.decided) for it in logged} == {(SUB, WHY)}


@pytest.mark.parametrize(
    ("owner", "user", "refusal"),
    [
        (ADA, BOB, SubscriptionLinked),
        (None, "nobody", AccountNotFound),
        ("missing", ADA, SubscriptionNotFound),
        ("missing", None, SubscriptionNotFound),
    ],
)
def test_what_cannot_be_linked_by_hand_is_refused(
    owner: str | None, user: str | None, refusal: type[Rejected]
) -> None:
    """
    One at a time, so that its former owner is not overlooked.
    """
    kept = two_users()
    if owner != "missing":
        known = a_subscription(a_report(), owner=UserId(owner) if owner else None)
        kept.database.tables.put_subscription(attrs.evolve(known, version=1))

    (answer,) = kept.decide(found(decided(user))).decided

    assert isinstance(answer.refusal, refusal)


@pytest.mark.parametrize(
    ("whose", "owner"),
    [
        ({"metadata_user_id": ADA, "customer_id": "cus_other"}, ADA),
        ({"metadata_user_id": None, "customer_id": CUS_2}, BOB),
        ({"metadata_user_id": BOB, "customer_id": CUS_2}, BOB),
        ({"metadata_user_id": "nobody", "customer_id": "cus_other"}, None),
        # In conflict: a person decides.
        ({"metadata_user_id": ADA, "customer_id": CUS_2}, None),
    ],
    ids=["named", "customer", "both", "nobody", "two"],
)
@pytest.mark.parametrize("heard", [True, False])
def test_whose_a_subscription_is_does_not_depend_on_its_event(
    whose: Any, owner: UserId | None, *, heard: bool
) -> None:
    """
    What its event would link is not linked to another user by hand.
    """
    kept = two_users()
    fetched = observed(**whose)
    if heard:
        kept.record(found(fetched))

    answers = {
        user: kept.decide(found(decided(user, observed=fetched))).decided[0].refusal
        for user in (ADA, BOB)
    }

    for user, refusal in answers.items():
        if owner is None or user == owner:
            assert refusal is None
        else:
            assert isinstance(refusal, SubscriptionLinked)
            assert refusal.user_id == owner


def test_a_subscription_of_nobody_is_decided_to_stay_so() -> None:
    """
    With an entry in the audit log that names no user; it is never overdue, because
    nothing depends on it.
    """
    known = a_subscription(a_report(user="carl"))
    assert known.next_sync_at is not None
    kept = two_users(attrs.evolve(known, version=1))

    kept.record(found(decided(None)))

    assert (in_(kept).user_id, in_(kept).linked_by_hand) == (None, True)
    assert in_(kept).next_sync_at is None
    [(_, logged)] = kept.database.tables.changes_by_hand
    assert (logged.action, logged.user_id) == (ActionByHand.UNLINK_SUBSCRIPTION, None)
    assert not kept.decide(found(decided(None))).groups[0].by_hand
    carl = UserRegistered(user_id=UserId("carl"), email=an_account("carl").email)
    kept.record(found(carl))
    assert in_(kept).user_id is None


@pytest.mark.parametrize("user", [ADA, None])
@pytest.mark.parametrize(
    "whose",
    [
        {"metadata_user_id": BOB},
        {"metadata_user_id": None},
        {"metadata_user_id": BOB, "customer_id": CUS_2},
    ],
    ids=["named", "customer", "both"],
)
def test_what_was_decided_by_hand_stands(user: str | None, whose: Any) -> None:
    """
    Whatever the subscription later says of itself, and whichever user registers.
    """
    known = a_subscription(OF_TWO, owner=None if user else UserId(ADA))
    kept = two_users(known)
    kept.record(found(decided(user)))

    kept.record(found(observed(**whose, status=SubscriptionStatus.PAST_DUE)))
    kept.record(found(PeriodPaid(a_term())))
    bob = account(kept, BOB)
    kept.record(
        found(
            UserRegistered(user_id=BOB, email=bob.email, customer_id=CUS_2),
            LinkRequested(UserId(BOB)),
        )
    )

    assert (in_(kept).user_id, in_(kept).linked_by_hand) == (user, True)
    assert in_(kept).status is SubscriptionStatus.PAST_DUE
    paid = account(kept).payment_expire_date
    assert paid == (NOON + MONTH if user else None)
    assert not account(kept, BOB).subscriptions


def test_the_order_of_a_link_and_of_reports_does_not_matter() -> None:
    """
    What comes before the link is quarantined and recorded by a sync; what comes after
    is applied.
    """
    ends = [observed(60), observed(120, status=SubscriptionStatus.PAST_DUE)]
    accounts, kept = list[object](), two_users()
    for first in (0, 1, 2):
        kept = two_users()
        for it in ends[:first]:
            kept.record(found(it))
        kept.record(found(decided(ADA, observed=ends[max(first - 1, 0)])))
        for it in ends[max(first, 1) :]:
            kept.record(found(it))
        accounts.append((in_(kept).report, in_(kept).user_id, account(kept).verdict))

    assert accounts[0] == accounts[1] == accounts[2]
    assert account(kept).payment_status is PaymentStatus.FAILED


def test_a_payment_of_a_subscription_that_is_taken_away_buys_no_month() -> None:
    """
    Its invoice is fetched, if it is not known.
    """
    hers = a_subscription(a_report(user=ADA), owner=ADA)
    kept = two_users(hers)
    later = NOON + timedelta(hours=1)
    kept.record(found(PaymentReported(a_payment("ch_1", user=ADA, at=later))))

    (group,) = kept.record(found(decided(None))).groups

    assert "payment:ch_1" in {it.key.id for it in group.jobs}


def test_only_one_group_holds_a_link() -> None:
    """
    That of its new owner, or of its former one.
    """
    kept = two_users(a_subscription(OF_TWO, owner=ADA))
    assert only(kept.decide(found(decided(None))).groups).key == f"user {ADA}"
    kept.record(found(decided(None)))
    assert only(kept.decide(found(decided(BOB))).groups).key == f"user {BOB}"


@pytest.mark.anyio
async def test_what_would_be_linked_is_checked_and_nothing_is_saved() -> None:
    """
    A stored subscription by what is stored, any other by a request to the gateway.
    """
    async with told() as story:
        it, [known] = story.deployment, story.deployment.database.tables.subscriptions
        link = LinkSubscription(it.record, it.asked, MemoryAuditLog(it.database))
        await it.register(BOB)
        kept = await link.check(known, ADA, caller=admin())
        assert kept == await link.read(known, caller=admin())
        assert kept == await link.check(known, None, caller=admin())
        with pytest.raises(SubscriptionLinked):
            await link.check(known, BOB, caller=admin())
        linked = await link(known, ADA, "asked for", caller=admin())
        assert await link.check(known, ADA, caller=admin()) == linked
        unlinked = await link(known, None, "asked for", caller=admin())
        assert unlinked.subscription.user_id is None
        assert await link.check(known, None, caller=admin()) == unlinked

        customer = story.api.post("customers")["id"]
        story.api.give_card(customer, GOOD)
        elsewhere = story.api.post(
            "subscriptions", customer=customer, items=[{"price": it.basic}]
        )["id"]
        assert await link.check(elsewhere, ADA, caller=admin()) is None
        hers = story.api.subscribe(story.customer, it.pro)["id"]
        with pytest.raises(SubscriptionLinked) as refusal:
            await link.check(hers, BOB, caller=admin())
        assert refusal.value.user_id == ADA
        assert elsewhere not in it.database.tables.subscriptions
        for missing, user in ((elsewhere, None), ("sub_missing", ADA)):
            with pytest.raises(SubscriptionNotFound):
                await link.check(missing, user, caller=admin())
