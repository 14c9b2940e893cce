"""Decide on reports and corrections of payments.

Rule 1: a report merges into the known payment; an unchanged payment changes nothing.
Rule 2: a new latest payment is added to the account's summary; anything else replays
        all its payments. So does a payment that belongs to a paid period, or may take
        one back.
Rule 3: a correction that is older than the known payment is fetched again.
Rule 4: a payment within a subscription's life causes a sync of it, unless it says
        nothing new.
Rule 5: a change of money in an event applies only if the event was created after the
        last fetched answer: a refund that has failed since must not apply again.
        Otherwise the payment is fetched again.
Rule 6: the owner of a payment can be set by hand, and then nothing else changes it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.account import PaymentAccount
from payments_core.by_hand import ActionByHand, ChangeByHand
from payments_core.decide.decision import QUARANTINED, subscription_job
from payments_core.decide.group import Group
from payments_core.entitlement import PaymentEffect, is_unexplained, status_of
from payments_core.errors import (
    AccountNotFound,
    PaymentLinked,
    PaymentNotFound,
    PaymentOfSubscription,
    Rejected,
)
from payments_core.events import EventState, Outcome
from payments_core.facts import (
    APPLIED,
    LinkDecided,
    PaymentCorrected,
    PaymentReported,
    SourcedFacts,
)
from payments_core.job_key import JobKey, JobKind
from payments_core.linking import link_keys
from payments_core.paid_periods import needs_invoice
from payments_core.payment import DisputeState, Payment, PaymentRecord
from payments_core.subscription import Subscription, SubscriptionStatus
from payments_core.subscription_merge import EVENT_CLOCK_SLACK

# Other events come with a payment and may make the sync unnecessary.
SYNC_AFTER_PAYMENT: Final = timedelta(seconds=3)


def report_payment(
    group: Group, fact: PaymentReported, source: SourcedFacts
) -> Outcome:
    before = group.payment(fact.payment.id)
    after = before.payment.merge(fact.payment) if before else fact.payment
    if not (group.may_be_ours(after) or _stays(before, after)):
        return QUARANTINED
    if before is None or after != before.payment or before.user_id != group.owner:
        if before is not None and before.as_of and _is_old(before, after, source):
            return _fetched_again(group, after, "it may be older than what was fetched")
        put_payment(group, before, after, group.known.snapshot.sequence)
    if not after.contradicted:
        return APPLIED
    return _fetched_again(group, after, "contradicts an earlier report")


def _stays(before: PaymentRecord | None, after: Payment) -> bool:
    """Say whether a payment stays linked, although another user has its customer now.

    A decision by hand takes precedence over all data of the payment.
    """
    return before is not None and (
        before.linked_by_hand
        or (
            before.user_id is not None
            and before.payment.customer_id == after.customer_id
            and after.metadata_user_id in {None, before.user_id}
        )
    )


def _is_old(before: PaymentRecord, after: Payment, source: SourcedFacts) -> bool:
    """Say whether an event's change of money may be older than the last fetch."""
    if source.event is None or before.as_of is None:
        return False
    known = before.payment
    tells_of_money = (after.state, after.dispute, after.refunded_minor) != (
        known.state,
        known.dispute,
        known.refunded_minor,
    )
    return (
        tells_of_money and source.event.created_at <= before.as_of + EVENT_CLOCK_SLACK
    )


def _fetched_again(group: Group, payment: Payment, reason: str) -> Outcome:
    job = JobKey(JobKind.PAYMENT, payment.id)
    group.sync(job, reason)
    return Outcome(EventState.PENDING, reason, job)


def correct_payment(group: Group, fact: PaymentCorrected, _: SourcedFacts) -> Outcome:
    before = group.payment(fact.payment.id)
    if not (group.may_be_ours(fact.payment) or _stays(before, fact.payment)):
        return QUARANTINED
    if before is not None and fact.sequence <= before.sequence:
        job = JobKey(JobKind.PAYMENT, fact.payment.id)
        return Outcome(EventState.PENDING, "a newer report came first", job)
    put_payment(group, before, fact.payment, fact.sequence)
    _note_answer(group, fact.payment, fact.at)
    return APPLIED


def _note_answer(group: Group, payment: Payment, at: datetime | None) -> None:
    """Record up to which time a fetched answer knows a payment."""
    if at is not None:
        # The answer may include everything that happened in its second.
        record = group.payments[payment.id]
        until = at + EVENT_CLOCK_SLACK
        group.payments[payment.id] = attrs.evolve(record, as_of=until)


def decide_link(group: Group, fact: LinkDecided, _: SourcedFacts) -> Outcome | Rejected:
    """Link a payment to the user that an administrator chose, or unlink it."""
    before, user = group.payment(fact.payment_id), fact.user_id
    payment = before.payment if before else fact.fetched
    if payment is None or (before is None and user is None):
        return PaymentNotFound()
    owner = before.user_id if before else group.known.linked_to(payment)
    if before is not None and before.linked_by_hand and owner == user:
        return APPLIED
    if user is not None and group.account is None:
        return AccountNotFound()
    if user is not None and owner is not None and owner != user:
        return PaymentLinked(owner)
    # Whether a subscription's payments stand decides on its paid periods. A payment
    # that does not exist at the gateway is no money at all.
    paid = None if fact.missing else (fact.fetched or payment).subscription_id
    subscriber = group.subscriber_of(paid) if paid else None
    if subscriber not in {None, user} and (user or subscriber == owner):
        return PaymentOfSubscription(subscriber)
    sequence = before.sequence if before else group.known.snapshot.sequence
    group.by_hand.append(
        ChangeByHand(
            action=ActionByHand.LINK_PAYMENT if user else ActionByHand.UNLINK_PAYMENT,
            subject=fact.payment_id,
            user_id=user or owner,
            decided=fact.by_hand,
        )
    )
    group.note(f"payment {payment.id} {'linked' if user else 'unlinked'} by hand")
    put_payment(group, before, payment, sequence)
    if before is None:
        _note_answer(group, payment, fact.at)
    record = group.payments[payment.id]
    group.payments[payment.id] = attrs.evolve(record, user_id=user, linked_by_hand=True)
    # Changes during a conflict are not known, and neither is what it paid.
    group.sync(JobKey(JobKind.PAYMENT, payment.id), "linked by hand")
    if group.account is not None and user is None:
        group.replays = True
    return APPLIED


def put_payment(
    group: Group, before: PaymentRecord | None, payment: Payment, sequence: int
) -> None:
    """Put a new, changed or newly linked payment into the group."""
    version = before.version if before else 0
    group.payments[payment.id] = PaymentRecord(
        payment,
        group.owner,
        version,
        sequence,
        before is not None and before.linked_by_hand,
        before.as_of if before else None,
    )
    if group.account is None:
        group.link_keys |= link_keys([payment])
        return
    _fold(group, group.account, before, payment)
    group.note(f"payment {payment.id} {payment.state.value}")
    for subscription in group.account.subscriptions:
        if not subscription.is_terminal and _tells_more(payment, subscription):
            key = subscription_job(subscription.gateway_id)
            group.sync(key, f"payment {payment.id}", after=SYNC_AFTER_PAYMENT)


def _fold(
    group: Group,
    account: PaymentAccount,
    before: PaymentRecord | None,
    payment: Payment,
) -> None:
    subscriptions = account.subscriptions
    # Its earlier state may have taken a period back, too.
    was = before.payment if before else payment
    is_linked = payment.subscription_id is not None or was.subscription_id is not None
    if is_linked or (
        subscriptions and (_is_about_a_period(payment) or _is_about_a_period(was))
    ):
        # The result depends on the other payments of that period: replay the history.
        group.replays = True
        return
    if subscriptions and needs_invoice(
        payment, subscriptions, some_returned=account.summary.returned_at is not None
    ):
        group.ask_invoice(payment)
    effect, seen = PaymentEffect.of(payment, subscriptions), None
    if before is not None and before.user_id is not None:
        seen = PaymentEffect.of(before.payment, subscriptions)
    if effect == seen:
        return
    if seen or effect is None or not account.summary.takes(effect):
        group.replays = True
        return
    summary = account.summary.advance(effect)
    if (
        subscriptions
        and is_unexplained(payment, subscriptions)
        and status_of(summary, subscriptions) is not account.payment_status
    ):
        # The status depends on what it paid for.
        group.replays = True
        return
    group.account = account.with_summary(summary)


def _is_about_a_period(payment: Payment) -> bool:
    """Say whether a payment may belong to a paid period, or take one back."""
    return (
        payment.invoice_id is not None
        or payment.money_returned
        or payment.dispute is not DisputeState.NONE
    )


_IN_ARREARS: Final[Mapping[bool, frozenset[SubscriptionStatus]]] = MappingProxyType(
    {
        True: frozenset({SubscriptionStatus.ACTIVE}),
        False: frozenset({SubscriptionStatus.PAST_DUE, SubscriptionStatus.UNPAID}),
    }
)


def _tells_more(payment: Payment, subscription: Subscription) -> bool:
    """Say whether a payment says something new about a subscription."""
    created_at = payment.created_at
    if created_at is None or not subscription.lived_at(created_at):
        return False
    if subscription.status not in _IN_ARREARS[payment.money_stayed]:
        return True
    if not payment.money_stayed:
        return False
    period = subscription.paid_period
    if period is None or not subscription.covered:
        return True
    # It paid for another period than the last known one.
    return not period.starts_at <= created_at < period.ends_at
