"""Which user owns a subscription, and what must be fetched from the gateway."""

from datetime import timedelta

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
    an_intent,
    email_of,
    of_invoice,
)
from payments_adapters.memory.ledger import MemoryLedger
from payments_core.changes import SaveResult
from payments_core.events import EventState, Outcome
from payments_core.facts import (
    Fact,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.identity import UserId
from payments_core.intent import IntentKind
from payments_core.job import Job
from payments_core.payment import PaymentState
from payments_core.subscription import (
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)
from support.deciding import Kept, event_in, finished, found, reported
from support.subscribed import (
    CUS_9,
    QUARANTINED,
    TWO_BOUND,
    fetched,
    kept_with,
    only,
    paid_for,
)


def unsaved(subscription: Subscription) -> Subscription:
    """Return it without its version and the number of its load."""
    return attrs.evolve(subscription, version=0, sequence=0)


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
    A subscription of a user who does not exist yet waits; the account takes its
    subscription at once.
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
            *([f"user {report.metadata_user_id}"] if report.metadata_user_id else []),
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
    # It depends on neither account, unless it is already linked to one.
    assert (group.before is None) == (known is None)
    assert group.events == ((event_in(source), QUARANTINED),)
    assert not group.changes_account
    saved = (*group.payments, *group.subscriptions, *group.periods, *group.jobs)
    assert saved == ()
    assert not group.link_versions


def test_p21_no_report_of_a_subscription_binds_its_customer() -> None:
    """
    Metadata names the owner of the subscription, not the customer's.
    """
    kept = Kept.of(an_account(ADA))
    group = only(kept.decide(found(fetched(a_report(user=ADA)))).groups)

    assert group.after is not None
    assert group.after.subscriptions
    assert group.after.customer_id is None


def test_what_has_to_be_fetched_is_asked_for_once() -> None:
    """
    An unknown subscription, its period, and both again: one job.
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
    Linked or not; a known period changes nothing.
    """
    paid = found(PeriodPaid(a_term()))
    hers = a_subscription(owner=ADA)
    group = only(kept_with(hers).decide(paid).groups)
    assert group.periods == (a_term(),)
    assert [unsaved(it) for it in group.subscriptions] == [
        unsaved(attrs.evolve(hers, last_paid_period=a_term()))
    ]
    assert group.after is not None
    assert group.after.payment_expire_date == NOON + MONTH

    nobodys = only(Kept.of(a_subscription()).decide(paid).groups)
    assert nobodys.periods == (a_term(),)
    assert [unsaved(it) for it in nobodys.subscriptions] == [
        unsaved(a_subscription(term=a_term()))
    ]

    for known in (kept_with(paid_for()), Kept.of(a_subscription(term=a_term()))):
        known.database.tables.put_period(a_term())
        again = only(known.decide(paid).groups)
        assert not again.periods
        assert not again.subscriptions
        assert not again.changes_account
        assert not again.link_versions


def test_a_paid_period_of_another_item_moves_no_date() -> None:
    """
    An event of it requests a sync, because our item may have changed since; a fetched
    one does not request it again.
    """
    yearly = attrs.evolve(a_term(ends_at=NOON + 12 * MONTH), item_id="si_other")
    kept = kept_with(paid_for())

    told = only(kept.decide(reported(1, yearly)).groups)
    fetched_ = kept.decide(found(PeriodPaid(yearly)))

    assert [it.key for it in told.jobs] == [a_job_key()]
    for group in (told, *fetched_.groups):
        assert not group.periods
        assert not group.subscriptions
        assert not group.jobs or group is told


@pytest.mark.parametrize("owner", [ADA, None], ids=["hers", "nobody's"])
def test_what_was_decided_without_a_period_is_decided_anew(owner: str | None) -> None:
    """
    A period that moves no date now does so with another writer's save: a refund of the
    later period, or the account that all of it is linked to.
    """
    later = a_term(starts_at=NOON + MONTH, invoice="in_2")
    subscription = a_subscription(
        a_report(user=ADA), term=later, owner=UserId(owner) if owner else None
    )
    kept = kept_with(subscription) if owner else Kept.of(subscription)
    kept.database.tables.put_period(later)
    beside: Fact = (
        PaymentReported(
            of_invoice(a_payment(state=PaymentState.REFUNDED, user=ADA), "in_2")
        )
        if owner
        else UserRegistered(user_id=ADA, email=email_of(ADA))
    )
    decided = kept.decide(found(beside)).groups

    kept.record(found(PeriodPaid(a_term())))

    saved = finished(MemoryLedger(kept.database).save(decided, at=NOON))
    assert set(saved) == {SaveResult.CHANGED}
    kept.record(found(beside))
    account = kept.database.tables.whole(kept.database.tables.accounts[ADA])
    end = NOON + (MONTH if owner else 2 * MONTH)
    assert account.payment_expire_date == end


@pytest.mark.parametrize("covered", [True, False])
def test_an_end_by_an_operation_asks_for_a_period_that_is_not_known_to_be_paid(
    *, covered: bool
) -> None:
    """
    Its renewal was paid just before and not reported: no further event will arrive.
    """
    report, day = a_report(user=ADA), NOON + timedelta(days=1)
    begun = a_subscription(report, term=a_term() if covered else None, owner=ADA)
    kept = kept_with(begun)
    intent = an_intent(kind=IntentKind.END_SUBSCRIPTION)
    kept.database.tables.put_intent(intent)
    ended = attrs.evolve(report, status=SubscriptionStatus.CANCELED, ended_at=day)
    observed = SubscriptionObserved(report=ended, at=day, sequence=9)

    (group,) = kept.decide(SourcedFacts(facts=(observed,), intent=intent)).groups

    assert [it.key for it in group.jobs] == ([] if covered else [a_job_key()])
