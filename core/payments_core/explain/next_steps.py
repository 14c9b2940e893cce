"""What happens by itself, and what a person can do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from payments_core.account_facts import AccountFacts
from payments_core.entitlement import AccountVerdict, Standing
from payments_core.events import EventState
from payments_core.explanation import (
    Action,
    ActionKind,
    Cause,
    CauseCode,
    NextStep,
    StepKind,
)
from payments_core.policy import Policy
from payments_core.subscription import Subscription, SubscriptionStatus

# The limit of actions of one kind, one for each thing.
ACTIONS_MAX: Final = 12


def steps_of(
    facts: AccountFacts, verdict: AccountVerdict, now: datetime, policy: Policy
) -> Sequence[NextStep]:
    """Return what happens by itself, in order of time; last what has no time."""
    found = _next_steps(facts, verdict, now, policy)
    return sorted(found, key=lambda it: (it.at is None, it.at, it.kind))


def _next_steps(
    facts: AccountFacts, verdict: AccountVerdict, now: datetime, policy: Policy
) -> Iterator[NextStep]:
    for subscription in facts.account.subscriptions:
        if not subscription.is_terminal:
            yield from _next_of(subscription)
    until = verdict.entitled_until(policy)
    if until is not None and now < until:
        yield NextStep(StepKind.ACCESS_ENDS, until)
    for job in facts.jobs:
        yield NextStep(StepKind.SYNC, job.lease.due_at, (job.key.id,))
    for intent in facts.intents:
        yield NextStep(StepKind.OPERATION_RESUMED, intent.lease.due_at, (intent.id,))
    if facts.no_card_before is not None:
        yield NextStep(StepKind.CARDS_TRIED_AGAIN, facts.no_card_before)


def _next_of(subscription: Subscription) -> Iterator[NextStep]:
    report, objects = subscription.report, (subscription.gateway_id,)
    if subscription.status in _OWING:
        yield NextStep(StepKind.PAYMENT_RETRIED, None, objects)
    elif subscription.status is SubscriptionStatus.INCOMPLETE:
        yield NextStep(StepKind.FIRST_PAYMENT_EXPIRES, None, objects)
    ends_at = report.cancel_at or (
        report.period_end if report.cancel_at_period_end else None
    )
    if ends_at is not None:
        yield NextStep(StepKind.SUBSCRIPTION_ENDS, ends_at, objects)
    elif subscription.status is SubscriptionStatus.TRIALING:
        yield NextStep(StepKind.FIRST_PAYMENT, report.trial_end, objects)
    elif subscription.status in _RENEWED:
        yield NextStep(StepKind.RENEWAL, report.period_end, objects)
    if report.pending is not None:
        yield NextStep(StepKind.CHANGE_EXPIRES, report.pending.expires_at, objects)
    if (at := subscription.next_sync_at) is not None:
        yield NextStep(StepKind.SYNC, at, objects)


_RENEWED: Final = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE})
_OWING: Final = frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID})


_ACTIONS: Final[Mapping[CauseCode, Sequence[ActionKind]]] = {
    CauseCode.PAYMENT_DECLINED: (ActionKind.UPDATE_CARD,),
    CauseCode.PAYMENT_OVERDUE: (ActionKind.UPDATE_CARD,),
    CauseCode.AUTHENTICATION_REQUIRED: (
        ActionKind.AUTHENTICATE,
        ActionKind.UPDATE_CARD,
    ),
    CauseCode.FIRST_PAYMENT_AWAITED: (ActionKind.AUTHENTICATE, ActionKind.UPDATE_CARD),
    CauseCode.FIRST_PAYMENT_EXPIRED: (ActionKind.SUBSCRIBE,),
    CauseCode.REFUNDED: (ActionKind.SUBSCRIBE,),
    CauseCode.DISPUTED: (ActionKind.ANSWER_DISPUTE,),
    CauseCode.DISPUTE_LOST: (ActionKind.SUBSCRIBE,),
    CauseCode.PERIOD_OVER: (ActionKind.SUBSCRIBE,),
    CauseCode.SUBSCRIPTION_ENDED: (ActionKind.SUBSCRIBE,),
    CauseCode.SUBSCRIPTION_PAUSED: (ActionKind.RESUME,),
    CauseCode.TRIAL_ENDED: (ActionKind.SUBSCRIBE,),
    CauseCode.NOTHING_KNOWN: (ActionKind.SUBSCRIBE, ActionKind.FIND_PAYMENT),
}


def actions_of(
    facts: AccountFacts, cause: Cause, standing: Standing
) -> Sequence[Action]:
    """Return what a person can do."""
    found = [Action(kind, cause.objects) for kind in _ACTIONS.get(cause.code, ())]
    is_open = any(not it.is_terminal for it in facts.account.subscriptions)
    if standing.entitled or is_open:
        found = [it for it in found if it.kind is not ActionKind.SUBSCRIBE]
    paused = (
        it.gateway_id
        for it in facts.account.subscriptions
        if it.status is SubscriptionStatus.PAUSED
    )
    if not found and not standing.entitled:
        found += _each(ActionKind.RESUME, paused)
    if facts.no_card_before is not None:
        found.append(Action(ActionKind.TRY_DESPITE_DECLINES))
    found += _each(
        ActionKind.LINK_PAYMENT, (it.payment.id for it in facts.unlinked.payments)
    )
    found += _each(
        ActionKind.LINK_SUBSCRIPTION,
        (it.gateway_id for it in facts.unlinked.subscriptions),
    )
    quarantined = (
        it.key.id for it in facts.events if it.outcome.state is EventState.QUARANTINED
    )
    found += _each(ActionKind.DECIDE_EVENT, quarantined)
    tried = (it.key.id for it in facts.jobs if it.lease.attempts)
    found += _each(ActionKind.RETRY_JOB, tried)
    unknown = (it.id for it in facts.intents if it.lease.attempts)
    return [*found, *_each(ActionKind.CALL_OFF, unknown)]


def _each(kind: ActionKind, names: Iterable[str]) -> Sequence[Action]:
    return [Action(kind, (name,)) for name in list(names)[:ACTIONS_MAX]]
