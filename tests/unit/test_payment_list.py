"""The place of a payment in a user's list."""

from datetime import timedelta

import attrs

from contracts.examples import NOON, a_payment, a_record
from payments_core.payment_list import PaymentPlace


def test_payments_are_in_the_order_in_which_they_were_made() -> None:
    """
    Then by their ids; a payment whose time is unknown comes last.
    """
    payments = [
        a_payment("ch_9", at=NOON - timedelta(days=1)),
        a_payment("ch_1"),
        a_payment("ch_2"),
        a_payment("ch_0", at=NOON + timedelta(days=1)),
        attrs.evolve(a_payment("ch_3"), created_at=None),
    ]
    orders = [PaymentPlace.of(a_record(it)).order for it in payments]
    assert orders == sorted(set(orders))
