"""The chain of facts: in order, limited, each with its source."""

from datetime import timedelta

import attrs

from contracts.examples import (
    ADA,
    CUS_1,
    NOON,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    in_trial,
)
from payments_core.account_facts import AccountFacts
from payments_core.entitlement import PaymentSummary
from payments_core.events import EventState, GatewayEvent, Outcome
from payments_core.explain.cause import first_cause
from payments_core.explain.chain import CHAIN_MAX, chain_of
from payments_core.explanation import ExplainedFact, FactKind
from payments_core.kept_events import KeptEvent
from payments_core.payment import PaymentState
from payments_core.policy import Policy
from payments_core.subscription import SubscriptionStatus as S

DAY = timedelta(days=1)


def chain(facts: AccountFacts) -> list[ExplainedFact]:
    verdict = facts.account.verdict
    cause = first_cause(facts, verdict, verdict.standing(NOON, Policy()))
    return list(chain_of(facts, verdict, cause))


def kept(event: GatewayEvent, outcome: Outcome) -> KeptEvent:
    return KeptEvent(
        key=event.key,
        outcome=outcome,
        created_at=event.created_at,
        received_at=NOON,
        object_id=event.object_id,
        livemode=False,
        user_id=ADA,
    )


def test_of_a_long_history_the_newest_are_told() -> None:
    """
    Up to a limit, the oldest of them first.
    """
    payments = [a_payment(f"ch_{n:02}", at=NOON + n * DAY) for n in range(30)]
    account = an_account(ADA).with_summary(PaymentSummary.replay(payments))
    records = [a_record(it, owner=ADA) for it in reversed(payments)]

    found = chain(AccountFacts(account=account, payments=records))

    newest = [it.id for it in payments[-CHAIN_MAX:]]
    assert [it.objects for it in found] == [(it,) for it in newest]


def test_a_period_is_told_though_only_the_subscription_knows_it() -> None:
    """
    As the release before stored it; if both know it, with its cost.
    """
    own = a_subscription(a_report(), owner=ADA, term=a_term())
    account = an_account(ADA, customer=CUS_1).with_subscription(own)
    free = a_term(amount_minor=0)

    [bare] = [
        it
        for it in chain(AccountFacts(account=account))
        if it.kind is FactKind.PERIOD_PAID
    ]
    [told] = [
        it
        for it in chain(AccountFacts(account=account, periods=[free]))
        if it.kind is FactKind.PERIOD_PAID
    ]

    assert bare.objects == ("in_1", "sub_1")
    assert bare.until == own.report.period_end
    assert (bare.detail, told.detail) == (None, "no money: a coupon or a credit")


def test_an_event_that_waits_is_told_with_its_reason() -> None:
    """
    And an event that came twice, as another type, is named once.
    """
    payment = a_payment("ch_1")
    waits = kept(an_event("evt_2", payment), Outcome(EventState.PENDING, "unknown"))
    twins = [
        kept(attrs.evolve(an_event("evt_1", payment), type=type_), APPLIED)
        for type_ in ("charge.succeeded", "charge.updated")
    ]
    account = an_account(ADA).with_summary(PaymentSummary.replay([payment]))
    facts = AccountFacts(
        account=account,
        payments=[a_record(payment, owner=ADA)],
        events=[waits, *twins],
    )

    paid, pending = chain(facts)

    assert paid.events == ("evt_1", "evt_2")
    assert (pending.kind, pending.detail) == (FactKind.EVENT_PENDING, "unknown")
    assert pending.events == ("evt_2",)


def test_what_the_cause_names_is_told_however_much_came_since() -> None:
    """
    After many refunds, and a trial that ended next to another subscription.
    """
    failed = a_payment("ch_f", PaymentState.FAILED, at=NOON + 40 * DAY)
    older = [
        a_payment(f"ch_{n}", PaymentState.REFUNDED, at=NOON + n * DAY)
        for n in range(CHAIN_MAX + 2)
    ]
    account = an_account(ADA).with_summary(PaymentSummary.replay([failed, *older]))
    records = [a_record(it, owner=ADA) for it in (*reversed(older), failed)]

    found = chain(AccountFacts(account=account, payments=records))

    assert ("ch_f",) in [it.objects for it in found]


def test_a_subscription_that_the_date_rests_on_is_told() -> None:
    """
    Though it has ended, and another one is open.
    """
    trial = in_trial(S.CANCELED, ended_at=NOON + DAY)
    trial = attrs.evolve(trial, last_paid_period=None)
    paused = a_subscription(a_report("sub_2", S.PAUSED))
    account = an_account(ADA).with_subscription(trial).with_subscription(paused)

    told = {it.objects[0] for it in chain(AccountFacts(account=account))}

    assert told == {"sub_1", "sub_2"}


APPLIED = Outcome(EventState.APPLIED)
