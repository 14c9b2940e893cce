"""The definition of "sold once", whatever the gateway did."""

from datetime import timedelta
from typing import Final

from support.service_with_sandbox import BASIC, Payer

SOON: Final = timedelta(minutes=10)
# A request may have been executed despite an error: the service looks for two hours.
AFTER_UNKNOWN_OUTCOME: Final = timedelta(hours=3)


def assert_sold_once(payer: Payer) -> None:
    """Assert one subscription, one payment, one customer; and that all are stored."""
    payer.stack.settle()
    [customer] = payer.customers
    [theirs] = payer.subscriptions
    assert theirs["status"] == "active"
    assert theirs["customer"] == customer["id"]
    assert payer.taken == [BASIC]
    [shown] = payer.status["subscriptions"]
    assert (shown["status"], shown["price"]) == ("active", payer.stack.basic)
    assert payer.standing == ("paid", True)
