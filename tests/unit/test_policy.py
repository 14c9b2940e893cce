"""The default policy of a deployment."""

from datetime import timedelta

from payments_core.policy import Policy


def test_money_is_not_real_unless_it_is_said() -> None:
    """
    And access outlives the date by three days.
    """
    assert Policy() == Policy(grace=timedelta(days=3), livemode=False)
