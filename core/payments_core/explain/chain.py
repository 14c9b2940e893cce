"""The facts behind a verdict, and what is stored and not applied, in order."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.account_facts import AccountFacts
from payments_core.entitlement import AccountVerdict, PrepaidMonths
from payments_core.events import EventState
from payments_core.explanation import Cause, ExplainedFact, FactKind
from payments_core.payment import DisputeState, Payment, PaymentState
from payments_core.subscription import PaidPeriod, Subscription

# The limit for each kind of fact.
CHAIN_MAX: Final = 12


def chain_of(
    facts: AccountFacts, verdict: AccountVerdict, cause: Cause
) -> Sequence[ExplainedFact]:
    """Return the chain, the oldest first; facts without a time are last."""
    # By object, each id once: sample events share one id.
    told = defaultdict[str, dict[str, None]](dict)
    for event in reversed(facts.events):
        if event.object_id is not None:
            told[event.object_id][event.key.id] = None
    found = [*_facts(facts, verdict, cause), *_held_back(facts)]
    with_events = [
        it
        if it.events or not it.objects
        else attrs.evolve(it, events=tuple(told.get(it.objects[0], ())))
        for it in found
    ]
    return sorted(with_events, key=_when)


_KINDS: Final = tuple(FactKind)


def _when(it: ExplainedFact) -> tuple[bool, datetime | None, int]:
    # Facts of the same time are in the order of their kinds.
    return it.at is None, it.at, _KINDS.index(it.kind)


def _facts(
    facts: AccountFacts, verdict: AccountVerdict, cause: Cause
) -> Iterator[ExplainedFact]:
    by, until = verdict.status_by, verdict.date_by
    subscriptions = facts.account.subscriptions
    reached = until.gateway_id if isinstance(until, PaidPeriod | Subscription) else None
    decide = {reached, *cause.objects}
    shown = [
        it
        for it in reversed(subscriptions)
        if not it.is_terminal or it is by or it.gateway_id in decide
    ]
    shown.sort(key=lambda it: it.gateway_id not in decide)
    for subscription in (shown or subscriptions[::-1])[:CHAIN_MAX]:
        yield from _facts_of_subscription(subscription)
    invoices = set[str]()
    if isinstance(until, PaidPeriod):
        invoices.add(until.invoice_id)
        # The account's own copy does not have the amount paid.
        known = (it for it in facts.periods if it == until)
        yield _fact_of_period(next(known, until))
    deciding = [
        it.payment
        for it in facts.payments
        if it.payment.id in cause.objects
        or (it.payment.invoice_id in invoices)
        or it.payment.money_returned
        or it.payment.dispute is not DisputeState.NONE
        or it.payment.contradicted
        or (isinstance(until, PrepaidMonths) and until.has(it.payment))
    ]
    # What the cause names is included, however much came since.
    deciding.sort(key=lambda it: it.id not in cause.objects)
    for payment in deciding[:CHAIN_MAX]:
        yield from _facts_of_payment(payment)
    for change in facts.by_hand[:CHAIN_MAX]:
        yield ExplainedFact(
            kind=FactKind.DONE_BY_HAND,
            at=change.at,
            objects=(change.change.subject,),
            detail=f"{change.change.action}: {change.change.decided.reason}",
        )


def _facts_of_subscription(subscription: Subscription) -> Iterator[ExplainedFact]:
    report = subscription.report
    objects = (subscription.gateway_id,)
    yield ExplainedFact(
        kind=FactKind.SUBSCRIPTION_BEGAN,
        at=report.created_at,
        objects=objects,
        until=report.trial_end,
        detail=report.price,
    )
    if report.ended_at is not None:
        yield ExplainedFact(
            kind=FactKind.SUBSCRIPTION_ENDED, at=report.ended_at, objects=objects
        )
    else:
        yield ExplainedFact(
            kind=FactKind.SUBSCRIPTION_STATUS,
            at=subscription.as_of,
            objects=objects,
            until=report.period_end,
            detail=report.status.value,
        )


def _fact_of_period(period: PaidPeriod) -> ExplainedFact:
    return ExplainedFact(
        kind=FactKind.PERIOD_PAID,
        at=period.starts_at,
        objects=(period.invoice_id, period.gateway_id),
        until=period.ends_at,
        detail="no money: a coupon or a credit"
        if period.amount_paid_minor == 0
        else None,
    )


_PAYMENTS: Final = {
    PaymentState.PENDING: FactKind.PAYMENT_PENDING,
    PaymentState.FAILED: FactKind.PAYMENT_FAILED,
    PaymentState.SUCCEEDED: FactKind.PAYMENT_SUCCEEDED,
    PaymentState.PARTIALLY_REFUNDED: FactKind.PAYMENT_PARTIALLY_REFUNDED,
    PaymentState.REFUNDED: FactKind.PAYMENT_REFUNDED,
    PaymentState.CONTRADICTED: FactKind.PAYMENT_CONTRADICTED,
}
_DISPUTES: Final = {
    DisputeState.OPEN: FactKind.DISPUTE_OPEN,
    DisputeState.WON: FactKind.DISPUTE_WON,
    DisputeState.LOST: FactKind.DISPUTE_LOST,
    DisputeState.CONTRADICTED: FactKind.PAYMENT_CONTRADICTED,
}


def _facts_of_payment(payment: Payment) -> Iterator[ExplainedFact]:
    others = (it for it in (payment.invoice_id, payment.subscription_id) if it)
    fact = ExplainedFact(
        kind=_PAYMENTS[payment.state],
        at=payment.created_at,
        objects=(payment.id, *others),
        amount=payment.amount,
        failure_code=payment.failure_code,
    )
    yield fact
    if payment.dispute in _DISPUTES:
        yield attrs.evolve(fact, kind=_DISPUTES[payment.dispute], failure_code=None)


def _held_back(facts: AccountFacts) -> Iterator[ExplainedFact]:
    """Return what is stored and not applied."""
    for record in facts.unlinked.payments[:CHAIN_MAX]:
        yield ExplainedFact(
            kind=FactKind.PAYMENT_UNLINKED,
            at=record.payment.created_at,
            objects=(record.payment.id,),
            amount=record.payment.amount,
            detail="unlinked by hand" if record.unlinked_by_hand else None,
        )
    for subscription in facts.unlinked.subscriptions[:CHAIN_MAX]:
        yield ExplainedFact(
            kind=FactKind.SUBSCRIPTION_UNLINKED,
            at=subscription.began_at,
            objects=(subscription.gateway_id,),
            detail="unlinked by hand" if subscription.unlinked_by_hand else None,
        )
    kinds = {
        EventState.PENDING: FactKind.EVENT_PENDING,
        EventState.QUARANTINED: FactKind.EVENT_QUARANTINED,
    }
    held = [it for it in facts.events if it.outcome.state in kinds]
    for event in held[:CHAIN_MAX]:
        yield ExplainedFact(
            kind=kinds[event.outcome.state],
            at=event.created_at,
            objects=(event.object_id,) if event.object_id else (),
            detail=event.outcome.reason,
            events=(event.key.id,),
        )
