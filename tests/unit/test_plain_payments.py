"""The plain payments of a long history are loaded as sums, which changes nothing.

The ledger in Postgres sums as the one in memory does: `contracts/ledger_histories.py`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from contracts.examples import (
    ADA,
    CUS_1,
    CUS_2,
    NOW,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    of_invoice,
)
from payments_adapters.memory import MemoryDatabase
from payments_core.account import PaymentAccount
from payments_core.by_hand import ByHand
from payments_core.decide import Decision
from payments_core.entitlement import PaymentSummary, replayed
from payments_core.facts import (
    Fact,
    LinkDecided,
    LinkRequested,
    PaymentCorrected,
    PaymentReported,
    PeriodPaid,
    SourcedFacts,
    SubscriptionObserved,
)
from payments_core.months import months_after
from payments_core.paid_periods import needs_invoice
from payments_core.payment import (
    DisputeState,
    Payment,
    PaymentId,
    PaymentRecord,
    PaymentState,
)
from payments_core.payment_buckets import PaymentBucket, months_in
from payments_core.plain_payments import PlainPayments, in_buckets
from payments_core.subscription import (
    PaidPeriod,
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)
from support.deciding import Kept, found
from support.profiles import examples

S, P, D = SubscriptionStatus, PaymentState, DisputeState
SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
# The beginning of a bucket.
EDGE: Final = datetime(2026, 1, 5, tzinfo=UTC)
ALL: Final = 1_000
# Around the edges of buckets, and around months that begin on a 31st, or are short.
MOMENTS: Final = [
    *(
        EDGE + number * 28 * DAY + seconds * SECOND
        for number in range(4)
        for seconds in (-1, 0, 1)
    ),
    datetime(2026, 1, 31, tzinfo=UTC),
    datetime(2026, 2, 28, tzinfo=UTC),
    datetime(2026, 2, 28, 0, 0, 1, tzinfo=UTC),
    datetime(2026, 3, 31, tzinfo=UTC),
]
moments = st.sampled_from(MOMENTS)
some_moment = st.none() | moments
customers = st.sampled_from([CUS_1, CUS_1, CUS_2])


def mostly(value: object, others: Iterable[object]) -> st.SearchStrategy[object]:
    return st.sampled_from([value] * 5 + list(others))


@st.composite
def payments(draw: st.DrawFn, number: int) -> Payment:
    """Return a charge with this number: usually one that can be plain."""
    bare = a_payment(
        f"ch_{number}",
        draw(mostly(P.SUCCEEDED, P)),  # type: ignore[arg-type]  # a state
        at=draw(moments),
        customer=draw(customers),
        dispute=draw(mostly(D.NONE, D)),  # type: ignore[arg-type]  # a dispute
    )
    invoice = draw(st.sampled_from([None, None, "in_1", "in_2", "in_3"]))
    subscription = draw(st.sampled_from([None, "sub_1"])) if invoice else None
    known = draw(st.booleans())
    if not draw(st.integers(0, 9)):
        bare = attrs.evolve(bare, created_at=None)
    if not draw(st.integers(0, 9)):
        subscription = "sub_2"
    return attrs.evolve(
        bare, invoice_id=invoice, subscription_id=subscription, invoice_known=known
    )


histories = st.integers(0, 9).flatmap(
    lambda count: st.tuples(*(payments(number) for number in range(count)))
)
reports = st.builds(
    a_report,
    st.sampled_from(["sub_1", "sub_2"]),
    mostly(S.ACTIVE, S),
    at=moments,
    ended_at=some_moment,
    user=st.just(ADA),
    customer=customers,
)
terms = st.builds(
    a_term,
    st.sampled_from(["sub_1", "sub_2"]),
    starts_at=moments,
    invoice=st.sampled_from(["in_1", "in_2", "in_3"]),
    amount_minor=st.sampled_from([None, 0, 1_000, 1_000, 2_000]),
)
some_terms = st.lists(
    terms, max_size=3, unique_by=lambda it: (it.gateway_id, it.invoice_id)
)
some_subscriptions = st.lists(
    st.builds(
        a_subscription,
        reports,
        owner=st.just(ADA),
        term=st.none() | terms,
        sequence=st.just(1),
    ),
    max_size=2,
    unique_by=lambda it: it.gateway_id,
)


def own_term(subscription: Subscription) -> Subscription:
    """Return a subscription whose last period is its own."""
    last = subscription.last_paid_period
    if last is not None:
        last = attrs.evolve(last, gateway_id=subscription.gateway_id)
    return attrs.evolve(subscription, last_paid_period=last)


def summed(
    history: Sequence[Payment],
    subscriptions: Sequence[Subscription] = (),
    periods: Sequence[PaidPeriod] = (),
    named: Iterable[str] = (),
) -> tuple[Sequence[Payment], Sequence[PaymentBucket]]:
    """Return the result of a load: payments as they are, and the sums of the others."""
    records, buckets = in_buckets(
        [a_record(it, owner=ADA) for it in history],
        PlainPayments.of(subscriptions, periods, history),
        user_id=ADA,
        named=frozenset(map(PaymentId, named)),
    )
    return [it.payment for it in records], buckets


@given(
    made=st.lists(moments | st.datetimes(timezones=st.just(UTC)), max_size=30),
    named=st.sets(st.integers(0, 29)),
)
@example(made=[EDGE - SECOND, EDGE, EDGE + 28 * DAY], named=set())
@example(made=[MOMENTS[-4], MOMENTS[-3], MOMENTS[-2], MOMENTS[-1]], named=set())
@settings(max_examples=examples(200))
def test_p06_what_was_bought_is_the_same_in_sums(
    made: list[datetime], named: set[int]
) -> None:
    """
    Any purchases, several in one second, some of them named: the same prepaid months,
    the same latest payment.
    """
    history = [a_payment(f"ch_{n}", at=moment) for n, moment in enumerate(made)]
    rest, buckets = summed(history, named=(f"ch_{n}" for n in named))

    assert PaymentSummary.replay(
        rest, summed=months_in(buckets)
    ) == PaymentSummary.replay(history)
    assert len(rest) + sum(it.months for it in buckets) == len(history)


@given(
    history=histories,
    subscriptions=some_subscriptions,
    periods=some_terms,
    named=st.sets(st.integers(0, 9)),
)
@settings(max_examples=examples(400))
def test_p06_a_history_in_sums_says_what_it_says_whole(
    history: Sequence[Payment],
    subscriptions: Sequence[Subscription],
    periods: Sequence[PaidPeriod],
    named: set[int],
) -> None:
    """
    The summary, the periods that stay paid, and which invoices are fetched.
    """
    subscriptions = [attrs.evolve(it, last_paid_period=None) for it in subscriptions]
    rest, buckets = summed(history, subscriptions, periods, (f"ch_{n}" for n in named))
    event(f"{len(buckets)} sums")

    assert replayed(rest, subscriptions, periods, months_in(buckets)) == replayed(
        history, subscriptions, periods
    )
    assert asked(rest, subscriptions, periods) == asked(history, subscriptions, periods)


def asked(
    history: Sequence[Payment],
    subscriptions: Sequence[Subscription],
    periods: Sequence[PaidPeriod],
) -> set[str]:
    paid_invoices = frozenset(it.invoice_id for it in periods)
    some_returned = any(it.money_returned for it in history)
    return {
        it.id
        for it in history
        if needs_invoice(it, subscriptions, paid_invoices, some_returned=some_returned)
    }


@attrs.define(eq=False)
class OneNumber(MemoryDatabase):
    """A ledger whose loads all draw one number, so that decisions can be compared."""

    @override
    def next_sequence(self) -> int:
        return 9


def kept(
    history: Iterable[PaymentRecord],
    subscriptions: Sequence[Subscription],
    periods: Sequence[PaidPeriod],
) -> OneNumber:
    """Save an account as its facts left it, and what has no owner."""
    records, database = list(history), OneNumber()
    own = [own_term(it) for it in subscriptions if it.user_id]
    summary, standing = replayed(
        [it.payment for it in records if it.user_id], own, periods
    )
    account = an_account(customer=CUS_1).with_summary(summary)
    tables = database.tables
    tables.put_account(attrs.evolve(account, version=1))
    for record in records:
        tables.put_payment(attrs.evolve(record, version=1))
    for it in (*standing, *(own_term(it) for it in subscriptions if not it.user_id)):
        tables.put_subscription(attrs.evolve(it, version=1))
    for period in periods:
        tables.put_period(period)
    return database


some_facts = st.one_of(
    st.integers(0, 10).flatmap(payments).map(PaymentReported),
    st.builds(
        PaymentCorrected,
        st.integers(0, 10).flatmap(payments),
        st.just(8),
    ),
    st.builds(
        SubscriptionObserved,
        report=reports,
        at=moments,
        sequence=st.none() | st.just(8),
    ),
    terms.map(PeriodPaid),
    st.just(LinkRequested(ADA)),
    st.builds(
        LinkDecided,
        payment_id=st.integers(0, 10).map(lambda n: PaymentId(f"ch_{n}")),
        user_id=st.sampled_from([None, ADA]),
        by_hand=st.just(ByHand(by="root", reason="seen")),
    ),
)


@given(
    data=st.data(),
    history=histories,
    subscriptions=some_subscriptions,
    periods=some_terms,
    facts=st.lists(some_facts, min_size=1, max_size=3),
)
@settings(max_examples=examples(400))
def test_p06_decisions_are_the_same_on_sums(
    data: st.DataObject,
    history: Sequence[Payment],
    subscriptions: Sequence[Subscription],
    periods: Sequence[PaidPeriod],
    facts: list[Fact],
) -> None:
    """
    Whatever is learned: payments that change, arrive late, are linked or unlinked;
    lives that begin, end, or are corrected; periods that are paid.
    """
    records = []
    for payment in history:
        is_own = data.draw(st.integers(0, 4)) > 0
        named = payment if is_own else attrs.evolve(payment, metadata_user_id=ADA)
        records.append(a_record(named, owner=ADA if is_own else None))
    subscriptions = [
        attrs.evolve(it, user_id=ADA if data.draw(st.integers(0, 4)) else None)
        for it in subscriptions
    ]
    same(kept(records, subscriptions, periods), facts)


def same(database: MemoryDatabase, facts: Iterable[Fact]) -> Decision:
    """Decide with and without sums; return the decision, which is the same."""
    sources = [found(it) for it in facts]
    whole = Kept(database, whole_max=ALL).decide(*sources)
    assert said(Kept(database, whole_max=0).decide(*sources)) == said(whole)
    assert not any(it.failure for it in whole.decided)
    return whole


def said(decision: Decision) -> list[tuple[object, ...]]:
    """Return a decision in a comparable form: two refusals are two."""
    return [
        (it.changes, it.outcome, it.duplicate, repr(it.refusal))
        for it in decision.decided
    ]


# One by one


ONE_OFFS: Final = [
    attrs.evolve(a_payment(f"ch_{n}", at=EDGE + n * DAY), invoice_known=True)
    for n in range(40)
]
OPEN: Final = a_subscription(a_report(at=EDGE), owner=ADA)


def whole_ids(
    history: Sequence[Payment],
    subscriptions: Sequence[Subscription] = (),
    periods: Sequence[PaidPeriod] = (),
) -> set[str]:
    rest, _ = summed(history, subscriptions, periods)
    return {it.id for it in rest}


def test_payments_of_28_days_are_one_sum_and_the_latest_is_none() -> None:
    """
    Each bucket says how many bought a month, when the first did, and where it ends.
    """
    rest, buckets = summed(ONE_OFFS)

    assert rest == [ONE_OFFS[-1]]
    assert buckets == [
        PaymentBucket(user_id=ADA, months=28, first_at=EDGE, until=EDGE + 27 * DAY),
        PaymentBucket(
            user_id=ADA, months=11, first_at=EDGE + 28 * DAY, until=EDGE + 38 * DAY
        ),
    ]


def test_payments_within_a_life_are_a_sum_that_bought_nothing() -> None:
    """
    Those known to have no invoice; none of them is the latest.
    """
    rest, buckets = summed(ONE_OFFS, [OPEN])

    assert not rest
    assert [(it.months, it.first_at) for it in buckets] == [(0, None), (0, None)]
    assert buckets[-1].until == EDGE + 39 * DAY


# Next to a later payment, and one outside of any life.
LATER: Final = attrs.evolve(ONE_OFFS[39], id=PaymentId("ch_later"))
OF_INVOICE: Final = of_invoice(ONE_OFFS[0], "in_1")
UNKNOWN: Final = a_payment("ch_0", at=EDGE, customer=CUS_1)
PAID: Final = a_term(amount_minor=1_000)
ENDED: Final = a_subscription(
    a_report(status=S.CANCELED, at=EDGE - 9 * DAY, ended_at=EDGE - DAY), owner=ADA
)
NEVER_LIVED: Final = a_subscription(
    a_report(status=S.INCOMPLETE_EXPIRED, at=EDGE - DAY), owner=ADA
)


@pytest.mark.parametrize(
    ("payment", "subscriptions", "periods", "is_plain"),
    [
        (ONE_OFFS[0], [], [], True),
        (a_payment("ch_0", P.PARTIALLY_REFUNDED, at=EDGE), [], [], True),
        (a_payment("ch_0", at=EDGE, dispute=D.WON), [], [], True),
        (a_payment("ch_0", P.REFUNDED, at=EDGE), [], [], False),
        (a_payment("ch_0", P.FAILED, at=EDGE), [], [], False),
        (a_payment("ch_0", P.PENDING, at=EDGE), [], [], False),
        (a_payment("ch_0", P.CONTRADICTED, at=EDGE), [], [], False),
        (a_payment("ch_0", at=EDGE, dispute=D.OPEN), [], [], False),
        (a_payment("ch_0", at=EDGE, dispute=D.LOST), [], [], False),
        (a_payment("ch_0", at=EDGE, dispute=D.CONTRADICTED), [], [], False),
        (attrs.evolve(ONE_OFFS[0], created_at=None), [], [], False),
        (UNKNOWN, [], [], True),
        (UNKNOWN, [OPEN], [], True),
        (UNKNOWN, [ENDED], [], False),
        (UNKNOWN, [NEVER_LIVED], [], True),
        (attrs.evolve(UNKNOWN, customer_id=CUS_2), [ENDED], [], True),
        (attrs.evolve(UNKNOWN, created_at=EDGE - SECOND), [OPEN], [], True),
        (OF_INVOICE, [OPEN], [PAID], True),
        (OF_INVOICE, [OPEN], [], False),
        (OF_INVOICE, [OPEN], [a_term()], False),
        (OF_INVOICE, [OPEN], [PAID, a_term("sub_2")], False),
        (OF_INVOICE, [], [], False),
        (attrs.evolve(OF_INVOICE, subscription_id=None), [], [], False),
        (attrs.evolve(OF_INVOICE, invoice_id=None), [OPEN], [], False),
    ],
)
def test_what_is_plain(
    payment: Payment,
    subscriptions: list[Subscription],
    periods: list[PaidPeriod],
    *,
    is_plain: bool,
) -> None:
    """
    Money that stayed, whose purpose is known as far as it may matter.
    """
    plain = PlainPayments.of(subscriptions, periods, [])

    assert plain.has(payment) is is_plain


@pytest.mark.parametrize("back", [P.REFUNDED, P.SUCCEEDED])
def test_a_payment_that_is_asked_about_is_not_plain(back: PaymentState) -> None:
    """
    Within a life its invoice is fetched once any money of the account was returned.
    """
    plain = PlainPayments.of([OPEN], [], [a_payment(state=back)])

    assert plain.has(UNKNOWN) is (back is P.SUCCEEDED)
    assert plain.is_unknown(UNKNOWN)
    assert not plain.is_unknown(ONE_OFFS[0])


def test_a_payment_that_is_named_is_not_summed() -> None:
    """
    It may be changed, and then the latest of the others decides.
    """
    rest, _ = summed(ONE_OFFS, named=["ch_3", "ch_39"])

    assert [it.id for it in rest] == ["ch_3", "ch_38", "ch_39"]


def test_all_of_the_latest_second_are_as_they_are() -> None:
    """
    The greatest id decides which of them is the latest.
    """
    assert whole_ids([*ONE_OFFS, LATER]) == {"ch_39", "ch_later"}


def stored(
    history: Sequence[Payment],
    subscriptions: Sequence[Subscription] = (),
    periods: Sequence[PaidPeriod] = (),
) -> OneNumber:
    own = [a_record(it, owner=ADA) for it in history]
    return kept(own, subscriptions, periods)


def loads(database: MemoryDatabase, fact: Fact) -> tuple[PaymentAccount, bool]:
    """Decide on a fact; return the account, and whether all payments were loaded."""
    snapshot, decision = Kept(database, whole_max=0).load(found(fact))
    same(database, [fact])
    (changes,) = decision.groups
    assert changes.after is not None
    return changes.after, bool(snapshot.lookup.whole_histories)


def observed(
    status: SubscriptionStatus,
    at: datetime,
    ended_at: datetime | None = None,
) -> SubscriptionObserved:
    report: SubscriptionReport = a_report(
        "sub_2", status, at=at, ended_at=ended_at, user=ADA
    )
    return SubscriptionObserved(report=report, at=NOW.at, sequence=8)


def test_a_late_payment_needs_no_whole_history() -> None:
    """
    The month that it bought is added to those of the sums.
    """
    late = PaymentReported(a_payment("ch_late", at=EDGE + 5 * DAY, user=ADA))
    account, whole = loads(stored(ONE_OFFS), late)

    assert not whole
    assert account.payment_expire_date == months_after(EDGE, 41)


def test_a_life_that_begins_after_all_payments_needs_no_whole_history() -> None:
    """
    It does not change the meaning of any past payment; nor does a life that ends after
    them.
    """
    last = ONE_OFFS[-1].created_at
    assert last is not None
    begun = observed(S.ACTIVE, last + DAY)
    ended = observed(S.CANCELED, EDGE - DAY, last)
    lasting = attrs.evolve(OPEN, report=a_report("sub_2", at=EDGE - DAY, user=ADA))

    assert not loads(stored(ONE_OFFS), begun)[1]
    assert not loads(stored(ONE_OFFS, [lasting]), ended)[1]


@pytest.mark.parametrize(
    ("before", "fact"),
    [
        ([], observed(S.ACTIVE, EDGE + 3 * DAY)),
        ([], observed(S.CANCELED, EDGE, EDGE + DAY)),
        (
            [a_subscription(a_report("sub_2", at=EDGE, user=ADA), owner=ADA)],
            observed(S.CANCELED, EDGE, EDGE + 38 * DAY),
        ),
        (
            [a_subscription(a_report("sub_2", S.INCOMPLETE, at=EDGE), owner=ADA)],
            observed(S.INCOMPLETE_EXPIRED, EDGE),
        ),
    ],
    ids=["begins among them", "was among them", "ends among them", "never lived"],
)
def test_a_life_that_is_otherwise_among_payments_needs_the_whole_history(
    before: list[Subscription], fact: Fact
) -> None:
    """
    The summed payments would have another meaning.
    """
    assert loads(stored(ONE_OFFS, before), fact)[1]


def test_sums_do_not_hold_for_a_life_of_another_customer() -> None:
    """
    The payments of the customer before cannot have paid its invoices.
    """
    _, buckets = summed([UNKNOWN, a_payment(at=EDGE + DAY, customer=CUS_1)], [OPEN])
    moved = attrs.evolve(OPEN, report=a_report(at=EDGE, customer=CUS_2))
    plain = PlainPayments.of([OPEN], [], [])

    assert buckets
    assert plain.hold_for(plain, buckets)
    assert not plain.hold_for(PlainPayments.of([moved], [], []), buckets)


def test_the_first_return_needs_the_whole_history_if_invoices_are_not_known() -> None:
    """
    Each payment of the life is fetched then; the next return needs nothing more.
    """
    unknown = [
        a_payment(f"ch_{n}", at=EDGE + n * DAY, customer=CUS_1) for n in range(40)
    ]
    back = a_payment("ch_back", P.REFUNDED, at=EDGE, customer=CUS_1)
    late, returned = attrs.evolve(UNKNOWN, id=PaymentId("ch_late")), [back, *unknown]

    assert not loads(stored(unknown, [OPEN]), PaymentReported(late))[1]
    assert loads(stored(unknown, [OPEN]), PaymentReported(back))[1]
    assert not loads(stored(ONE_OFFS, [OPEN]), PaymentReported(back))[1]
    again = attrs.evolve(back, id=PaymentId("ch_again"))
    assert not loads(stored(returned, [OPEN]), PaymentReported(again))[1]


def test_the_latest_of_the_sums_may_become_the_latest_of_all() -> None:
    """
    The life that begins between both takes the meaning of the later one.
    """
    two = [ONE_OFFS[0], ONE_OFFS[9]]
    account, whole = loads(stored(two), observed(S.ACTIVE, EDGE + 5 * DAY))

    assert whole
    assert account.summary.latest is not None
    assert account.summary.latest.payment_id == "ch_0"


def test_a_period_whose_amount_is_not_known_any_more_needs_the_whole_history() -> None:
    """
    The only thing known of its invoice is then what paid it: two payments, one of which
    was returned.
    """
    both = [
        of_invoice(a_payment(f"ch_{n}", at=EDGE + n * DAY), "in_1") for n in range(3)
    ]
    back = attrs.evolve(both[2], state=P.REFUNDED)
    database = stored([*both[:2], back], [OPEN], [PAID])

    assert not loads(database, PeriodPaid(attrs.evolve(PAID, amount_paid_minor=9)))[1]
    assert loads(database, PeriodPaid(a_term()))[1]


# Two payments of one invoice, one of which was returned, next to later ones.
TWO_OF_IT: Final = [
    of_invoice(a_payment("ch_a", at=EDGE), "in_1"),
    of_invoice(a_payment("ch_b", P.REFUNDED, at=EDGE), "in_1"),
    of_invoice(a_payment("ch_c", at=EDGE + DAY), "in_1"),
]


def test_so_does_one_of_another_subscription_that_is_linked() -> None:
    """
    It says of the same invoice that the amount is not known.
    """
    other = a_subscription(a_report("sub_2", at=EDGE, user=ADA))
    own = [a_record(it, owner=ADA) for it in TWO_OF_IT]
    database = kept(own, [OPEN, other], [PAID, a_term("sub_2")])

    assert loads(database, LinkRequested(ADA))[1]


def test_so_does_one_that_only_its_subscription_knows() -> None:
    """
    As the last paid period, which says no amount.
    """
    other = a_subscription(a_report("sub_2", at=EDGE), owner=ADA, term=a_term("sub_2"))
    database = stored(TWO_OF_IT[::2], [OPEN, other], [PAID])

    back = attrs.evolve(TWO_OF_IT[1], metadata_user_id=ADA)
    assert loads(database, PaymentReported(back))[1]


def test_the_latest_may_go_without_a_whole_history() -> None:
    """
    The lookup names it, so the one before it is loaded.
    """
    unlinked = LinkDecided(
        payment_id=PaymentId("ch_39"),
        user_id=None,
        by_hand=ByHand(by="root", reason="seen"),
    )
    account, whole = loads(stored(ONE_OFFS), unlinked)

    assert not whole
    assert account.summary.latest is not None
    assert account.summary.latest.payment_id == "ch_38"


def test_what_was_loaded_whole_is_not_loaded_again() -> None:
    """
    A decision finds an end: the second load sums nothing.
    """
    database = stored(ONE_OFFS)
    source: SourcedFacts = found(observed(S.ACTIVE, EDGE + 3 * DAY))
    snapshot, _ = Kept(database, whole_max=0).load(source)

    assert not snapshot.buckets
    assert len(snapshot.histories) == len(ONE_OFFS)
