"""Whose payment is it, and does the order of reports matter? Straight on the books."""

from datetime import UTC, datetime
from itertools import product
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    CUS_1,
    CUS_2,
    a_payment,
    a_report,
    a_term,
    an_account,
    an_event,
    email_of,
)
from contracts.worlds import World, a_world, moments
from payments_core.account import PaymentAccount
from payments_core.events import EventState, GatewayEvent, Outcome, Receipt
from payments_core.evidence import Evidence
from payments_core.identity import CustomerId, UserId
from payments_core.money import Money
from payments_core.payment import DisputeState, Payment, PaymentState
from payments_core.ports import PaymentRecord, Unlinked, link_keys
from payments_core.standing import Checkpoint
from payments_core.subscription import PaidTerm, SubscriptionStatus
from payments_core.use_cases.books import QUARANTINE_REASON, Books, Disagreement

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


def posted(state: State, report: Payment) -> State:
    """Post one report to one account, as one transaction would."""
    account, records = state
    books = Books()
    known = [record for record in records if record.payment.id == report.id]
    books.know([account], known)
    books.post(report)
    if books.to_replay:
        books.replay(records)
    changed = {record.payment.id: record for record in books.changed_payments}
    kept = {r.payment.id: r for r in records} | changed
    return books.account(ADA), frozenset(kept.values())


@pytest.mark.parametrize("first", KINDS)
def test_p01_every_order_of_up_to_five_charges_comes_to_the_same(
    first: tuple[PaymentState, DisputeState],
) -> None:
    """
    All mixtures of four kinds at five times, all their orders, step by step.

    If every step from every part of the charges comes to one state, so does every
    order: 80 steps say what 120 orders of 5 would.
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
                    state = posted(reached[part], report)
                    assert reached.setdefault(part | 1 << n, state) == state
        final, _ = reached[(1 << len(reports)) - 1]
        assert final.checkpoint == Checkpoint.replay(reports)


some_text = st.sampled_from([None, "", ADA, BOB, CUS_1, CUS_2, email_of(ADA).key])
any_text = some_text | st.text(max_size=5)
any_report = st.builds(
    Payment,
    id=st.sampled_from(["ch_1", "ch_2", ""]),
    state=st.sampled_from(PaymentState),
    dispute=st.sampled_from(DisputeState),
    amount=st.none()
    | st.builds(Money, st.integers(0, 3), st.sampled_from(["eur", "usd"])),
    refunded_minor=st.integers(0, 2**60),
    created_at=st.none() | moments | st.datetimes(timezones=st.just(UTC)),
    customer_id=any_text,
    claimed_by=any_text,
    email=any_text,
    invoice_id=any_text,
    failure_code=any_text,
)
customers = st.sampled_from([None, CUS_1, CUS_2])
any_evidence = st.builds(
    Evidence,
    report=st.builds(
        a_report,
        st.sampled_from(["sub_1", "sub_2", ""]),
        st.sampled_from(SubscriptionStatus),
        at=moments,
        ended_at=st.none() | moments,
        user=any_text,
        customer=st.sampled_from([CUS_1, CUS_2, CustomerId("")]),
    ),
    at=moments,
    ticket=st.integers(0, 9),
    looked_up=st.booleans(),
)
any_term = st.builds(a_term, st.sampled_from(["sub_1", "sub_2"]), starts_at=moments)


@given(
    reports=st.lists(any_report | any_evidence | any_term, max_size=6),
    customer=customers,
)
def test_p10_no_report_makes_the_books_raise_but_a_disagreement(
    reports: list[Payment | Evidence | PaidTerm], customer: CustomerId | None
) -> None:
    """
    Whatever is reported: posted, bound, replayed, adopted, or quarantined unchanged.
    """
    books = Books()
    books.know([an_account(ADA), attrs.evolve(an_account(BOB), customer_id=customer)])
    for report in reports:
        before = state_of(books)
        try:
            match report:
                case Payment():
                    books.post(report)
                case Evidence():
                    books.post_subscription(report)
                case PaidTerm():
                    books.post_term(report)
        except Disagreement:
            assert state_of(books) == before
    payments = [it for it in reports if isinstance(it, Payment)]
    books.adopt(Unlinked([PaymentRecord(Payment(id=it.id)) for it in payments], []))
    books.replay([])
    assert not books.to_replay
    assert {a.user_id for a in books.changed_accounts} <= {ADA, BOB}


def state_of(books: Books) -> tuple[object, ...]:
    return (
        books.changed_accounts,
        books.changed_payments,
        books.changed_subscriptions,
        books.to_replay,
        books.jobs(TIMES[0]),
    )


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
    The first of them that is there decides; a user who is not there yet waits.
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
    assert len(await world.log.kept(state=EventState.QUARANTINED)) == 2


@pytest.mark.parametrize(
    "forged", [a_payment(user=BOB), a_payment(customer=CUS_2)], ids=["user", "customer"]
)
async def test_t23_a_linked_payment_stays_where_it_is(forged: Payment) -> None:
    """
    A later report that gives it to another is quarantined, and merges nothing.
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
    assert world.account().checkpoint.term is None


async def test_p21_metadata_binds_no_customer() -> None:
    """
    It says whose this payment is, not whose the next one of that customer is.
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
    An account keeps the customer it has; the payment is its own all the same.
    """
    world = await a_world(an_account(ADA, customer=CUS_1))
    report = a_payment(user=ADA, customer=CUS_2)
    outcomes = await posted_to(world, an_event(report=report))

    assert outcomes == [APPLIED]
    assert world.account().customer_id == CUS_1
    assert world.owner(CH_1) == ADA


async def test_p21_an_email_binds_no_customer() -> None:
    """
    Anybody can type anybody's e-mail into a form.
    """
    world = await a_world()
    report = a_payment(customer=CUS_1, email=email_of(ADA))
    await world.deliver([an_event(report=report)])

    assert world.owner(CH_1) == ADA
    assert world.account().customer_id is None


def test_link_keys_are_all_keys_that_are_there() -> None:
    """
    Of several reports at once; what is left out is no key.
    """
    reports = [
        a_payment(user=ADA),
        a_payment("ch_2", customer=CUS_1, email=email_of(BOB)),
        a_payment("ch_3"),
    ]
    keys = link_keys(reports)

    assert keys.user_ids == {ADA}
    assert keys.customer_ids == {CUS_1}
    assert keys.email_keys == {email_of(BOB).key}
    assert keys
    assert not link_keys(reports[2:])
