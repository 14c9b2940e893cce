import pytest

from payments_core import Subscription, SubscriptionId, SubscriptionStatus, UserId
from payments_core.errors import IllegalTransition, InvalidValue
from payments_core.subscription import QUANTITY_MAX, SUBSCRIPTION_STEPS

# Written out, so that a change of the table is seen by whoever reviews it.
SNAPSHOT = """
incomplete: active canceled incomplete_expired
incomplete_expired:
trialing: active canceled past_due paused
active: canceled past_due paused trialing unpaid
past_due: active canceled unpaid
unpaid: active canceled
paused: active canceled past_due
canceled:
"""


def a_subscription(
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE, *, quantity: int = 1
) -> Subscription:
    return Subscription(
        id=SubscriptionId("own_1"),
        user_id=UserId("ada"),
        gateway_id="sub_1",
        product="prod_1",
        price="price_1",
        quantity=quantity,
        status=status,
    )


def test_p19_every_status_has_a_row() -> None:
    """
    A status added to the enum and forgotten in the table fails here.
    """
    assert set(SUBSCRIPTION_STEPS) == set(SubscriptionStatus)


def test_p19_the_table_is_the_documented_one() -> None:
    """
    Each status with all that may follow it.
    """
    rows = [
        f"{status}: {' '.join(sorted(steps))}".strip()
        for status, steps in SUBSCRIPTION_STEPS.items()
    ]
    assert "\n".join(rows) == SNAPSHOT.strip()


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_p04_p19_terminal_rows_are_empty(status: SubscriptionStatus) -> None:
    """
    Canceled and incomplete-expired are the end; nothing else is.
    """
    ended = {SubscriptionStatus.CANCELED, SubscriptionStatus.INCOMPLETE_EXPIRED}

    assert (not SUBSCRIPTION_STEPS[status]) == (status in ended)
    assert a_subscription(status).live == (status not in ended)


@pytest.mark.parametrize("after", SubscriptionStatus)
@pytest.mark.parametrize("before", SubscriptionStatus)
def test_p19_each_pair_steps_or_raises(
    before: SubscriptionStatus, after: SubscriptionStatus
) -> None:
    """
    Every pair follows the table, stays where it is, or is refused unchanged.
    """
    subscription = a_subscription(before)

    if after is before:
        assert subscription.moved(after) is subscription
    elif after in SUBSCRIPTION_STEPS[before]:
        assert subscription.moved(after) == a_subscription(after)
    else:
        with pytest.raises(IllegalTransition) as refused:
            subscription.moved(after)
        assert (refused.value.before, refused.value.after) == (before, after)
        assert subscription.status is before


@pytest.mark.parametrize("quantity", [-1, 0, QUANTITY_MAX + 1])
def test_a_quantity_has_limits(quantity: int) -> None:
    """
    At least one, at most a million.
    """
    with pytest.raises(InvalidValue) as refused:
        a_subscription(quantity=quantity)
    assert refused.value.field == "quantity"


@pytest.mark.parametrize("quantity", [1, QUANTITY_MAX])
def test_a_quantity_reaches_its_limits(quantity: int) -> None:
    """
    Both ends are allowed.
    """
    assert a_subscription(quantity=quantity).quantity == quantity
