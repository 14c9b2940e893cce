from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.examples import CUS_1, CUS_2, NOON, a_payment, an_account
from contracts.worlds import moments
from payments_core import (
    DisputeState,
    Payment,
    PaymentState,
    PaymentStatus,
    PaymentSummary,
    Policy,
    Standing,
    standing,
)
from payments_core.entitlement import PaymentEffect, PrepaidMonths
from payments_core.errors import CustomerTaken

P, S = PaymentState, PaymentStatus
SECOND: Final = timedelta(seconds=1)
STRICT: Final = Policy(grace=timedelta(0))


def on(month: int, day: int) -> datetime:
    return datetime(2026, month, day, 12, tzinfo=UTC)


def expires(*payments: Payment) -> datetime | None:
    return standing(payments, now=NOON, policy=STRICT).payment_expire_date


def status(*payments: Payment) -> PaymentStatus:
    """Return the status, after checking that the order does not matter."""
    found = {
        standing(order, now=NOON, policy=STRICT).payment_status
        for order in permutations(payments)
    }
    (only,) = found
    return only


def paid(id_: str, month: int, day: int) -> Payment:
    return a_payment(id_, at=on(month, day))


JANUARY: Final = paid("ch_1", 1, 31)
MARCH: Final = paid("ch_3", 3, 31)


def test_nothing_was_paid() -> None:
    """
    No payments: no status, no date, no access.
    """
    assert standing([], now=NOON, policy=Policy()) == Standing(
        S.NONE, None, entitled=False
    )


@pytest.mark.parametrize("grace", [timedelta(0), timedelta(days=3)])
def test_p20_entitled_until_just_before_the_date_and_the_grace(
    grace: timedelta,
) -> None:
    """
    The last moment is included, the end itself is not; the date does not move.
    """

    def entitled(now: datetime) -> bool:
        found = standing([JANUARY], now=now, policy=Policy(grace=grace))
        assert found.payment_expire_date == on(2, 28)
        return found.entitled

    end = on(2, 28) + grace
    assert entitled(end - timedelta(microseconds=1))
    assert not entitled(end)
    assert not entitled(end + SECOND)


@pytest.mark.parametrize(
    "back",
    [
        a_payment("ch_2", P.REFUNDED, at=on(2, 28)),
        a_payment("ch_2", at=on(2, 28), dispute=DisputeState.LOST),
    ],
    ids=["refunded", "lost"],
)
def test_a_refund_in_full_and_a_lost_dispute_give_the_month_back(
    back: Payment,
) -> None:
    """
    As if it had never been bought; the months around it stay.
    """
    assert expires(JANUARY, back) == expires(JANUARY)
    assert expires(JANUARY, back, MARCH) == expires(JANUARY, MARCH)
    assert expires(back) is None


@pytest.mark.parametrize(
    "kept",
    [
        a_payment("ch_2", P.PARTIALLY_REFUNDED, at=on(2, 28)),
        a_payment("ch_2", at=on(2, 28), dispute=DisputeState.OPEN),
        a_payment("ch_2", at=on(2, 28), dispute=DisputeState.WON),
        a_payment("ch_2", P.CONTRADICTED, at=on(2, 28)),
    ],
    ids=["partial", "open", "won", "contradicted"],
)
def test_nothing_else_gives_the_month_back(kept: Payment) -> None:
    """
    A partial refund, a dispute that is open or won, an unknown state: the month stays.
    """
    assert expires(JANUARY, kept) == on(3, 31)


@pytest.mark.parametrize(
    ("state", "dispute", "expected"),
    [
        (P.PENDING, DisputeState.NONE, S.PENDING),
        (P.FAILED, DisputeState.NONE, S.FAILED),
        (P.SUCCEEDED, DisputeState.NONE, S.PAID),
        (P.PARTIALLY_REFUNDED, DisputeState.NONE, S.PAID),
        (P.REFUNDED, DisputeState.NONE, S.REFUNDED),
        (P.CONTRADICTED, DisputeState.NONE, S.PENDING),
        (P.SUCCEEDED, DisputeState.OPEN, S.DISPUTED),
        (P.SUCCEEDED, DisputeState.LOST, S.DISPUTED),
        (P.SUCCEEDED, DisputeState.CONTRADICTED, S.DISPUTED),
        (P.SUCCEEDED, DisputeState.WON, S.PAID),
        (P.REFUNDED, DisputeState.WON, S.REFUNDED),
    ],
)
def test_the_latest_payment_gives_the_status(
    state: PaymentState, dispute: DisputeState, expected: PaymentStatus
) -> None:
    """
    Whatever the older ones were.
    """
    latest = a_payment("ch_2", state, at=on(2, 28), dispute=dispute)
    assert status(JANUARY, latest) == expected


def test_an_older_failure_that_arrives_later_changes_nothing() -> None:
    """
    The charge's own time counts, not its arrival.
    """
    failed = a_payment("ch_0", P.FAILED, at=on(1, 30))
    assert status(JANUARY, failed) == S.PAID
    assert expires(JANUARY, failed) == expires(JANUARY)


def test_a_failure_after_a_success_is_a_failure_and_takes_nothing_back() -> None:
    """
    The status is failed, the month that was paid for stays.
    """
    failed = a_payment("ch_2", P.FAILED, at=on(2, 1))
    assert status(JANUARY, failed) == S.FAILED
    assert expires(JANUARY, failed) == on(2, 28)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((P.PENDING, P.FAILED), S.FAILED),
        ((P.FAILED, P.SUCCEEDED), S.PAID),
        ((P.PENDING, P.FAILED, P.SUCCEEDED), S.PAID),
        ((P.FAILED, P.REFUNDED), S.REFUNDED),
        ((P.CONTRADICTED, P.FAILED), S.FAILED),
    ],
)
def test_in_one_second_success_beats_failure_beats_pending(
    states: tuple[PaymentState, ...], expected: PaymentStatus
) -> None:
    """
    Whichever of them has the greater id.
    """
    for order in permutations(states):
        payments = [a_payment(f"ch_{n}", state) for n, state in enumerate(order)]
        assert status(*payments) == expected


def test_in_one_second_and_one_rank_the_greater_id_counts() -> None:
    """
    Arbitrary, but always the same.
    """
    refunded = a_payment("ch_9", P.REFUNDED)
    assert status(a_payment("ch_1"), refunded) == S.REFUNDED
    assert status(a_payment("ch_99"), refunded) == S.PAID


def test_a_payment_whose_time_is_not_known_does_not_count_yet() -> None:
    """
    A dispute that arrived before its charge waits for it.
    """
    dispute = Payment(id=JANUARY.id, dispute=DisputeState.OPEN)
    assert status(dispute) == S.NONE
    assert status(dispute.merge(JANUARY)) == S.DISPUTED


@given(
    st.lists(
        st.builds(
            a_payment,
            st.sampled_from([f"ch_{n}" for n in range(9)]),
            st.sampled_from(P),
            at=moments,
            dispute=st.sampled_from(DisputeState),
        ),
        unique_by=lambda payment: payment.id,
    ),
    st.data(),
)
def test_p06_advancing_in_order_is_replaying_in_any(
    payments: list[Payment], data: st.DataObject
) -> None:
    """
    One by one, events of one second in either order, or all from the start: the same.
    """
    shuffled = data.draw(st.permutations(payments))
    sightings = [s for s in map(PaymentEffect.of, shuffled) if s]
    summary = PaymentSummary()
    # A stable sort by time alone keeps those of one second in the order drawn.
    for effect in sorted(sightings, key=lambda s: s.created_at):
        assert summary.takes(effect)
        summary = summary.advance(effect)

    assert summary == PaymentSummary.replay(payments)


def test_a_checkpoint_does_not_take_what_is_older() -> None:
    """
    That needs a replay; the same second does not.
    """
    summary = PaymentSummary.replay([JANUARY])
    older = PaymentEffect.of(a_payment("ch_0", at=on(1, 31) - SECOND))
    twin = PaymentEffect.of(a_payment("ch_0", at=on(1, 31)))

    assert older is not None
    assert not summary.takes(older)
    assert twin is not None
    assert summary.takes(twin)
    assert summary.prepaid == PrepaidMonths(on(1, 31), 1)


def test_p21_a_customer_is_bound_once() -> None:
    """
    The same customer again is no change, another is refused.
    """
    bound = an_account().bound(CUS_1)
    assert bound.bound(CUS_1) == bound
    with pytest.raises(CustomerTaken):
        bound.bound(CUS_2)
