"""Step by step or computed from scratch, in any order: the entitlement is the same."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise, permutations
from typing import Any, Final

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.examples import (
    ADA,
    NOON,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
    of_invoice,
)
from payments_core import DisputeState, Payment, PaymentState, Policy
from payments_core.access import access_of
from payments_core.account import PaymentAccount
from payments_core.account_version import AnswerVersion
from payments_core.catalogue import PREPAID, Catalogue, CatalogueProduct
from payments_core.entitlement import Standing, replayed, standing
from payments_core.facts import (
    Fact,
    PaymentReported,
    PeriodPaid,
    SubscriptionObserved,
    UserRegistered,
)
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.subscription import (
    PaidPeriod,
    Subscription,
    SubscriptionReport,
    SubscriptionStatus,
)
from payments_core.subscription_merge import Observation
from payments_core.use_cases import GetPaymentStatus, ReadAccess
from support.deciding import Kept, found
from support.profiles import examples

S: Final = SubscriptionStatus
DAY: Final = timedelta(days=1)
SHORTLY: Final = timedelta(microseconds=1)
# An account that exists is not searched for.
NOT_REACHED: Final[Any] = None
POLICY: Final = Policy()
NO_GRACE: Final = Policy(grace=timedelta(0))
OWN_DAYS: Final = Policy(
    catalogue=Catalogue.of(
        [
            CatalogueProduct(product=PREPAID, days_after_end=40),
            CatalogueProduct(product=a_report().product, days_after_end=1),
        ]
    )
)
# Around the beginnings and the ends of lives and paid periods, to the second.
MOMENTS: Final = [
    NOON + days * DAY + seconds * timedelta(seconds=1)
    for days, seconds in [
        *[(-40, 0), (-1, 0), (0, -1), (0, 0), (0, 1), (9, 0), (10, 0), (10, 1)],
        *[(30, 0), (30, 1), (45, 0), (60, 0), (100, 0)],
    ]
]
moments = st.sampled_from(MOMENTS)
ids = st.sampled_from(["sub_1", "sub_2"])

Item = Payment | Observation | PaidPeriod | PaymentAccount


@st.composite
def payments(draw: st.DrawFn) -> Payment:
    """One of four charges, each at a time of its own; without details now and then."""
    number = draw(st.integers(0, 3))
    full = a_payment(
        f"ch_{number}",
        draw(st.sampled_from(PaymentState)),
        at=MOMENTS[number * 3 + 1],
        user=ADA,
        dispute=draw(st.sampled_from([DisputeState.NONE] * 3 + list(DisputeState))),
    )
    if number < 2 and draw(st.booleans()):  # the rest pays for none
        full = of_invoice(full, f"in_{number + 1}", f"sub_{number + 1}")
    elif number == 2:  # that is known of one of them
        full = attrs.evolve(full, invoice_known=True)
    bare = attrs.evolve(full, amount=None, created_at=None, metadata_user_id=None)
    return draw(st.sampled_from([full, full, bare]))


@st.composite
def observation(draw: st.DrawFn) -> Observation:
    """Any report of one of two subscriptions of hers."""
    id_ = draw(ids)
    status = draw(st.sampled_from(S))
    ended = status in {S.CANCELED, S.INCOMPLETE_EXPIRED} and draw(st.booleans())
    ended_at = NOON + 10 * DAY if ended else None
    begun = NOON if id_ == "sub_1" else NOON + 9 * DAY
    report = a_report(id_, status, at=begun, ended_at=ended_at, user=ADA)
    if draw(st.booleans()):
        report = attrs.evolve(report, trial_start=begun, trial_end=begun + 14 * DAY)
    return Observation(
        report=report,
        at=draw(moments),
        sequence=draw(st.integers(1, 9)),
        fetched=draw(st.booleans()),
    )


# What an invoice covers never changes, and neither does the payment that paid it.
terms = st.sampled_from(
    [
        a_term(
            id_,
            starts_at=MOMENTS[start],
            ends_at=MOMENTS[start] + days * DAY,
            invoice=invoice,
            amount_minor=amount_minor,
        )
        for id_, invoice, start, days, amount_minor in [
            ("sub_1", "in_1", 1, 30, 1_000),
            ("sub_1", "in_1a", 4, 14, None),
            ("sub_1", "in_1b", 7, 30, 0),
            ("sub_2", "in_2", 5, 30, None),
            ("sub_2", "in_2a", 9, 14, 2_000),
        ]
    ]
)


@attrs.define
class Shelf:
    """The stored state of one user between saves; `record` adds a fact."""

    kept: Kept = attrs.field(factory=Kept)

    def record(self, item: Item) -> None:
        fact: Fact
        match item:
            case Payment():
                fact = PaymentReported(item)
            case Observation(report=report, at=at, sequence=sequence, fetched=fetched):
                fact = SubscriptionObserved(
                    report=report, at=at, sequence=sequence if fetched else None
                )
                if not fetched:
                    # A payload takes the number of its load.
                    self.kept.database.last_sequence = sequence - 1
            case PaidPeriod():
                fact = PeriodPaid(item)
            case PaymentAccount():
                fact = UserRegistered(user_id=item.user_id, email=item.email)
        self.kept.record(found(fact))

    @property
    def account(self) -> PaymentAccount | None:
        tables = self.kept.database.tables
        account = tables.accounts.get(ADA)
        return account and tables.whole(account)

    @property
    def records(self) -> dict[PaymentId, PaymentRecord]:
        return self.kept.database.tables.payments

    @property
    def subscriptions(self) -> dict[str, Subscription]:
        return self.kept.database.tables.subscriptions

    def of_hers(self) -> tuple[list[Payment], list[Subscription]]:
        return (
            [it.payment for it in self.records.values() if it.user_id],
            [it for it in self.subscriptions.values() if it.user_id],
        )

    def assert_granted_is_entitled(self) -> None:
        """Assert access up to the latest end of the grants, and no longer."""
        if self.account is None:
            return
        verdict = self.account.verdict
        for policy in (POLICY, NO_GRACE, OWN_DAYS):
            ends = [it.until(policy) for it in verdict.grants]
            assert verdict.entitled_until(policy) == max(ends, default=None)
            for now in MOMENTS:
                access = access_of(verdict.grants, policy, now)
                some = any(it.granted for it in access.products.values())
                assert some is self.account.standing(now=now, policy=policy).entitled

    def assert_an_answer_holds(self) -> None:
        """Assert that the answer stays the same for as long as it promises."""
        account = self.account
        if account is None:
            return
        for policy in (POLICY, OWN_DAYS):
            ends = {it.until(policy) for it in account.verdict.grants}
            around = {end + beside for end in ends for beside in (-SHORTLY, SHORTLY)}
            for shown in (_status_at, _access_at):
                answers = [
                    (now, *shown(account, policy, now))
                    for now in sorted({*MOMENTS, *ends, *around})
                ]
                for (_, version, before), (now, _, after) in pairwise(answers):
                    assert before == after or not version.holds(account.version, now)

    def assert_folded_is_replayed(self) -> None:
        if self.account is None:
            return
        paid, subscribed = self.of_hers()
        assert len(subscribed) == len(self.subscriptions)
        assert len(paid) == sum(
            it.payment.metadata_user_id == ADA for it in self.records.values()
        )
        by_age = sorted(
            subscribed, key=lambda it: (it.report.created_at, it.gateway_id)
        )
        assert self.account.subscriptions == tuple(by_age)
        periods = list(self.kept.database.tables.periods.values())
        summary, standing_subscriptions = replayed(paid, subscribed, periods)
        assert self.account.summary == summary
        assert list(standing_subscriptions) == subscribed
        for now in MOMENTS:
            assert self.account.standing(now=now, policy=POLICY) == standing(
                paid, subscribed, periods, now=now, policy=POLICY
            )


def _status_at(
    account: PaymentAccount, policy: Policy, now: datetime
) -> tuple[AnswerVersion, object]:
    view = GetPaymentStatus(NOT_REACHED, lambda: now, policy).view(account)
    return view.version, view.standing


def _access_at(
    account: PaymentAccount, policy: Policy, now: datetime
) -> tuple[AnswerVersion, object]:
    found = ReadAccess(NOT_REACHED, lambda: now, policy).of(account)
    return found.version, (found.standing, found.entitled_until, found.access)


items = st.lists(
    payments() | observation() | terms | st.just(an_account()), min_size=1, max_size=12
)


@settings(max_examples=examples(500, proven=15_000))
@given(items)
def test_p06_a_checkpoint_says_what_all_facts_say_after_every_step(
    story: list[Item],
) -> None:
    """
    Payments, reports, paid periods and the registration, in any order, each on its own.
    """
    shelf = Shelf()
    for item in story:
        shelf.record(item)
        shelf.assert_folded_is_replayed()
    shelf.record(an_account())
    shelf.assert_folded_is_replayed()


@settings(max_examples=examples(400, proven=10_000))
@given(items)
# Both paid once and long ago, and free since.
@example(
    [
        a_payment("ch_0", at=MOMENTS[0], user=ADA),
        Observation(
            report=attrs.evolve(
                a_report(status=S.CANCELED, ended_at=NOON + 10 * DAY, user=ADA),
                trial_start=NOON,
                trial_end=NOON + 14 * DAY,
            ),
            at=NOON + 10 * DAY,
            sequence=1,
            fetched=True,
        ),
    ]
)
def test_who_is_entitled_has_access_to_a_product_and_the_other_way_round(
    story: list[Item],
) -> None:
    """
    By the general grace, by none, and by days of a product's own, at any time.
    """
    shelf = Shelf()
    shelf.record(an_account())
    for item in story:
        shelf.record(item)
    shelf.assert_granted_is_entitled()
    shelf.assert_an_answer_holds()


@given(
    st.lists(payments(), max_size=4),
    st.lists(observation(), max_size=4),
    st.lists(terms, max_size=3),
    st.data(),
)
def test_p01_once_all_is_looked_up_no_order_mattered(
    paid: list[Payment],
    reported: list[Observation],
    bought: list[PaidPeriod],
    data: st.DataObject,
) -> None:
    """
    Fetches with the same numbers in the end, and the paid periods that they return.
    """
    ends = [it for it in reported if not it.report.is_terminal]
    final = [
        attrs.evolve(it, sequence=100, fetched=True)
        for it in {it.report.gateway_id: it for it in ends}.values()
    ]
    facts: list[Item] = [*paid, *ends, *bought, an_account()]

    def told(order: Sequence[Item]) -> Standing:
        shelf = Shelf()
        for item in (*order, *final, *bought):
            shelf.record(item)
        assert shelf.account is not None
        return shelf.account.standing(now=NOON, policy=POLICY)

    assert told(data.draw(st.permutations(facts))) == told(facts)


@st.composite
def subscriptions(draw: st.DrawFn) -> list[Subscription]:
    """Return up to two, in their final known state."""
    reports = draw(
        st.lists(observation(), max_size=2, unique_by=lambda it: it.report.gateway_id)
    )
    return [
        a_subscription(it.report, term=draw(st.none() | _terms_of(it.report)))
        for it in reports
    ]


def _terms_of(report: SubscriptionReport) -> st.SearchStrategy[PaidPeriod]:
    begun = report.created_at
    return st.sampled_from([begun, begun + 14 * DAY, begun + 30 * DAY]).map(
        lambda starts_at: a_term(report.gateway_id, starts_at=starts_at)
    )


some_payments = st.lists(payments(), max_size=4, unique_by=lambda it: it.id)


@given(some_payments, subscriptions())
@example(
    [a_payment("ch_1", PaymentState.REFUNDED, at=NOON + timedelta(seconds=1))],
    [a_subscription(a_report(status=S.INCOMPLETE), term=a_term())],
)
def test_p01_no_order_of_payments_and_subscriptions_matters(
    paid: list[Payment], subscribed: list[Subscription]
) -> None:
    """
    With any set of them; and entitlement follows the date: up to it everybody, in the
    grace after it nobody for whom nothing was ever paid.
    """
    (only,) = {
        standing(left, right, now=NOON, policy=POLICY)
        for left in permutations(paid)
        for right in permutations(subscribed)
    }
    date = only.payment_expire_date
    assert only.entitled >= (date is not None and date > NOON)
    assert only.entitled <= (date is not None and date + POLICY.grace > NOON)


@given(some_payments, subscriptions())
def test_p11_nobody_gets_in_for_nothing(
    paid: list[Payment], subscribed: list[Subscription]
) -> None:
    """
    A date means money that stayed, a paid period or a trial.
    """
    found = standing(paid, subscribed, now=NOON, policy=POLICY)
    if found.payment_expire_date is not None:
        assert (
            any(payment.money_stayed for payment in paid)
            or any(it.paid_period for it in subscribed)
            or any(it.free_until for it in subscribed)
        )


@given(
    some_payments,
    subscriptions(),
    moments,
    st.sampled_from([PaymentState.PENDING, PaymentState.FAILED]),
)
@example(
    [a_payment("ch_0", PaymentState.REFUNDED, at=NOON)],
    [a_subscription(a_report(status=S.CANCELED, ended_at=NOON + DAY), term=a_term())],
    NOON + 2 * DAY,
    PaymentState.FAILED,
)
def test_p11_a_payment_that_did_not_succeed_moves_no_date(
    paid: list[Payment],
    subscribed: list[Subscription],
    at: datetime,
    state: PaymentState,
) -> None:
    """
    Neither forward nor back, whenever it was tried and whatever status it leads to.
    """
    tried = a_payment("ch_tried", state, at=at)
    before = standing(paid, subscribed, now=NOON, policy=POLICY)
    after = standing([*paid, tried], subscribed, now=NOON, policy=POLICY)

    assert after.payment_expire_date == before.payment_expire_date
