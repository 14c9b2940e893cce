"""Facts about an erased user are ignored, and only their receipt is stored."""

from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    NOON,
    NOW,
    SUB_1,
    a_job,
    a_job_key,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    email_of,
)
from payments_core.account import PaymentAccount
from payments_core.by_hand import ByHand
from payments_core.changes import Lookup, Snapshot
from payments_core.decide import Decided, decide, lookup_of
from payments_core.erasure import pseudonym
from payments_core.errors import AccountErased, CustomerTaken
from payments_core.events import EventState, Outcome, SyncNeeded
from payments_core.facts import (
    CardObserved,
    CustomerDeleted,
    Fact,
    LinkDecided,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionLinkDecided,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.identity import UserId
from payments_core.job_key import JobKind
from payments_core.linking import FormerKey, KeyKind
from payments_core.payment import Payment
from payments_core.policy import Policy

GONE = pseudonym("1")
ERASED = {
    "user ada": NOON,
    f"customer {CUS_1}": NOON,
    f"email {email_of(ADA).key}": NOON,
}
EARLIER, LATER = NOON - timedelta(days=1), NOON + timedelta(days=1)
IGNORED = Outcome(EventState.IGNORED, "erased")
BY_HAND = ByHand(by="operator", reason="why")


def decided(source: SourcedFacts, **known: Any) -> Decided:
    snapshot = Snapshot(lookup=Lookup(), sequence=1, erased=ERASED)
    snapshot = attrs.evolve(snapshot, **known)
    decision = decide(snapshot, [source], now=NOW, policy=Policy(livemode=False))
    if decision.more is not None:
        lookup = snapshot.lookup | decision.more
        return decided(source, **{**known, "lookup": lookup})
    (one,) = decision.decided
    return one


def of(fact: Fact) -> SourcedFacts:
    event = attrs.evolve(
        an_event("evt_1", body=b'{"customer": "cus_1"}'), object_id=CUS_1
    )
    return SourcedFacts(facts=(fact,), event=event)


THEIRS = a_payment(customer=CUS_1)
CLAIMED = a_payment(user=ADA)
MAILED = a_payment(email=email_of(ADA), at=EARLIER)
REPORT = a_report(customer=CUS_1)
LINKED = LinkDecided(payment_id=CH_1, user_id=BOB, by_hand=BY_HAND)
SOLD = SubscriptionLinkDecided(gateway_id=SUB_1, user_id=BOB, by_hand=BY_HAND)


def having(since: datetime | None) -> PaymentAccount:
    """Return another user who has the e-mail."""
    return attrs.evolve(an_account(BOB), email=email_of(ADA), email_since=since)


OWNED: dict[str, Any] = {
    "accounts": [an_account(GONE)],
    "payments": [a_record(owner=GONE)],
    "subscriptions": [a_subscription(a_report(customer=CUS_2), owner=GONE)],
}


@pytest.mark.parametrize("known", [{}, OWNED], ids=["unknown", "known"])
@pytest.mark.parametrize(
    "fact",
    [
        PaymentReported(THEIRS),
        PaymentReported(CLAIMED),
        PaymentReported(MAILED),
        PaymentCorrected(THEIRS, 1),
        SubscriptionObserved(report=REPORT, at=NOON),
        SubscriptionObserved(report=a_report(user=ADA, customer=CUS_2), at=NOON),
        CardObserved(customer_id=CUS_1, card=None, sequence=1),
        CustomerDeleted(CUS_1),
        SyncNeeded(job=a_job_key(CUS_1, JobKind.CUSTOMER), reason="why"),
    ],
    ids=lambda it: type(it).__name__,
)
def test_what_is_of_who_was_erased_is_ignored(
    fact: Fact, known: dict[str, Any]
) -> None:
    """
    Only the event has a row, without its body and without its subject.
    """
    one = decided(of(fact), **known)

    assert one.outcome == IGNORED
    changes = one.changes
    assert changes is not None
    ((event, outcome),) = changes.events
    assert (event.object_id, event.body, outcome) == (None, b"", IGNORED)
    kept = (changes.payments, changes.subscriptions, changes.periods, changes.jobs)
    assert (kept, changes.after) == (((), (), (), ()), None)


@pytest.mark.parametrize(
    "fact",
    [
        PaymentReported(Payment(id=CH_1, state=THEIRS.state)),
        PeriodPaid(a_term()),
        SyncNeeded(job=a_job_key(CH_1, JobKind.PAYMENT), reason="why"),
        SyncNeeded(job=a_job_key(SUB_1), reason="why"),
    ],
    ids=lambda it: type(it).__name__,
)
def test_what_names_nobody_is_of_whom_it_is_linked_to(fact: Fact) -> None:
    """
    A dispute names only a payment, a paid invoice only a subscription.
    """
    assert decided(of(fact), **OWNED, erased={}).outcome == IGNORED
    assert decided(of(fact), erased={}).outcome != IGNORED


@pytest.mark.parametrize(
    ("payment", "accounts"),
    [
        # The e-mail has another holder by now, or none: what was made later is not
        # hers.
        (a_payment(email=email_of(ADA), at=LATER), []),
        # Of a customer of another user.
        (a_payment(user=ADA, customer=CUS_2), [an_account(BOB, customer=CUS_2)]),
        (
            a_payment(email=email_of(ADA), at=EARLIER, customer=CUS_2),
            [an_account(BOB, customer=CUS_2)],
        ),
        (a_payment(email=email_of(BOB)), []),
        # Of a bound customer, whatever is remembered of it.
        (a_payment(customer=CUS_1), [an_account(BOB, customer=CUS_1)]),
        # Of an e-mail, while another user had it.
        (MAILED, [having(EARLIER)]),
        (MAILED, [having(None)]),
        (attrs.evolve(MAILED, created_at=None), [having(LATER)]),
    ],
)
def test_what_is_anothers_is_not_ignored(
    payment: Payment, accounts: list[object]
) -> None:
    """
    It is recorded, or quarantined, as if no user had been erased.
    """
    source = SourcedFacts(facts=(PaymentReported(payment),), event=an_event())
    one = decided(source, accounts=accounts)
    assert one.outcome == decided(source, accounts=accounts, erased={}).outcome


@pytest.mark.parametrize("since", [EARLIER + timedelta(seconds=1), LATER])
def test_what_was_made_before_another_had_the_e_mail_is_ignored(
    since: datetime,
) -> None:
    """
    Otherwise it would belong to the first user known to have had it.
    """
    one = decided(of(PaymentReported(MAILED)), accounts=[having(since)])
    assert one.outcome == IGNORED
    one = decided(of(PaymentReported(MAILED)), accounts=[having(since)], erased={})
    assert one.outcome != IGNORED


def test_what_a_former_holder_paid_by_the_e_mail_is_theirs() -> None:
    """
    The erased user had it later.
    """
    former = FormerKey(
        kind=KeyKind.EMAIL,
        key=email_of(ADA).key,
        user_id=UserId(BOB),
        since=EARLIER,
        until=NOON,
    )
    source = SourcedFacts(facts=(PaymentReported(MAILED),), event=an_event())
    known: dict[str, Any] = {"accounts": [an_account(BOB)], "former_keys": [former]}
    one = decided(source, **known)
    assert one.changes is not None
    assert [it.user_id for it in one.changes.payments] == [BOB]
    after = attrs.evolve(former, since=EARLIER + timedelta(hours=1))
    assert decided(source, **{**known, "former_keys": [after]}).outcome == IGNORED


def test_who_is_bound_to_a_customer_stays_bound() -> None:
    """
    Whatever is remembered of the customer: the user registers as before, and the card
    is shown.
    """
    known: dict[str, Any] = {"accounts": [an_account(BOB, customer=CUS_1)]}
    again = UserRegistered(user_id=BOB, email=email_of(BOB), customer_id=CUS_1)
    assert decided(SourcedFacts(facts=(again,)), **known).refusal is None
    fact = CardObserved(customer_id=CUS_1, card=None, sequence=1)
    one = decided(SourcedFacts(facts=(fact,), event=an_event()), **known)
    assert one.outcome != IGNORED


def test_what_is_linked_to_another_stays_theirs() -> None:
    """
    Whatever customer it has: a person linked it by hand.
    """
    record = attrs.evolve(a_record(THEIRS, owner=BOB), linked_by_hand=True, version=1)
    refunded = attrs.evolve(THEIRS, refunded_minor=400)
    event = attrs.evolve(an_event(), customer_id=CUS_1)
    source = SourcedFacts(facts=(PaymentReported(refunded),), event=event)
    known: dict[str, Any] = {"accounts": [an_account(BOB)], "payments": [record]}
    one = decided(source, **known)
    assert one.changes is not None
    assert [it.user_id for it in one.changes.payments] == [BOB]


def test_an_event_of_a_customer_is_theirs_whatever_it_is() -> None:
    """
    Also of a type that has no effect.
    """
    event = attrs.evolve(an_event(), customer_id=CUS_1)
    assert decided(SourcedFacts(event=event)).outcome == IGNORED
    other = attrs.evolve(event, customer_id=CUS_2)
    assert decided(SourcedFacts(event=other)).outcome != IGNORED


def test_a_job_of_who_was_erased_ends() -> None:
    """
    Nothing is recorded, and nothing is requested again.
    """
    job = a_job(CUS_1, JobKind.CUSTOMER).claimed(NOON)
    fact = CardObserved(customer_id=CUS_1, card=None, sequence=1)
    one = decided(SourcedFacts(facts=(fact,), job=job))
    assert one.changes is not None
    (finish,) = one.changes.finished
    assert (finish.after, finish.outcome) == (job.finished(), IGNORED)
    assert decided(SourcedFacts(facts=(fact,))) == Decided(outcome=IGNORED)


@pytest.mark.parametrize(
    ("fact", "refusal"),
    [
        (UserRegistered(user_id=ADA, email=email_of(ADA)), AccountErased),
        (
            UserRegistered(user_id=BOB, email=email_of(BOB), customer_id=CUS_1),
            CustomerTaken,
        ),
        (attrs.evolve(LINKED, user_id=None), AccountErased),
        (LINKED, AccountErased),
        (SOLD, AccountErased),
        (attrs.evolve(SOLD, user_id=None), AccountErased),
    ],
)
def test_what_is_asked_for_is_refused(fact: Fact, refusal: type[Exception]) -> None:
    """
    An erased id, customer, payment or subscription: for good.
    """
    accounts = [*OWNED["accounts"], an_account(BOB)]
    one = decided(SourcedFacts(facts=(fact,)), **{**OWNED, "accounts": accounts})
    assert isinstance(one.refusal, refusal)
    assert one.changes is None


@pytest.mark.parametrize(
    "theirs",
    [
        attrs.evolve(LINKED, fetched=THEIRS, at=NOON),
        attrs.evolve(LINKED, fetched=MAILED, at=NOON),
        attrs.evolve(
            SOLD, observed=SubscriptionObserved(report=REPORT, at=NOON, sequence=1)
        ),
    ],
)
def test_what_was_never_known_is_not_linked_to_another(
    theirs: LinkDecided | SubscriptionLinkDecided,
) -> None:
    """
    The gateway's answer says which user owned it.
    """
    source = SourcedFacts(facts=(theirs,))
    lookup = lookup_of([source])
    erased = {name: at for name, at in ERASED.items() if name in lookup.names()}
    known = {"accounts": [an_account(BOB)], "lookup": lookup}
    assert isinstance(decided(source, **known, erased=erased).refusal, AccountErased)
    assert decided(source, **known, erased={}).outcome == APPLIED


def test_the_e_mail_may_come_back() -> None:
    """
    As a new user; nothing from before becomes theirs.
    """
    fact = UserRegistered(user_id=BOB, email=email_of(ADA))
    one = decided(SourcedFacts(facts=(fact,)))
    assert one.refusal is None
    assert one.changes is not None
    assert one.changes.after is not None
