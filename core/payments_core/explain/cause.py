"""The first cause of a verdict: the shortest answer to "why"."""

from collections.abc import Mapping, Sequence
from typing import Final

from payments_core.account_facts import AccountFacts
from payments_core.entitlement import (
    AccountVerdict,
    PaymentEffect,
    PaymentStatus,
    PrepaidMonths,
    Standing,
    is_unexplained,
)
from payments_core.events import EventState
from payments_core.explanation import Cause, CauseCode
from payments_core.paid_periods import may_have_paid
from payments_core.payment import DisputeState, Payment, PaymentState
from payments_core.subscription import PaidPeriod, Subscription, SubscriptionStatus

# Stripe's decline code of a payment that requires authentication.
AUTHENTICATION_CODE: Final = "authentication_required"


def first_cause(
    facts: AccountFacts, verdict: AccountVerdict, standing: Standing
) -> Cause:
    match verdict.status_by:
        case Subscription() as subscription:
            return _cause_of_subscription(facts, verdict, standing, subscription)
        case PaymentEffect() as effect:
            return _cause_of_payment(facts, verdict, standing, effect)
        case None:
            return _cause_of_nothing(facts)


def _cause_of_subscription(
    facts: AccountFacts,
    verdict: AccountVerdict,
    standing: Standing,
    subscription: Subscription,
) -> Cause:
    match verdict.payment_status:
        case PaymentStatus.FAILED:
            return _cause_of_owed(facts, subscription, CauseCode.PAYMENT_OVERDUE)
        case PaymentStatus.PENDING:
            return _cause_of_owed(facts, subscription, CauseCode.FIRST_PAYMENT_AWAITED)
        case PaymentStatus.TRIALING:
            return _about(CauseCode.TRIAL, subscription)
        case _:
            return _cause_of_paid(facts, verdict, standing)


def _cause_of_owed(
    facts: AccountFacts, subscription: Subscription, otherwise: CauseCode
) -> Cause:
    """Return why what is owed was not paid: from the last attempt, if there was one."""
    paid = {it.invoice_id for it in facts.periods}
    for payment in _payments_of(subscription, facts):
        if payment.money_stayed:
            # Earlier declines were for something that is paid by now.
            break
        is_owed = _is_owed(payment, subscription) and payment.invoice_id not in paid
        if payment.state is PaymentState.FAILED and is_owed:
            return _declined(payment, subscription.gateway_id)
    return _about(otherwise, subscription)


def _is_owed(payment: Payment, subscription: Subscription) -> bool:
    """Say whether a payment is for what is owed now, not for something since paid."""
    paid = subscription.last_paid_period
    made_at = payment.created_at
    return made_at is not None and (paid is None or made_at >= paid.starts_at)


def _declined(payment: Payment, *others: str) -> Cause:
    is_asked = payment.failure_code == AUTHENTICATION_CODE
    return Cause(
        code=CauseCode.AUTHENTICATION_REQUIRED
        if is_asked
        else CauseCode.PAYMENT_DECLINED,
        at=payment.created_at,
        objects=(payment.id, *others),
        failure_code=payment.failure_code,
    )


def _about(code: CauseCode, subscription: Subscription) -> Cause:
    ended_at = subscription.report.ended_at
    return Cause(
        code=code,
        at=ended_at or subscription.began_at,
        objects=(subscription.gateway_id,),
    )


def _cause_of_payment(
    facts: AccountFacts,
    verdict: AccountVerdict,
    standing: Standing,
    effect: PaymentEffect,
) -> Cause:
    known = {it.payment.id: it.payment for it in facts.payments}
    payment = known.get(effect.payment_id)
    code = CauseCode.PAYMENT_PENDING
    match verdict.payment_status, payment:
        case PaymentStatus.FAILED, Payment():
            return _cause_of_failed(facts, payment)
        case PaymentStatus.DISPUTED, Payment(dispute=DisputeState.LOST):
            code = CauseCode.DISPUTE_LOST
        case PaymentStatus.PENDING | PaymentStatus.DISPUTED, Payment(contradicted=True):
            code = CauseCode.PAYMENT_CONTRADICTED
        case PaymentStatus.PAID, Payment() if _decides(payment, facts, verdict):
            code = CauseCode.INVOICE_UNKNOWN
        case PaymentStatus.PAID, _:
            return _cause_of_paid(facts, verdict, standing)
        case status, _:
            code = _OF_PAYMENT.get(status, code)
    return Cause(code=code, at=effect.created_at, objects=(effect.payment_id,))


_OF_PAYMENT: Final[Mapping[PaymentStatus, CauseCode]] = {
    PaymentStatus.FAILED: CauseCode.PAYMENT_DECLINED,
    PaymentStatus.REFUNDED: CauseCode.REFUNDED,
    PaymentStatus.DISPUTED: CauseCode.DISPUTED,
}


def _cause_of_failed(facts: AccountFacts, payment: Payment) -> Cause:
    """Return why the last payment failed, or that its subscription ended with it."""
    made_at, subscriptions = payment.created_at, facts.account.subscriptions
    lived = [
        it
        for it in subscriptions
        if made_at and it.lived_at(made_at) and may_have_paid(payment, it)
    ]
    if not lived or any(not it.is_terminal for it in subscriptions):
        return _declined(payment)
    return Cause(
        code=CauseCode.SUBSCRIPTION_ENDED,
        at=lived[-1].report.ended_at,
        objects=(lived[-1].gateway_id, payment.id),
        failure_code=payment.failure_code,
    )


def _decides(payment: Payment, facts: AccountFacts, verdict: AccountVerdict) -> bool:
    """Say whether money was taken for an unknown purpose, after all paid time."""
    by, made_at = verdict.date_by, payment.created_at
    if by is not None and not isinstance(by, PaidPeriod):
        return False
    if by is not None and made_at is not None and made_at < by.ends_at:
        return False
    invoices = frozenset(it.invoice_id for it in facts.periods)
    return is_unexplained(payment, facts.account.subscriptions, invoices)


def _cause_of_paid(
    facts: AccountFacts, verdict: AccountVerdict, standing: Standing
) -> Cause:
    """Return what was paid, from the fact that ends at the date."""
    match verdict.date_by:
        case PaidPeriod() as period:
            own = [
                it
                for it in facts.account.subscriptions
                if it.gateway_id == period.gateway_id
            ]
            code = CauseCode.PAID_PERIOD
            if not standing.entitled:
                ended = bool(own) and own[0].is_terminal
                code = CauseCode.SUBSCRIPTION_ENDED if ended else CauseCode.PERIOD_OVER
            return Cause(
                code=code,
                at=period.starts_at,
                objects=(period.gateway_id, period.invoice_id),
            )
        case PrepaidMonths() as months:
            is_held = standing.entitled
            bought = [it.payment.id for it in facts.payments if months.has(it.payment)]
            return Cause(
                code=CauseCode.PREPAID_MONTH if is_held else CauseCode.PERIOD_OVER,
                at=months.anchor,
                objects=tuple(bought[:1]),
            )
        case Subscription() as trial:
            is_held = standing.entitled
            return _about(CauseCode.TRIAL if is_held else CauseCode.TRIAL_ENDED, trial)
        case None:
            # Money that bought no time: part of a subscription's payment.
            latest = facts.account.summary.latest
            return Cause(
                code=CauseCode.PERIOD_NOT_PAID,
                at=latest.created_at if latest else None,
                objects=(latest.payment_id,) if latest else (),
            )


_S = SubscriptionStatus
_CODES: Final[Mapping[SubscriptionStatus, CauseCode]] = {
    _S.PAUSED: CauseCode.SUBSCRIPTION_PAUSED,
    _S.ACTIVE: CauseCode.PERIOD_NOT_PAID,
    _S.CANCELED: CauseCode.SUBSCRIPTION_ENDED,
    _S.INCOMPLETE_EXPIRED: CauseCode.FIRST_PAYMENT_EXPIRED,
}
_HELD_BACK: Final = (
    (EventState.QUARANTINED, CauseCode.QUARANTINED),
    (EventState.PENDING, CauseCode.SYNC_PENDING),
)


def _cause_of_nothing(facts: AccountFacts) -> Cause:
    """Return why no payment is known."""
    subscriptions = facts.account.subscriptions
    if subscriptions:
        open_ones = [it for it in subscriptions if not it.is_terminal]
        newest = (open_ones or subscriptions)[-1]
        code = _CODES[newest.status]
        if code is CauseCode.SUBSCRIPTION_ENDED and newest.free_until is not None:
            code = CauseCode.TRIAL_ENDED
        return _about(code, newest)
    unlinked = facts.unlinked
    if unlinked.payments or unlinked.subscriptions:
        first = [it.payment.id for it in unlinked.payments]
        return Cause(
            code=CauseCode.UNLINKED,
            objects=(*first, *(it.gateway_id for it in unlinked.subscriptions)),
        )
    for state, code in _HELD_BACK:
        held = [it for it in facts.events if it.outcome.state is state]
        if held:
            return Cause(code=code, at=held[0].created_at, objects=(held[0].key.id,))
    if facts.jobs or facts.intents:
        waits = [it.key.subject for it in facts.jobs] or [it.id for it in facts.intents]
        return Cause(code=CauseCode.SYNC_PENDING, objects=tuple(waits))
    return Cause(code=CauseCode.NOTHING_KNOWN)


def _payments_of(subscription: Subscription, facts: AccountFacts) -> Sequence[Payment]:
    """Return the payments that may be for a subscription's invoices."""
    return [
        it.payment
        for it in facts.payments
        if it.payment.subscription_id == subscription.gateway_id
        or (
            it.payment.subscription_id is None
            and not it.payment.invoice_known
            and it.payment.created_at is not None
            and subscription.lived_at(it.payment.created_at)
            and may_have_paid(it.payment, subscription)
        )
    ]
