"""Decide on observations of subscriptions and on their paid periods.

Rule 1: an observation merges with what is known (`payments_core.subscription_merge`).
Rule 2: a card that a subscription pins is shown instead of the default: if that card
        changes or is removed, the customer is synced.
Rule 3: the beginning or the end of a subscription's life replays all payments, and so
        does a paid period.
Rule 4: the owner of a subscription can be set by hand, and then nothing else changes
        it, whatever its customer and its metadata say.
"""

import attrs

from payments_core.by_hand import ActionByHand, ChangeByHand
from payments_core.changes import Lookup
from payments_core.decide.decision import (
    QUARANTINED,
    customer_job,
    subscription_job,
)
from payments_core.decide.group import Group
from payments_core.errors import (
    AccountNotFound,
    Rejected,
    SubscriptionLinked,
    SubscriptionNotFound,
)
from payments_core.events import EventState, Outcome
from payments_core.facts import (
    APPLIED,
    CardObserved,
    PeriodPaid,
    SourcedFacts,
    SubscriptionLinkDecided,
    SubscriptionObserved,
)
from payments_core.linking import link_keys
from payments_core.subscription import (
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
    newest_own_card,
)
from payments_core.subscription_merge import Observation, merge_observation


def observe_subscription(
    group: Group, fact: SubscriptionObserved, source: SourcedFacts
) -> Outcome:
    report = fact.report
    job = subscription_job(report.gateway_id)
    known = group.subscription(report.gateway_id)
    if not _may_be_ours(group, known, report):
        if source.intent is not None:
            # Its customer was bound to another user meanwhile: a sync finds the owner.
            group.sync(job, "its customer is another user's")
        return QUARANTINED
    sequence = fact.sequence
    if sequence is None:
        sequence = group.known.snapshot.sequence
    result = merge_observation(
        known,
        Observation(report=report, at=fact.at, sequence=sequence, fetched=fact.fetched),
    )
    if result.subscription is not None:
        after = attrs.evolve(result.subscription, user_id=group.owner)
        put_subscription(group, known, after, source)
        if source.intent is not None:
            # Events of its own calls came before it, and did not request a sync.
            _follow_own_card(group, report)
        if source.intent is not None and after.is_terminal and not after.covered:
            # The answer to an operation does not have the last payment.
            group.sync(job, "ended")
    now = result.subscription or known
    if now is not None and report.own_card != now.report.own_card:
        # An older report is not applied. But its card paid once: it may have been
        # fetched and be the card that is shown, although later reports said nothing
        # new.
        _ask_for_card(group, report, source)
    if result.sync_reason is None:
        return APPLIED
    group.sync(job, result.sync_reason)
    return Outcome(EventState.PENDING, result.sync_reason, job)


def _may_be_ours(
    group: Group, known: Subscription | None, report: SubscriptionReport
) -> bool:
    if known is not None and known.linked_by_hand:
        return known.user_id == group.owner
    is_anothers = known is not None and known.user_id not in {None, group.owner}
    return group.may_be_ours(report) and not is_anothers


def decide_subscription_link(
    group: Group, fact: SubscriptionLinkDecided, _: SourcedFacts
) -> Outcome | Rejected:
    """Link a subscription to the user that an administrator chose, or unlink it."""
    before, user = group.subscription(fact.gateway_id), fact.user_id
    known = before or _first(fact)
    if known is None or (before is None and user is None):
        return SubscriptionNotFound()
    owner = before.user_id if before else group.known.linked_to(known.report)
    if known.linked_by_hand and owner == user:
        return APPLIED
    if user is not None and group.account is None:
        return AccountNotFound()
    if user is not None and owner is not None and owner != user:
        return SubscriptionLinked(owner)
    linked = ActionByHand.LINK_SUBSCRIPTION
    group.by_hand.append(
        ChangeByHand(
            action=linked if user else ActionByHand.UNLINK_SUBSCRIPTION,
            subject=fact.gateway_id,
            user_id=user or owner,
            decided=fact.by_hand,
        )
    )
    after = attrs.evolve(known, user_id=user, linked_by_hand=True)
    if user is None:
        _take_away(group, after)
    else:
        put_subscription(group, before, after)
    done = "linked" if user else "unlinked"
    group.note(f"subscription {fact.gateway_id} {done} by hand")
    # Changes during a conflict are not known, and neither is what was paid.
    group.sync(subscription_job(fact.gateway_id), f"{done} by hand")
    return APPLIED


def _first(fact: SubscriptionLinkDecided) -> Subscription | None:
    if (seen := fact.observed) is None or seen.sequence is None:
        return None
    observation = Observation(
        report=seen.report, at=seen.at, sequence=seen.sequence, fetched=True
    )
    return merge_observation(None, observation).subscription


def _take_away(group: Group, subscription: Subscription) -> None:
    """Unlink a subscription from its user, if any, with its paid periods."""
    group.subscriptions[subscription.gateway_id] = subscription
    if group.account is None:
        return
    group.account = group.account.without_subscription(subscription)
    group.unlinked.append(subscription)
    group.replays = True
    if subscription.report.own_card is not None:
        _follow_own_card(group, subscription.report, changed=True)


def pay_period(group: Group, fact: PeriodPaid, source: SourcedFacts) -> Outcome:
    period = fact.period
    known = group.subscription(period.gateway_id)
    if known is None or known.user_id != group.owner:
        job = subscription_job(period.gateway_id)
        group.sync(job, "not known yet")
        reason = "its subscription is not known yet"
        return Outcome(EventState.PENDING, reason, job)
    if period.item_id not in {None, known.report.item_id}:
        # The period is of an item that others added; or our item has been replaced.
        if source.event is None:
            return source.job_outcome
        job, reason = subscription_job(period.gateway_id), "another item was paid"
        group.sync(job, reason)
        return Outcome(EventState.PENDING, reason, job)
    if group.account is None:
        own = Lookup(periods_of=frozenset({period.gateway_id}))
        if own.periods_of - group.known.snapshot.lookup.periods_of:
            group.need(own)
        elif group.has_paid(period):
            return APPLIED
        # Also if nothing changes: a concurrent link must not miss the period.
        group.link_keys |= link_keys(subscriptions=[known.report])
        put_subscription(group, known, known.paid(period))
    else:
        # Payments of this invoice now have an effect; their money may already be
        # returned.
        group.replays = True
    group.periods.append(period)
    return APPLIED


def put_subscription(
    group: Group,
    before: Subscription | None,
    after: Subscription,
    source: SourcedFacts | None = None,
) -> None:
    """Put a new, changed or newly linked subscription into the group."""
    if after == before:
        return
    group.subscriptions[after.gateway_id] = after
    group.note(f"subscription {after.gateway_id} {after.status.value}")
    if group.account is None:
        group.link_keys |= link_keys(subscriptions=[after.report])
        return
    group.account = group.account.with_subscription(after)
    linked = before if before and before.user_id is not None else None
    # A subscription that was not known may have paid by the shown card, until it ended
    # or lost that card.
    if linked is None or after.report.own_card != linked.report.own_card:
        _ask_for_card(group, after.report, source)
    if _life(after) != (_life(linked) if linked else None):
        group.replays = True


def _ask_for_card(
    group: Group, report: SubscriptionReport, source: SourcedFacts | None
) -> None:
    """Request a sync of the card, unless this source has it or is our own change."""
    is_told = source is not None and (
        _tells_card(source) or group.is_own_card_change(source)
    )
    if not is_told:
        _follow_own_card(group, report, changed=True)


def _tells_card(source: SourcedFacts) -> bool:
    """Say whether the source also has the card that pays, as fetched."""
    return source.intent is None and any(
        isinstance(it, CardObserved) for it in source.facts
    )


def _follow_own_card(
    group: Group, report: SubscriptionReport, *, changed: bool = False
) -> None:
    """Request a sync of the card, unless the shown card is pinned by a subscription."""
    account, customer = group.account, report.customer_id
    if account is None or account.customer_id != customer:
        return
    reports = (it.report for it in account.subscriptions)
    own = newest_own_card(it for it in reports if it.customer_id == customer)
    if own is not None and account.card is not None and own == account.card.id:
        group.confirm_card()
    elif own is not None or changed:
        group.sync(customer_job(customer), "a subscription has another card")


def _life(subscription: Subscription) -> tuple[object, ...]:
    """Return the values of a subscription that decide what payments mean."""
    report = subscription.report
    lived = report.status is not SubscriptionStatus.INCOMPLETE_EXPIRED
    return report.created_at, report.ended_at, not subscription.is_terminal, lived
