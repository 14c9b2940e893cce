"""Which card is shown, and when the gateway is asked for it."""

from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CUS_1,
    CUS_2,
    NOON,
    a_job,
    a_report,
    a_subscription,
    an_account,
    an_event,
    an_intent,
)
from payments_core.account import PaymentAccount
from payments_core.card import Card
from payments_core.changes import Changes, JobFinish
from payments_core.events import (
    CardChange,
    CardReported,
    EventState,
    Outcome,
)
from payments_core.facts import (
    CardObserved,
    CustomerBound,
    SourcedFacts,
    SubscriptionObserved,
    facts_of,
)
from payments_core.intent import Intent, IntentKind, IntentState
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.subscription import SubscriptionReport, SubscriptionStatus
from support.deciding import Kept, found
from support.subscribed import fetched, only

VISA: Final = Card(id="pm_1", brand="visa", last4="4242", exp_month=12, exp_year=2034)
OTHER: Final = Card(
    id="pm_2", brand="mastercard", last4="4444", exp_month=1, exp_year=2031
)
LATER: Final = attrs.evolve(VISA, exp_year=2038)
THEIRS: Final = JobKey(JobKind.CUSTOMER, CUS_1)
SEQUENCE: Final = 40
OVER: Final = SubscriptionStatus.CANCELED


def shown(card: Card | None) -> PaymentAccount:
    """Return Ada's account, which shows a card since a number was drawn."""
    account = an_account(customer=CUS_1)
    return attrs.evolve(account, card=card, card_sequence=SEQUENCE)


def kept_with(card: Card | None, *intents: Intent, **pinned: str | None) -> Kept:
    """Save an account that shows a card, and a subscription for each pinned card."""
    subscriptions = [
        a_subscription(pinning(name, card_id), owner=ADA)
        for name, card_id in pinned.items()
    ]
    kept = Kept.of(shown(card), *subscriptions)
    # Each load draws a number.
    kept.database.last_sequence = SEQUENCE
    for intent in intents:
        kept.database.tables.put_intent(attrs.evolve(intent, version=1))
    return kept


def pinning(
    name: str = "sub_1", card_id: str | None = "pm_1", **fields: Any
) -> SubscriptionReport:
    return attrs.evolve(a_report(name, **fields), pinned_card=card_id)


def told(
    change: CardChange,
    card: Card | None = VISA,
    *,
    key: str | None = None,
    number: int = 1,
) -> SourcedFacts:
    """Return an event's report, caused by a request with this key."""
    report = CardReported(
        customer_id=CUS_1,
        change=change,
        card_id=card.id if card else None,
        card=card if change in {CardChange.ATTACHED, CardChange.CHANGED} else None,
        reason="told",
    )
    event = an_event(f"evt_{number}", report)
    return facts_of(attrs.evolve(event, request_key=key))


def observed(card: Card | None, sequence: int) -> CardObserved:
    return CardObserved(customer_id=CUS_1, card=card, sequence=sequence)


def after(group: Changes) -> PaymentAccount:
    assert group.after is not None
    return group.after


def jobs(group: Changes) -> list[JobKey]:
    return [job.key for job in group.jobs]


# What events report


NEWS: Final = [
    (CardChange.DEFAULT, OTHER, VISA),
    (CardChange.DEFAULT, None, VISA),
    (CardChange.DEFAULT, VISA, None),
    (CardChange.ATTACHED, VISA, None),
    (CardChange.CHANGED, LATER, VISA),
    (CardChange.DETACHED, VISA, VISA),
]
NO_NEWS: Final = [
    (CardChange.DEFAULT, VISA, VISA),
    # It says which card, and nothing of the card.
    (CardChange.DEFAULT, VISA, LATER),
    (CardChange.DEFAULT, None, None),
    (CardChange.ATTACHED, OTHER, VISA),
    (CardChange.ATTACHED, VISA, VISA),
    (CardChange.CHANGED, VISA, VISA),
    (CardChange.CHANGED, OTHER, VISA),
    (CardChange.CHANGED, VISA, None),
    (CardChange.DETACHED, OTHER, VISA),
    (CardChange.DETACHED, VISA, None),
]


@pytest.mark.parametrize(("change", "card", "known"), NEWS)
def test_news_of_a_card_is_a_reason_to_ask(
    change: CardChange, card: Card | None, known: Card | None
) -> None:
    """
    It is not trusted: the event waits for the gateway's answer.
    """
    decision = kept_with(known).decide(told(change, card))

    group = only(decision.groups)
    assert jobs(group) == [THEIRS]
    assert not group.changes_account
    outcome = Outcome(EventState.PENDING, "told", THEIRS)
    assert decision.decided[0].outcome == outcome


@pytest.mark.parametrize(("change", "card", "known"), NO_NEWS)
def test_what_says_nothing_new_is_not_asked_about(
    change: CardChange, card: Card | None, known: Card | None
) -> None:
    """
    But a fetch in progress may be older than that.
    """
    snapshot, decision = kept_with(known).load(told(change, card))

    group = only(decision.groups)
    assert jobs(group) == []
    assert decision.decided[0].outcome == APPLIED
    assert after(group).card == known
    assert after(group).card_sequence == snapshot.sequence > SEQUENCE


def test_the_cards_of_a_customer_who_is_nobodys_are_not_asked_about() -> None:
    """
    The operation that binds the customer fetches the card.
    """
    decision = Kept.of(an_account(BOB, customer=CUS_2)).decide(told(CardChange.DEFAULT))

    group = only(decision.groups)
    assert (group.after, jobs(group)) == (None, [])
    outcome = Outcome(EventState.IGNORED, "its customer is not bound")
    assert decision.decided[0].outcome == outcome
    bound = found(CustomerBound(user_id=ADA, customer_id=CUS_1, existed=True))
    assert jobs(only(Kept.of(an_account()).decide(bound).groups)) == [THEIRS]


# Results of our own calls


def an_update(state: IntentState = IntentState.SENT, **fields: Any) -> Intent:
    return an_intent("int-1", state, kind=IntentKind.UPDATE_CARD, **fields)


@pytest.mark.parametrize("change", [CardChange.DEFAULT, CardChange.ATTACHED])
@pytest.mark.parametrize(
    "intent",
    [
        an_update(),
        an_update(IntentState.UNKNOWN),
        an_update(IntentState.SUCCEEDED),
        an_intent("int-1", IntentState.SENT),
    ],
)
def test_what_a_call_of_ours_did_is_not_asked_about(
    change: CardChange, intent: Intent
) -> None:
    """
    An event mostly arrives before the answer: the operation records the card at its
    end.
    """
    kept = kept_with(None, intent)
    decision = kept.decide(told(change, OTHER, key="int-1.default.1"))

    group = only(decision.groups)
    assert decision.decided[0].outcome == APPLIED
    assert (jobs(group), group.changes_account) == ([], False)


@pytest.mark.parametrize(
    ("intent", "key"),
    [
        # A refused or lost call says nothing.
        (an_update(IntentState.REFUSED), "int-1.default.1"),
        (an_update(IntentState.ABANDONED), "int-1.default.1"),
        (an_update(user=BOB), "int-1.default.1"),
        (an_intent("int-1", kind=IntentKind.END_SUBSCRIPTION), "int-1.end.1"),
        (an_update(), "int-2.default.1"),
        (an_update(), "int-1"),
        (an_update(), ".default.1"),
        (an_update(), "any key"),
        (an_update(), None),
    ],
)
def test_what_another_did_is_asked_about(intent: Intent, key: str | None) -> None:
    """
    Whatever the key of their request looks like.
    """
    group = only(
        kept_with(VISA, intent).decide(told(CardChange.DEFAULT, OTHER, key=key)).groups
    )
    assert jobs(group) == [THEIRS]


# Fetched cards


@pytest.mark.parametrize(
    ("sequence", "card"), [(SEQUENCE + 1, OTHER), (SEQUENCE + 1, None)]
)
def test_a_card_that_is_fetched_is_shown(sequence: int, card: Card | None) -> None:
    """
    Or that there is none any longer.
    """
    job = a_job(CUS_1, JobKind.CUSTOMER)
    source = SourcedFacts(facts=(observed(card, sequence),), job=job)
    group = only(kept_with(VISA).decide(source).groups)

    assert (after(group).card, after(group).card_sequence) == (card, sequence)
    [finish] = group.finished
    assert finish == JobFinish(job, job.finished(), APPLIED, NOON)


def test_a_fetched_card_that_was_overtaken_is_fetched_again() -> None:
    """
    Something was learned since its number was drawn, and only the gateway knows which
    is newer.
    """
    job = a_job(CUS_1, JobKind.CUSTOMER)
    source = SourcedFacts(facts=(observed(OTHER, SEQUENCE - 1),), job=job)
    group = only(kept_with(VISA).decide(source).groups)

    assert not group.changes_account
    assert group.finished == (JobFinish(job, job.requeued(NOON), None, NOON),)
    assert jobs(group) == []


def test_what_a_fetch_said_twice_finishes_it() -> None:
    """
    A reply was lost, and the same result is recorded again.
    """
    job = a_job(CUS_1, JobKind.CUSTOMER)
    source = SourcedFacts(facts=(observed(VISA, SEQUENCE),), job=job)
    [finish] = only(kept_with(VISA).decide(source).groups).finished

    assert finish.after == job.finished()


# Results of operations


def done(card: Card, sequence: int) -> SourcedFacts:
    ended = an_update(IntentState.SUCCEEDED)
    return SourcedFacts(
        facts=(observed(card, sequence),), intent=attrs.evolve(ended, version=1)
    )


def test_a_card_of_an_operation_is_newer_than_what_was_being_fetched() -> None:
    """
    A fetch may have a greater number than the call, and come from before it.
    """
    kept = kept_with(VISA, an_update())
    kept.record(done(OTHER, SEQUENCE))
    fetching = kept.database.last_sequence - 1
    job = a_job(CUS_1, JobKind.CUSTOMER)
    source = SourcedFacts(facts=(observed(VISA, fetching),), job=job)

    [finish] = only(kept.decide(source).groups).finished
    assert finish.after == job.requeued(NOON)
    assert kept.database.tables.accounts[ADA].card == OTHER


def test_a_card_of_an_operation_that_was_overtaken_is_asked_for() -> None:
    """
    Something was learned since it began.
    """
    kept = kept_with(VISA, an_update())
    group = only(kept.decide(done(OTHER, SEQUENCE - 1)).groups)

    assert (after(group).card, jobs(group)) == (VISA, [THEIRS])


# Cards set for subscriptions


@pytest.mark.parametrize(
    ("known", "before", "report", "asks"),
    [
        # No card is shown: the pinned one may be.
        (None, None, pinning(), True),
        (None, None, pinning(card_id=None), False),
        (None, "pm_1", pinning(card_id=None), True),
        (None, "pm_1", pinning(card_id="pm_2"), True),
        (None, None, pinning(status=OVER, ended_at=NOON), False),
        # The shown card may be the one that was pinned.
        (VISA, "pm_1", pinning(), False),
        (VISA, "pm_1", pinning(card_id="pm_2"), True),
        (VISA, "pm_1", pinning(card_id=None), True),
        (VISA, "pm_1", pinning(status=OVER, ended_at=NOON), True),
        # It paid by default, or must again.
        (VISA, None, pinning(card_id="pm_2"), True),
        (VISA, "pm_2", pinning(card_id=None), True),
        # It is the pinned one now.
        (VISA, None, pinning(), False),
        (VISA, "pm_2", pinning(), False),
    ],
)
def test_another_card_of_a_subscription_is_a_reason_to_ask(
    known: Card | None, before: str | None, report: SubscriptionReport, *, asks: bool
) -> None:
    """
    If it may be the shown card, or must be shown from now on.
    """
    kept = kept_with(known, sub_1=before)
    snapshot, decision = kept.load(found(fetched(report, sequence=9)))

    group = only(decision.groups)
    assert jobs(group) == ([THEIRS] if asks else [])
    assert after(group).card == known
    is_told = report.own_card != before
    kept_number = SEQUENCE if asks or not is_told else snapshot.sequence
    assert after(group).card_sequence == kept_number


def test_a_subscription_of_another_customer_shows_no_card() -> None:
    """
    It is Ada's by its metadata; the cards of that customer are not.
    """
    report = pinning(user=ADA, customer=CUS_2)
    group = only(kept_with(None).decide(found(fetched(report))).groups)

    assert [it.gateway_id for it in after(group).subscriptions] == ["sub_1"]
    assert jobs(group) == []


@pytest.mark.parametrize(("pinned", "asks"), [("pm_1", False), ("pm_2", True)])
def test_an_operation_whose_event_came_first_asks_for_the_card(
    pinned: str, *, asks: bool
) -> None:
    """
    The event caused no fetch, because the operation records the card. Without a card of
    its own it does not: what was pinned is the default of that time.
    """
    kept = kept_with(VISA, an_update(), sub_1=pinned)
    ended = attrs.evolve(an_update(IntentState.SUCCEEDED), version=1)
    report = fetched(pinning(card_id=pinned), sequence=9)
    source = SourcedFacts(facts=(report,), intent=ended)
    group = only(kept.decide(source).groups)

    assert (THEIRS in jobs(group)) is asks


def test_the_card_of_another_customers_subscription_is_not_asked_about() -> None:
    """
    It is Ada's, and newer; the shown card is that of the bound customer.
    """
    theirs = pinning("sub_9", "pm_9", customer=CUS_2, at=NOON + timedelta(days=1))
    kept = Kept.of(
        shown(VISA),
        a_subscription(pinning(card_id="pm_0"), owner=ADA),
        a_subscription(theirs, owner=ADA),
    )
    group = only(kept.decide(found(fetched(pinning(), sequence=9))).groups)

    assert jobs(group) == []


def test_the_own_card_of_the_newest_subscription_decides() -> None:
    """
    The card of an older subscription does not matter.
    """
    kept = kept_with(VISA, sub_0="pm_2", sub_1="pm_1")
    report = pinning("sub_0", "pm_3", at=NOON - timedelta(days=9))
    group = only(kept.decide(found(fetched(report, sequence=9))).groups)

    assert jobs(group) == []


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_card_that_a_call_of_ours_pinned_is_not_asked_about(*, is_ours: bool) -> None:
    """
    The operation records the card, as any other.
    """
    kept = kept_with(VISA, an_update(), sub_1="pm_1")
    report = pinning(card_id="pm_2")
    event = attrs.evolve(
        an_event("evt_1", report),
        created_at=NOON.replace(microsecond=0, minute=5),
        request_key="int-1.pin-sub_1.1" if is_ours else "somebody's",
    )
    group = only(kept.decide(facts_of(event)).groups)

    assert after(group).subscriptions[0].report.pinned_card == "pm_2"
    assert jobs(group) == ([] if is_ours else [THEIRS])


def test_a_subscription_that_is_adopted_may_show_its_card() -> None:
    """
    It had no owner until its customer was bound.
    """
    kept = Kept.of(an_account(), a_subscription(pinning()))
    bound = CustomerBound(user_id=ADA, customer_id=CUS_1, existed=False)
    group = only(kept.decide(found(bound)).groups)

    assert jobs(group) == [THEIRS]


def test_the_card_of_an_order_is_told_before_its_subscription() -> None:
    """
    So the owner of the card is known, and nothing is fetched.
    """
    began = SubscriptionObserved(report=pinning(), at=NOON, sequence=SEQUENCE)
    intent = attrs.evolve(an_intent("int-1", IntentState.SENT), version=1)
    kept = kept_with(None, intent)
    source = SourcedFacts(
        facts=(observed(VISA, SEQUENCE), began),
        intent=attrs.evolve(intent, state=IntentState.SUCCEEDED),
    )
    group = only(kept.decide(source).groups)

    assert (after(group).card, jobs(group)) == (VISA, [])


def test_jobs_of_one_customer_are_one() -> None:
    """
    However many events report one change.
    """
    sources = [
        told(CardChange.DEFAULT, OTHER, number=1),
        told(CardChange.DETACHED, VISA, number=2),
        told(CardChange.CHANGED, LATER, number=3),
    ]
    group = only(kept_with(VISA).decide(*sources).groups)

    assert group.jobs == (Job.due(THEIRS, "told", NOON, ADA),)
