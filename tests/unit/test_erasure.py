"""What prevents an erasure, and what a pseudonym is."""

import attrs
import pytest

from contracts.examples import (
    ADA,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    an_intent,
)
from payments_core.erasure import is_pseudonym, pseudonym, what_is_open
from payments_core.errors import InvalidValue
from payments_core.identity import user_id
from payments_core.intent import IntentState
from payments_core.payment import DisputeState, PaymentState
from payments_core.subscription import SubscriptionStatus

OVER = {SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED}


def test_a_pseudonym_is_no_user_id() -> None:
    """
    Nobody can register, claim or request one.
    """
    one = pseudonym("1")
    assert is_pseudonym(one)
    assert not is_pseudonym(ADA)
    with pytest.raises(InvalidValue):
        user_id(one)


@pytest.mark.parametrize("status", list(SubscriptionStatus))
def test_a_subscription_that_is_not_over_is_open(status: SubscriptionStatus) -> None:
    """
    Whatever else applies to it.
    """
    one = a_subscription(a_report(status=status), owner=ADA)
    found = [*what_is_open([one], [], [])]
    assert found == ([] if status in OVER else [f"subscription sub_1 is {status}"])


@pytest.mark.parametrize("state", list(PaymentState))
@pytest.mark.parametrize("dispute", list(DisputeState))
def test_money_that_is_not_decided_is_open(
    state: PaymentState, dispute: DisputeState
) -> None:
    """
    A pending payment, an open dispute: each is named.
    """
    record = a_record(a_payment(state=state, dispute=dispute))
    found = [*what_is_open([], [record], [])]
    pending = ["payment ch_1 is pending"] * (state is PaymentState.PENDING)
    disputed = ["the dispute of payment ch_1 is open"] * (dispute is DisputeState.OPEN)
    assert found == pending + disputed


@pytest.mark.parametrize("state", list(IntentState))
def test_an_operation_that_goes_on_is_open(state: IntentState) -> None:
    """
    Until it has ended, however it ends.
    """
    intent = attrs.evolve(an_intent(), state=state)
    assert len([*what_is_open([], [], [intent])]) == intent.open
