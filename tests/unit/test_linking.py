"""The keys under which payments and subscriptions find their accounts."""

from contracts.examples import ADA, BOB, CUS_1, a_payment, email_of
from payments_core.linking import link_keys


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
