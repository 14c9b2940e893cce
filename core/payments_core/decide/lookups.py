"""Find what must be loaded before facts can be decided on."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from payments_core.changes import Lookup
from payments_core.events import CardReported, SyncNeeded
from payments_core.facts import (
    AccessEndDue,
    CardObserved,
    CloseDecided,
    CustomerBound,
    CustomerDeleted,
    LinkDecided,
    LinkRequested,
    LogGapFound,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionLinkDecided,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.job_key import JobKind
from payments_core.linking import NO_KEYS, LinkKeys, link_keys


def lookup_of(sources: Sequence[SourcedFacts]) -> Lookup:
    """Return the lookup for these sources; a decision may ask for more."""
    facts: dict[type, list[Any]] = defaultdict(list)
    for source in sources:
        for fact in source.facts:
            facts[type(fact)].append(fact)
    payments = [
        it.payment for it in (*facts[PaymentReported], *facts[PaymentCorrected])
    ]
    reports = [it.report for it in facts[SubscriptionObserved]]
    intents = [source.intent for source in sources if source.intent]
    decided, sold = facts[LinkDecided], facts[SubscriptionLinkDecided]
    # Its possible owner is loaded, too: a thing of an erased user stays ignored.
    payments += [it.fetched for it in decided if it.fetched]
    reports += [it.observed.report for it in sold if it.observed]
    synced: dict[JobKind, list[Any]] = defaultdict(list)
    for it in facts[SyncNeeded]:
        synced[it.job.kind].append(it.job.subject)
    users = [it.user_id for it in (*facts[LinkRequested], *intents)]
    users += [it.user_id for it in (*facts[AccessEndDue], *facts[LogGapFound])]
    users += [it.user_id for it in (*decided, *sold) if it.user_id]
    cards = (*facts[CardObserved], *facts[CardReported], *facts[CustomerDeleted])
    customers = [it.customer_id for it in cards]
    keys, claims = link_keys(payments, reports), NO_KEYS
    if users or customers:
        keys |= LinkKeys(frozenset(users), frozenset(customers))
    for fact in (*facts[UserRegistered], *facts[CustomerBound]):
        claims |= claims_of(fact)
    return Lookup(
        keys=keys if claims is NO_KEYS else keys | claims,
        payments=frozenset(
            [
                *(it.id for it in payments),
                *(it.payment_id for it in decided),
                *synced[JobKind.PAYMENT],
            ]
        ),
        subscriptions=frozenset(
            [
                *(it.period.gateway_id for it in facts[PeriodPaid]),
                *(it.gateway_id for it in (*reports, *sold)),
                *synced[JobKind.SUBSCRIPTION],
            ]
        ),
        events=frozenset(
            [
                *(it.event.key for it in sources if it.event),
                *(it.key for it in facts[CloseDecided]),
            ]
        ),
        # A subscription in an operation's result has probably begun or ended: a replay.
        histories=frozenset(
            [
                source.intent.user_id
                for source in sources
                if source.intent
                and any(isinstance(it, SubscriptionObserved) for it in source.facts)
            ]
        ),
        unlinked=claims,
        link_keys=claims,
        intents=frozenset([intent.id for intent in intents]),
        # The replaced customer may be in use by an operation.
        open_intents=frozenset(
            [it.user_id for it in facts[UserRegistered] if it.by_hand is not None]
        ),
        customers=frozenset(
            [
                *(
                    it.event.customer_id
                    for it in sources
                    if it.event and it.event.customer_id
                ),
                *synced[JobKind.CUSTOMER],
            ]
        ),
    )


def claims_of(fact: UserRegistered | CustomerBound) -> LinkKeys:
    """Return the keys that an account has after this."""
    email = fact.email.key if isinstance(fact, UserRegistered) else None
    return LinkKeys(
        frozenset({fact.user_id}),
        frozenset({fact.customer_id} if fact.customer_id else ()),
        frozenset({email} if email else ()),
    )
