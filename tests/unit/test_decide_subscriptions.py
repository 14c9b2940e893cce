"""Whose subscription is it, and what has to be asked of the gateway?"""

from collections.abc import Sequence
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
    MONTH,
    NOON,
    a_job,
    a_job_key,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
    in_trial,
)
from payments_core.changes import Changes, JobFinish
from payments_core.decide import AFTER_PAYMENT, QUARANTINE_REASON
from payments_core.events import EventState, Outcome
from payments_core.facts import (
    APPLIED,
    CustomerBound,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SubscriptionObserved,
    SyncNeeded,
    UserRegistered,
)
from payments_core.identity import CustomerId, UserId
from payments_core.job import Job, JobKind
from payments_core.payment import DisputeState, Payment, PaymentRecord, PaymentState
from payments_core.subscription import (
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)
from support.deciding import Kept, event_in, found, reported

S, P = SubscriptionStatus, PaymentState
DAY: Final = timedelta(days=1)
TWO_BOUND: Final = (an_account(ADA, customer=CUS_1), an_account(BOB, customer=CUS_2))
CUS_9: Final = CustomerId("cus_9")
QUARANTINED: Final = Outcome(EventState.QUARANTINED, QUARANTINE_REASON)


def fetched(report: SubscriptionReport, sequence: int = 2) -> SubscriptionObserved:
    return SubscriptionObserved(report=report, at=NOON, sequence=sequence)


def paid_for(status: SubscriptionStatus = S.ACTIVE) -> Subscription:
    return a_subscription(a_report(status=status), owner=ADA, term=a_term())


def kept_with(*subscriptions: Subscription) -> Kept:
    """Keep these, and Ada's account, whose customer is bound."""
    return Kept.of(an_account(customer=CUS_1), *subscriptions)


def unsaved(subscription: Subscription) -> Subscription:
    """Return it without how often it was saved, and in which load it was known."""
    return attrs.evolve(subscription, version=0, ticket=0)


def only(groups: Sequence[Changes]) -> Changes:
    (group,) = groups
    return group


@pytest.mark.parametrize(
    ("report", "owner"),
    [
        (a_report(user=ADA), ADA),
        (a_report(customer=CUS_2), BOB),
        (a_report(user=BOB, customer=CUS_2), BOB),
        (a_report(user=ADA, customer=CUS_9), ADA),
        (a_report(user="nobody", customer=CUS_9), None),
        (a_report(customer=CUS_9), None),
    ],
)
def test_metadata_and_then_the_customer_say_whose_it_is(
    report: SubscriptionReport, owner: UserId | None
) -> None:
    """
    Who is not there yet waits; the account takes its subscription at once.
    """
    kept = Kept.of(*TWO_BOUND)
    group = only(kept.decide(found(fetched(report))).groups)

    (known,) = group.subscriptions
    assert known.user_id == owner
    assert group.key == (f"user {owner}" if owner else "subscription sub_1")
    if owner is None:
        assert group.after is None
        assert set(group.link_versions) == {
            f"customer {report.customer_id}",
            *([f"user {report.claimed_by}"] if report.claimed_by else []),
        }
    else:
        assert group.after is not None
        assert group.after.user_id == owner
        assert group.after.subscriptions == (known,)


@pytest.mark.parametrize(
    ("known", "report"),
    [
        (None, a_report(user=ADA, customer=CUS_2)),
        (a_subscription(owner=ADA), a_report(user=BOB)),
        (a_subscription(owner=ADA), a_report(customer=CUS_2)),
    ],
    ids=["new", "another user", "another customer"],
)
def test_t23_what_names_two_users_moves_neither(
    known: Subscription | None, report: SubscriptionReport
) -> None:
    """
    The customer is one user's, the metadata or the owner another: nothing changes.
    """
    kept = Kept.of(*TWO_BOUND, *([known] if known else []))
    source = attrs.evolve(reported(1, None), facts=(fetched(report),))
    decision = kept.decide(source)

    group = only(decision.groups)
    assert decision.decided[0].outcome == QUARANTINED
    # It rests on neither account, if it is not one's already.
    assert (group.before is None) == (known is None)
    assert group.events == ((event_in(source), QUARANTINED),)
    assert not group.changes_account
    saved = (*group.payments, *group.subscriptions, *group.periods, *group.jobs)
    assert saved == ()
    assert not group.link_versions


def test_p21_no_report_of_a_subscription_binds_its_customer() -> None:
    """
    Metadata says whose it is, and not who the customer is.
    """
    kept = Kept.of(an_account(ADA))
    group = only(kept.decide(found(fetched(a_report(user=ADA)))).groups)

    assert group.after is not None
    assert group.after.subscriptions
    assert group.after.customer_id is None


def test_what_has_to_be_fetched_is_asked_for_once() -> None:
    """
    A subscription that is not known yet, its period, and again: one job.
    """
    payload = reported(1, a_report())
    decision = Kept().decide(payload, reported(2, a_term()), reported(3, a_report()))

    group = only(decision.groups)
    assert [it.outcome for it in decision.decided] == [
        Outcome(EventState.PENDING, "not known yet", a_job_key()),
        Outcome(EventState.PENDING, "its subscription is not known yet", a_job_key()),
        Outcome(EventState.PENDING, "not known yet", a_job_key()),
    ]
    assert group.jobs == (Job.due(a_job_key(), "not known yet", NOON),)
    assert not group.subscriptions
    assert not group.periods


def test_a_paid_period_goes_to_its_subscription_and_to_its_account() -> None:
    """
    Ours or nobody's; one that was known changes nothing.
    """
    paid = found(PeriodPaid(a_term()))
    hers = a_subscription(owner=ADA)
    group = only(kept_with(hers).decide(paid).groups)
    assert group.periods == (a_term(),)
    assert [unsaved(it) for it in group.subscriptions] == [
        unsaved(attrs.evolve(hers, term=a_term()))
    ]
    assert group.after is not None
    assert group.after.payment_expire_date == NOON + MONTH

    nobodys = only(Kept.of(a_subscription()).decide(paid).groups)
    assert nobodys.periods == (a_term(),)
    assert [unsaved(it) for it in nobodys.subscriptions] == [
        unsaved(a_subscription(term=a_term()))
    ]

    again = only(kept_with(paid_for()).decide(paid).groups)
    assert not again.subscriptions
    assert not again.changes_account


PAID: Final = a_payment(at=NOON + DAY, user=ADA)
FAILED: Final = a_payment(state=P.FAILED, at=NOON + DAY, user=ADA)


@pytest.mark.parametrize(
    ("subscription", "payment", "syncs"),
    [
        (paid_for(), PAID, False),
        (paid_for(), FAILED, True),
        (paid_for(S.PAST_DUE), PAID, True),
        (paid_for(S.PAST_DUE), FAILED, False),
        (paid_for(S.UNPAID), FAILED, False),
        (paid_for(S.INCOMPLETE), PAID, True),
        (paid_for(S.CANCELED), PAID, False),
        (a_subscription(owner=ADA), PAID, True),
        (attrs.evolve(in_trial(), user_id=ADA), PAID, True),
        (a_subscription(a_report(at=NOON + 2 * DAY), owner=ADA), PAID, False),
    ],
    ids=[
        *["paid", "new failure", "mended", "old failure", "still unpaid", "begun"],
        *["ended", "not covered", "in a trial", "before its life"],
    ],
)
def test_a_payment_within_a_life_is_a_reason_to_sync_if_it_tells_more(
    subscription: Subscription,
    payment: Payment,
    syncs: bool,  # noqa: FBT001  # a column
) -> None:
    """
    A little later: the events that come with it may make the sync needless.
    """
    group = only(kept_with(subscription).decide(found(PaymentReported(payment))).groups)

    job = Job.due(a_job_key(), f"payment {CH_1}", NOON + AFTER_PAYMENT, ADA)
    assert group.jobs == ((job,) if syncs else ())


def test_of_two_wishes_for_one_job_the_earlier_counts() -> None:
    """
    Whichever came first.
    """
    key = a_job_key()
    for delays in ((AFTER_PAYMENT, timedelta()), (timedelta(), AFTER_PAYMENT)):
        wishes = [SyncNeeded(job=key, reason="because", after=it) for it in delays]
        group = only(Kept().decide(found(*wishes)).groups)
        assert group.jobs == (Job.due(key, "because", NOON),)


def test_who_works_on_a_job_does_not_ask_for_it() -> None:
    """
    It is finished together with what it found, and with nothing left to ask.
    """
    claimed = a_job().claimed(NOON)
    wish = SyncNeeded(job=claimed.key, reason="because")
    sync = attrs.evolve(found(fetched(a_report()), wish), job=claimed)
    group = only(Kept().decide(sync).groups)

    assert group.finished == (JobFinish(claimed, claimed.finished(), APPLIED),)
    assert not group.jobs
    assert group.subscriptions


def test_what_was_fetched_before_what_is_known_is_fetched_again() -> None:
    """
    Its job is due again at once, settles no event, and changes nothing.
    """
    known = a_subscription(owner=ADA, ticket=3)
    claimed = a_job().claimed(NOON)
    stale = fetched(a_report(status=S.PAST_DUE), sequence=3)
    group = only(
        kept_with(known).decide(attrs.evolve(found(stale), job=claimed)).groups
    )

    assert group.finished == (JobFinish(claimed, claimed.again(NOON), None),)
    assert not group.jobs
    assert not group.subscriptions


def test_jobs_come_in_the_order_of_their_keys() -> None:
    """
    Two saves that ask for the same ones meet them in one order.
    """
    keys = [a_job_key(it, kind) for kind in sorted(JobKind) for it in ("a", "b", "c")]
    wishes = [SyncNeeded(job=key, reason="because") for key in reversed(keys)]
    group = only(Kept().decide(found(*wishes)).groups)

    assert [job.key for job in group.jobs] == keys


@pytest.mark.parametrize("kept", [P.CONTRADICTED, P.SUCCEEDED, P.REFUNDED])
def test_what_the_gateway_says_of_a_payment_takes_the_place_of_all_reports(
    kept: PaymentState,
) -> None:
    """
    No merging: even a contradiction ends, and the account follows.
    """
    wrong = a_payment(state=kept, dispute=DisputeState.CONTRADICTED, user=ADA)
    record = PaymentRecord(wrong, ADA, version=3, sequence=1)
    correction = found(PaymentCorrected(FAILED, 2))
    group = only(Kept.of(an_account(), record).decide(correction).groups)

    assert group.payments == (PaymentRecord(FAILED, ADA, version=3, sequence=2),)
    assert group.after is not None
    latest = group.after.checkpoint.latest
    assert latest is not None
    assert latest.status == "failed"


@pytest.mark.parametrize("sequence", [1, 2])
def test_a_correction_that_is_not_newer_is_fetched_again(sequence: int) -> None:
    """
    What is known was reported, or fetched, after it was asked for.
    """
    known = PaymentRecord(PAID, ADA, sequence=2)
    claimed = a_job(CH_1, JobKind.PAYMENT).claimed(NOON)
    stale = attrs.evolve(found(PaymentCorrected(FAILED, sequence)), job=claimed)
    group = only(Kept.of(an_account(), known).decide(stale).groups)

    assert group.finished == (JobFinish(claimed, claimed.again(NOON), None),)
    assert not group.payments
    assert not group.changes_account


def test_a_correction_gives_no_payment_to_another() -> None:
    """
    Whose it is stays; a payment that was not known finds its owner.
    """
    kept = Kept.of(*TWO_BOUND, PaymentRecord(PAID, ADA))
    forged = PaymentCorrected(attrs.evolve(PAID, claimed_by=BOB), 2)
    decision = kept.decide(found(forged))
    assert decision.decided[0].outcome == QUARANTINED
    assert not only(decision.groups).payments
    assert not only(decision.groups).changes_account

    new = found(PaymentCorrected(a_payment("ch_2", customer=CUS_2), 2))
    group = only(kept.decide(new).groups)
    assert [record.user_id for record in group.payments] == [BOB]


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
