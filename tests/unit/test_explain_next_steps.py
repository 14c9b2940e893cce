"""What happens by itself, and what a person can do."""

import attrs

from contracts.examples import (
    ADA,
    NOON,
    a_job,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_intent,
)
from payments_core.account_facts import AccountFacts
from payments_core.explain.next_steps import ACTIONS_MAX, actions_of, steps_of
from payments_core.explanation import (
    OPERATORS_ACTIONS,
    Action,
    ActionKind,
    Cause,
    CauseCode,
    NextStep,
    StepKind,
)
from payments_core.linking import Unlinked
from payments_core.policy import Policy
from payments_core.subscription import PendingUpdate, SubscriptionStatus

POLICY = Policy()


def test_what_is_planned_is_told_in_its_order() -> None:
    """
    A change that is held, the end of a subscription, a job; a step without a time comes
    last.
    """
    report = attrs.evolve(
        a_report(),
        cancel_at_period_end=True,
        pending=PendingUpdate(price="price_2", quantity=1, expires_at=NOON),
    )
    own = a_subscription(report, owner=ADA, term=a_term())
    account = an_account(ADA).with_subscription(own)
    facts = AccountFacts(account=account, jobs=[a_job("sub_1")], intents=[an_intent()])

    found = steps_of(facts, account.verdict, NOON, POLICY)

    kinds = [it.kind for it in found]
    assert kinds.index(StepKind.CHANGE_EXPIRES) < kinds.index(
        StepKind.SUBSCRIPTION_ENDS
    )
    assert StepKind.RENEWAL not in kinds
    moments = [it.at for it in found if it.at is not None]
    assert moments == sorted(moments)


def test_t71_whose_cards_are_declined_is_told_when_one_is_tried_again() -> None:
    """
    It is tried by itself; an operator may allow a card to be tried before.
    """
    free = AccountFacts(account=an_account(ADA))
    locked = attrs.evolve(free, no_card_before=NOON)
    cause, verdict = Cause(code=CauseCode.NOTHING_KNOWN), free.account.verdict
    standing = free.account.standing(now=NOON, policy=POLICY)
    again, despite = StepKind.CARDS_TRIED_AGAIN, ActionKind.TRY_DESPITE_DECLINES

    steps = steps_of(locked, verdict, NOON, POLICY)
    assert steps == [NextStep(again, NOON)]
    assert steps_of(free, verdict, NOON, POLICY) == []
    assert Action(despite) in actions_of(locked, cause, standing)
    assert Action(despite) not in actions_of(free, cause, standing)
    assert despite in OPERATORS_ACTIONS


def test_who_has_a_subscription_is_not_told_to_subscribe() -> None:
    """
    The gateway would refuse it.
    """
    bare = AccountFacts(account=an_account(ADA))
    subscribed = AccountFacts(
        account=an_account(ADA).with_subscription(a_subscription(owner=ADA))
    )
    cause = Cause(code=CauseCode.REFUNDED)
    standing = bare.account.standing(now=NOON, policy=POLICY)

    assert actions_of(bare, cause, standing) == [Action(ActionKind.SUBSCRIBE)]
    assert actions_of(subscribed, cause, standing) == []


def test_what_is_held_back_can_be_decided_one_by_one() -> None:
    """
    Some of them; a job that was not tried yet runs by itself.
    """
    tried = a_job("sub_1").failed(NOON, "no answer")
    facts = AccountFacts(
        account=an_account(ADA),
        unlinked=Unlinked([a_record()] * (ACTIONS_MAX + 1)),
        jobs=[tried, a_job("sub_2")],
    )
    standing = facts.account.standing(now=NOON, policy=POLICY)

    found = actions_of(facts, Cause(code=CauseCode.UNLINKED), standing)

    links = [it for it in found if it.kind is ActionKind.LINK_PAYMENT]
    jobs = [it.objects for it in found if it.kind is ActionKind.RETRY_JOB]
    assert len(links) == ACTIONS_MAX
    assert jobs == [("subscription:sub_1",)]


def test_a_paused_subscription_can_be_resumed_where_nothing_else_helps() -> None:
    """
    The gateway would refuse another subscription next to it.
    """
    paused = a_subscription(a_report("sub_2", SubscriptionStatus.PAUSED))
    facts = AccountFacts(account=an_account(ADA).with_subscription(paused))
    standing = facts.account.standing(now=NOON, policy=POLICY)

    found = actions_of(facts, Cause(code=CauseCode.SUBSCRIPTION_ENDED), standing)

    assert found == [Action(ActionKind.RESUME, ("sub_2",))]
