"""Which user owns a payment, and what reports come to in any order and combination."""

from datetime import UTC, datetime
from itertools import product
from typing import Final

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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
    a_payment,
    a_report,
    an_account,
    an_event,
    email_of,
)
from contracts.stores import first_page
from contracts.worlds import World, a_world
from payments_core.account import PaymentAccount
from payments_core.by_hand import ByHand
from payments_core.changes import Lookup, Snapshot
from payments_core.decide import QUARANTINE_REASON, Decided, decide, lookup_of
from payments_core.entitlement import PaymentSummary
from payments_core.events import EventState, GatewayEvent, Outcome, Receipt
from payments_core.facts import (
    CustomerBound,
    CustomerDeleted,
    Fact,
    LinkDecided,
    PaymentReported,
    SubscriptionLinkDecided,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.identity import CustomerId, UserId
from payments_core.payment import DisputeState, Payment, PaymentRecord, PaymentState
from payments_core.policy import Policy
from payments_core.subscription import SubscriptionStatus
from support.deciding import Kept, found, reported
from support.facts import any_fact, customers
from support.profiles import examples

pytestmark = pytest.mark.anyio

P: Final = PaymentState
QUARANTINED: Final = Receipt(Outcome(EventState.QUARANTINED, QUARANTINE_REASON))
TWO_BOUND: Final = (an_account(ADA, customer=CUS_1), an_account(BOB, customer=CUS_2))

# A tie in one second, an early payment, one at a month's end, one after a gap.
TIMES: Final = [
    datetime(2026, month, day, 12, tzinfo=UTC)
    for month, day in [(1, 31), (1, 31), (2, 20), (3, 31), (6, 1)]
]
KINDS: Final = [
    (P.SUCCEEDED, DisputeState.NONE),
    (P.FAILED, DisputeState.NONE),
    (P.REFUNDED, DisputeState.NONE),
    (P.SUCCEEDED, DisputeState.LOST),
]
State = tuple[PaymentAccount, frozenset[PaymentRecord]]


def recorded(state: State, report: Payment) -> State:
    """Decide on one report of one account, as it is loaded with its history."""
    account, records = state
    source = found(PaymentReported(report))
    lookup = lookup_of([source]) | Lookup(histories=frozenset({ADA}))
    snapshot = Snapshot(
        lookup=lookup,
        sequence=0,
        accounts=[account],
        payments=[it for it in records if it.payment.id == report.id],
        histories=list(records),
    )
    (group,) = decide(snapshot, [source], now=NOW, policy=Policy()).groups
    assert group.after is not None
    changed = {it.payment.id: it for it in group.payments}
    kept = {it.payment.id: it for it in records} | changed
    return attrs.evolve(group.after, version=0), frozenset(kept.values())


@pytest.mark.parametrize("first", KINDS)
def test_p01_every_order_of_up_to_five_charges_comes_to_the_same(
    first: tuple[PaymentState, DisputeState],
) -> None:
    """
    All mixtures of four kinds at five times, all their orders, step by step.

    If every step from every subset of the charges leads to one state, so does every
    order: 80 steps cover the 120 orders of 5.
    """
    for others in product(KINDS, repeat=len(TIMES) - 1):
        reports = [
            a_payment(f"ch_{n}", kind, at=at, dispute=dispute, user=ADA)
            for n, (at, (kind, dispute)) in enumerate(
                zip(TIMES, (first, *others), strict=True)
            )
        ]
        reached: dict[int, State] = {0: (an_account(), frozenset())}
        for part in range(1 << len(reports)):
            for n, report in enumerate(reports):
                if not part >> n & 1:
                    state = recorded(reached[part], report)
                    assert reached.setdefault(part | 1 << n, state) == state
        final, _ = reached[(1 << len(reports)) - 1]
        assert final.summary == PaymentSummary.replay(reports)


def test_whatever_is_kept_of_an_account_raises_its_version() -> None:
    """
    Also a save that changes none of its fields: a writer that loaded it before must see
    the payment.
    """
    kept = Kept.of(an_account(ADA))
    paid = a_payment("ch_1", PaymentState.SUCCEEDED, at=TIMES[0], user=ADA)
    partly = attrs.evolve(paid, state=PaymentState.PARTIALLY_REFUNDED, refunded_minor=1)
    (first,) = kept.record(reported(1, paid)).decided
    (second,) = kept.record(reported(2, partly)).decided
    (third,) = kept.record(reported(3, partly)).decided

    assert first.changes is not None
    assert first.changes.after is not None
    before = first.changes.after
    assert second.changes is not None
    assert second.changes.after == attrs.evolve(before, version=before.version + 1)
    assert second.changes.logged(NOON) is None
    assert third.changes is not None
    assert third.changes.after is third.changes.before


@given(facts=st.lists(any_fact, max_size=6), customer=customers)
def test_p10_no_fact_makes_a_decision_raise(
    facts: list[Fact], customer: CustomerId | None
) -> None:
    """
    Whatever is learned, it is recorded, quarantined with nothing changed, or refused by
    rule.
    """
    kept = Kept.of(an_account(ADA), attrs.evolve(an_account(BOB), customer_id=customer))
    for number, fact in enumerate(facts):
        before = kept.database.tables
        source = attrs.evolve(reported(number, None), facts=(fact,))
        (one,) = kept.record(source).decided

        assert one.failure is None
        after = kept.database.tables
        if one.refusal is not None:
            assert after == before
        if one.outcome == QUARANTINED.outcome:
            assert attrs.evolve(after, events=before.events) == before


def on_one_moment(kept: Kept) -> Kept:
    """Return the same again, to decide on the present state and not on what follows."""
    return Kept(attrs.evolve(kept.database))


# Numbers that were drawn for fetches are smaller than those of the later loads.
FIRST_LOAD: Final = 1_000


def comparable(decided: Decided) -> tuple[Decided, str]:
    """Return the decision, without the number of loads it took."""
    refusal = repr(decided.refusal)
    decided, changes = attrs.evolve(decided, refusal=None), decided.changes
    if changes is None:
        return decided, refusal
    after = changes.after
    if after is not None and after.card_sequence > FIRST_LOAD:
        after = attrs.evolve(after, card_sequence=FIRST_LOAD)
    same = attrs.evolve(
        decided,
        changes=attrs.evolve(
            changes,
            after=after,
            payments=tuple(attrs.evolve(it, sequence=0) for it in changes.payments),
            subscriptions=tuple(
                attrs.evolve(it, sequence=0) for it in changes.subscriptions
            ),
        ),
    )
    return same, refusal


def group_of(decided: Decided, fact: Fact) -> str | None:
    """Return the key of a source's group; a refused source has no changes."""
    if decided.changes is not None:
        return decided.changes.key
    match fact:
        case (
            UserRegistered(user_id=user)
            | CustomerBound(user_id=user)
            | LinkDecided(user_id=str(user))
            | SubscriptionLinkDecided(user_id=str(user))
        ):
            return f"user {user}"
        case LinkDecided(payment_id=id_):
            return f"payment {id_}"
        case SubscriptionLinkDecided(gateway_id=id_):
            return f"subscription {id_}"
        case _:
            return None


def registered(customer: CustomerId) -> UserRegistered:
    return UserRegistered(user_id=BOB, email=email_of(BOB), customer_id=customer)


@settings(max_examples=examples(500))
@given(
    earlier=st.lists(any_fact, max_size=4),
    facts=st.lists(any_fact, min_size=1, max_size=6),
)
@example(
    [],
    [
        CustomerDeleted(CUS_2),
        registered(CUS_1),
        registered(CUS_2),
    ],
)
@example(
    [],
    [
        SubscriptionObserved(
            report=a_report(SUB_1, status=SubscriptionStatus.INCOMPLETE),
            at=NOON,
            sequence=None,
        ),
        SubscriptionLinkDecided(
            gateway_id=SUB_1, user_id=None, by_hand=ByHand(by="root", reason="seen")
        ),
    ],
)
def test_p07_no_group_depends_on_its_neighbours(
    earlier: list[Fact], facts: list[Fact]
) -> None:
    """
    Facts decided on together have the same result as group by group.
    """
    kept = Kept.of(an_account(ADA), an_account(BOB, customer=CUS_2))
    # Numbers of fetches may be greater or smaller than those of known facts.
    for number, fact in enumerate(earlier):
        kept.record(attrs.evolve(reported(100 + number, None), facts=(fact,)))
    kept.database.last_sequence = FIRST_LOAD
    sources = [
        attrs.evolve(reported(number, None), facts=(fact,))
        for number, fact in enumerate(facts)
    ]
    together = on_one_moment(kept).decide(*sources).decided
    keys = list(map(group_of, together, facts))
    assert not any(it.failure for it in together)

    for key in dict.fromkeys(keys):
        mine = [n for n, other in enumerate(keys) if other == key]
        alone = on_one_moment(kept).decide(*(sources[n] for n in mine)).decided
        assert list(map(comparable, alone)) == [comparable(together[n]) for n in mine]


async def posted_to(world: World, *events: GatewayEvent) -> list[Outcome | None]:
    return [receipt.outcome for receipt in await world.deliver(events)]


@pytest.mark.parametrize(
    ("report", "owner"),
    [
        (a_payment(user=ADA), ADA),
        (a_payment(customer=CUS_2), BOB),
        (a_payment(email=email_of(ADA)), ADA),
        (a_payment(user=ADA, email=email_of(BOB)), ADA),
        (a_payment(customer=CUS_2, email=email_of(ADA)), BOB),
        (a_payment(user=BOB, customer=CUS_2, email=email_of(ADA)), BOB),
        (a_payment(user="nobody", email=email_of(ADA)), None),
        (a_payment(customer=CustomerId("cus_9"), email=email_of(ADA)), ADA),
        (a_payment(customer=CustomerId("cus_9")), None),
        (a_payment(email=email_of("nobody")), None),
        (a_payment(), None),
    ],
)
async def test_metadata_then_customer_then_email_say_whose_it_is(
    report: Payment, owner: UserId | None
) -> None:
    """
    The first of them that exists decides; a payment of a user who does not exist yet
    waits.
    """
    world = await a_world(*TWO_BOUND)
    outcomes = await posted_to(world, an_event(report=report))

    assert outcomes == [APPLIED]
    assert world.owner(CH_1) == owner


async def test_t23_metadata_swapped_between_two_users_moves_neither() -> None:
    """
    The customer is one user's, the metadata names the other: quarantined.
    """
    world = await a_world(*TWO_BOUND)
    before = world.database.tables
    receipts = await world.deliver(
        [
            an_event("evt_1", a_payment("ch_1", user=ADA, customer=CUS_2)),
            an_event("evt_2", a_payment("ch_2", user=BOB, customer=CUS_1)),
        ]
    )

    assert receipts == [QUARANTINED, QUARANTINED]
    after = world.database.tables
    assert (after.accounts, after.payments) == (before.accounts, before.payments)
    assert len(await first_page(world.log, state=EventState.QUARANTINED)) == 2


@pytest.mark.parametrize(
    "forged", [a_payment(user=BOB), a_payment(customer=CUS_2)], ids=["user", "customer"]
)
async def test_t23_a_linked_payment_stays_where_it_is(forged: Payment) -> None:
    """
    A later report with another owner is quarantined, and merges nothing.
    """
    world = await a_world(*TWO_BOUND)
    await world.deliver([an_event("evt_1", a_payment(user=ADA))])
    before = world.database.tables
    refunded = attrs.evolve(forged, state=P.REFUNDED, refunded_minor=1_000)
    receipts = await world.deliver([an_event("evt_2", refunded)])

    assert receipts == [QUARANTINED]
    after = world.database.tables
    assert (after.accounts, after.payments) == (before.accounts, before.payments)


async def test_a_report_that_leaves_out_whose_it_is_reaches_the_owner() -> None:
    """
    A refund without customer or metadata takes the month back all the same.
    """
    world = await a_world()
    paid, back = a_payment(user=ADA), a_payment(state=P.REFUNDED)
    await world.deliver([an_event("evt_1", paid), an_event("evt_2", back)])

    assert world.owner(CH_1) == ADA
    assert world.account().summary.prepaid is None


async def test_p21_metadata_binds_no_customer() -> None:
    """
    It names the owner of this payment, not of the customer's next one.
    """
    world = await a_world()
    await world.deliver(
        [
            an_event("evt_1", a_payment("ch_1", user=ADA, customer=CUS_1)),
            an_event("evt_2", a_payment("ch_2", customer=CUS_1)),
        ]
    )

    assert world.account().customer_id is None
    assert [world.owner(f"ch_{n}") for n in (1, 2)] == [ADA, None]


async def test_p21_another_customer_of_a_users_own_is_linked() -> None:
    """
    An account keeps its customer; the payment is its own all the same.
    """
    world = await a_world(an_account(ADA, customer=CUS_1))
    report = a_payment(user=ADA, customer=CUS_2)
    outcomes = await posted_to(world, an_event(report=report))

    assert outcomes == [APPLIED]
    assert world.account().customer_id == CUS_1
    assert world.owner(CH_1) == ADA


async def test_p21_an_email_binds_no_customer() -> None:
    """
    Anybody can enter another's e-mail in a form.
    """
    world = await a_world()
    report = a_payment(customer=CUS_1, email=email_of(ADA))
    await world.deliver([an_event(report=report)])

    assert world.owner(CH_1) == ADA
    assert world.account().customer_id is None
