from datetime import UTC, datetime
from functools import reduce
from itertools import permutations, product
from typing import Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import CUS_1, CUS_2, NOON, a_payment
from payments_core import DisputeState, Money, Payment, PaymentId, PaymentState
from payments_core.errors import InvalidValue
from payments_core.payment import DISPUTE_STEPS, PAYMENT_STEPS, diagram

# Known state -> state after a report; an unchanged state is not written.
DIAGRAM: Final = """
stateDiagram-v2
    [*] --> pending
    pending --> failed: failed
    pending --> succeeded: succeeded
    pending --> partially_refunded: partially_refunded
    pending --> refunded: refunded
    pending --> contradicted: contradicted
    failed --> contradicted: succeeded
    failed --> contradicted: partially_refunded
    failed --> contradicted: refunded
    failed --> contradicted: contradicted
    succeeded --> contradicted: failed
    succeeded --> partially_refunded: partially_refunded
    succeeded --> refunded: refunded
    succeeded --> contradicted: contradicted
    partially_refunded --> contradicted: failed
    partially_refunded --> refunded: refunded
    partially_refunded --> contradicted: contradicted
    refunded --> contradicted: failed
    refunded --> contradicted: contradicted
    state dispute {
        [*] --> none
        none --> open: open
        none --> won: won
        none --> lost: lost
        none --> contradicted: contradicted
        open --> won: won
        open --> lost: lost
        open --> contradicted: contradicted
        won --> contradicted: lost
        won --> contradicted: contradicted
        lost --> contradicted: won
        lost --> contradicted: contradicted
    }
""".strip()

P, D = PaymentState, DisputeState


def maybe(*values: object) -> st.SearchStrategy[object]:
    return st.sampled_from([None, *values])


# Few values of each field, so that reports often agree, differ and leave out.
payments = st.builds(
    Payment,
    id=st.just(PaymentId("ch_1")),
    state=st.sampled_from(P),
    dispute=st.sampled_from(D),
    amount=maybe(Money(1, "eur"), Money(2, "eur"), Money(2, "usd")),
    refunded_minor=st.integers(0, 2),
    created_at=maybe(NOON, datetime(2026, 2, 28, tzinfo=UTC)),
    customer_id=maybe(CUS_1, CUS_2),
    metadata_user_id=maybe("ada", "bob"),
    email=maybe("ada@a", "bob@b"),
    invoice_id=maybe("in_1", "in_2"),
    failure_code=maybe("card_declined", "expired_card"),
)


def test_p19_the_tables_are_total() -> None:
    """
    Every state against every report: a state added and forgotten fails here.
    """
    assert set(PAYMENT_STEPS) == set(P)
    assert all(set(row) == set(P) for row in PAYMENT_STEPS.values())
    assert set(DISPUTE_STEPS) == set(D)
    assert all(set(row) == set(D) for row in DISPUTE_STEPS.values())


def test_p19_the_diagram_is_the_documented_one() -> None:
    """
    A reviewer sees a change of the tables.
    """
    assert diagram() == DIAGRAM


def test_p03_the_payment_table_is_a_join() -> None:
    """
    Commutative, associative, idempotent, with an identity: all 216 triples.
    """
    for a, b, c in product(P, repeat=3):
        step = PAYMENT_STEPS
        assert step[a][b] is step[b][a]
        assert step[step[a][b]][c] is step[a][step[b][c]]
        assert step[a][a] is step[P.PENDING][a] is a
        assert step[a][P.CONTRADICTED] is P.CONTRADICTED


def test_p03_the_dispute_table_is_a_join() -> None:
    """
    The same laws for disputes: all 125 triples.
    """
    for a, b, c in product(D, repeat=3):
        step = DISPUTE_STEPS
        assert step[a][b] is step[b][a]
        assert step[step[a][b]][c] is step[a][step[b][c]]
        assert step[a][a] is step[D.NONE][a] is a
        assert step[a][D.CONTRADICTED] is D.CONTRADICTED


@given(payments, payments)
def test_p03_merge_commutes(a: Payment, b: Payment) -> None:
    """
    Whichever report comes first.
    """
    assert a.merge(b) == b.merge(a)


@given(payments, payments, payments)
def test_p03_merge_associates(a: Payment, b: Payment, c: Payment) -> None:
    """
    However reports are grouped.
    """
    assert a.merge(b).merge(c) == a.merge(b.merge(c))


@given(payments, payments)
def test_p02_merging_again_changes_nothing(a: Payment, b: Payment) -> None:
    """
    A copy of a report, early or late, adds nothing.
    """
    assert a.merge(a) == a
    assert a.merge(b).merge(b) == a.merge(b) == a.merge(b).merge(a)


@given(payments)
def test_p03_knowing_nothing_is_the_identity(a: Payment) -> None:
    """
    A payment of which only the id is known changes nothing.
    """
    nothing = Payment(id=a.id)
    assert nothing.merge(a) == a.merge(nothing) == a


@given(st.lists(payments, min_size=1, max_size=4))
def test_p01_all_orders_of_merging_come_to_one(reports: list[Payment]) -> None:
    """
    Every permutation, not a sample of them.
    """
    merged = {reduce(Payment.merge, order) for order in permutations(reports)}
    assert len(merged) == 1


@given(payments, payments)
def test_p12_refunds_and_amounts_only_grow(a: Payment, b: Payment) -> None:
    """
    A refunded or authorised amount never decreases.
    """
    both = a.merge(b)
    assert both.refunded_minor == max(a.refunded_minor, b.refunded_minor)
    amounts = [p.amount.amount_minor for p in (a, b) if p.amount]
    assert (both.amount.amount_minor if both.amount else 0) == max(amounts, default=0)


@given(payments, payments)
def test_a_report_that_leaves_a_field_out_does_not_erase_it(
    a: Payment, b: Payment
) -> None:
    """
    A known value stays known, whatever else a report contains.
    """
    both = attrs.asdict(a.merge(b), recurse=False)
    for name, value in attrs.asdict(a, recurse=False).items():
        if value is not None:
            assert both[name] is not None


def test_reports_of_two_payments_do_not_merge() -> None:
    """
    That would be a bug of a caller, and it raises.
    """
    with pytest.raises(InvalidValue) as refused:
        a_payment("ch_1").merge(a_payment("ch_2"))
    assert refused.value.field == "id"


@pytest.mark.parametrize("dispute", D)
@pytest.mark.parametrize("state", P)
def test_money_stays_unless_it_is_refunded_in_full_or_lost(
    state: PaymentState, dispute: DisputeState
) -> None:
    """
    It must be taken first; a partial refund and an open dispute take nothing back.
    """
    taken = state in {P.SUCCEEDED, P.PARTIALLY_REFUNDED, P.CONTRADICTED}
    expected = taken and dispute is not D.LOST
    assert a_payment(state=state, dispute=dispute).money_stayed == expected


@pytest.mark.parametrize(("refunded_minor", "stays"), [(999, True), (1_000, False)])
def test_a_contradicted_payment_loses_its_money_by_a_full_refund_only(
    refunded_minor: int, *, stays: bool
) -> None:
    """
    A state in doubt takes nothing back; a refund of everything does.
    """
    contradicted = attrs.evolve(
        a_payment(state=P.CONTRADICTED), refunded_minor=refunded_minor
    )
    assert contradicted.money_stayed == stays


@pytest.mark.parametrize("dispute", D)
@pytest.mark.parametrize("state", P)
def test_a_payment_is_contradicted_if_either_of_its_states_is(
    state: PaymentState, dispute: DisputeState
) -> None:
    """
    Then only the gateway knows what happened.
    """
    expected = state is P.CONTRADICTED or dispute is D.CONTRADICTED
    assert a_payment(state=state, dispute=dispute).contradicted == expected
