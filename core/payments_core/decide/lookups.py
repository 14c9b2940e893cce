"""What has to be loaded before anything can be decided on some facts."""

from collections.abc import Iterable

from payments_core.changes import Lookup
from payments_core.facts import (
    CardObserved,
    CustomerBound,
    Fact,
    LinkRequested,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.linking import NO_KEYS, LinkKeys, link_keys


def lookup_of(sources: Iterable[SourcedFacts]) -> Lookup:
    """Return the lookup for these sources; a decision may ask for more."""
    sources = list(sources)
    facts = [fact for source in sources for fact in source.facts]
    intents = [source.intent for source in sources if source.intent]
    events = (source.event.key for source in sources if source.event)
    paid = (it.period.gateway_id for it in facts if isinstance(it, PeriodPaid))
    reports = [it.report for it in facts if isinstance(it, SubscriptionObserved)]
    payments = [
        it.payment for it in facts if isinstance(it, PaymentReported | PaymentCorrected)
    ]
    # What an operation observes has begun or ended, most likely: that is a replay.
    replayed = (
        source.intent.user_id
        for source in sources
        if source.intent
        and any(isinstance(it, SubscriptionObserved) for it in source.facts)
    )
    claims = _claimed(facts)
    named = LinkKeys(
        frozenset(
            (
                *(it.user_id for it in facts if isinstance(it, LinkRequested)),
                *(intent.user_id for intent in intents),
            )
        ),
        frozenset(it.customer_id for it in facts if isinstance(it, CardObserved)),
    )
    return Lookup(
        keys=link_keys(payments, reports) | named | claims,
        payments=frozenset(it.id for it in payments),
        subscriptions=frozenset((*paid, *(it.gateway_id for it in reports))),
        events=frozenset(events),
        histories=frozenset(replayed),
        unlinked=claims,
        link_keys=claims,
        intents=frozenset(intent.id for intent in intents),
    )


def _claimed(facts: Iterable[Fact]) -> LinkKeys:
    claims = NO_KEYS
    for fact in facts:
        if isinstance(fact, UserRegistered | CustomerBound):
            claims |= claims_of(fact)
    return claims


def claims_of(fact: UserRegistered | CustomerBound) -> LinkKeys:
    """Return the keys that an account has after this."""
    email = fact.email.key if isinstance(fact, UserRegistered) else None
    return LinkKeys(
        frozenset({fact.user_id}),
        frozenset({fact.customer_id} if fact.customer_id else ()),
        frozenset({email} if email else ()),
    )
