"""A user's subscriptions: what can be ordered, read and ended, and by whom."""

from typing import Any

import attrs
import pytest

from contracts.examples import a_report, a_subscription, an_account
from payments_adapters.memory import MemoryIntentDirectory
from payments_core.errors import (
    AccountNotFound,
    AlreadySubscribed,
    IntentNotFound,
    InvalidValue,
    SubscriptionNotFound,
)
from payments_core.identity import UserId
from payments_core.subscription import SubscriptionId, SubscriptionStatus
from payments_core.use_cases import Order, ReadIntent
from payments_core.use_cases.subscriptions import (
    TRIAL_DAYS_MAX,
    has,
    is_ended,
    not_subscribed_to,
)
from support.deployment import ADA, Deployment, admin, caller_of
from support.operations import CALLER, GOOD, only, start

pytestmark = pytest.mark.anyio

S = SubscriptionStatus
BOBS = caller_of(UserId("bob"))
ACTIVE = a_subscription(a_report(), owner=ADA)
PLANNED = a_subscription(attrs.evolve(a_report(), cancel_at_period_end=True))
CANCELED = a_subscription(a_report(status=S.CANCELED), owner=ADA)
GONE = SubscriptionId("sub-gone")


@pytest.mark.parametrize(
    ("order", "field"),
    [
        ({}, "product"),
        ({"product": "prod_1", "price": "price_1"}, "product"),
        ({"product": "prod/1"}, "product"),
        ({"price": ""}, "price"),
        ({"product": "prod_1", "payment_method": "pm 1"}, "payment_method"),
        ({"product": "prod_1", "quantity": 0}, "quantity"),
        ({"product": "prod_1", "trial_days": 0}, "trial_days"),
        ({"product": "prod_1", "trial_days": TRIAL_DAYS_MAX + 1}, "trial_days"),
    ],
)
def test_an_order_that_makes_no_sense_is_none(order: Any, field: str) -> None:
    """
    The error names the field; an order just inside the limits is accepted.
    """
    with pytest.raises(InvalidValue) as refused:
        Order(**order)
    assert refused.value.field == field
    assert Order(product="prod_1", trial_days=TRIAL_DAYS_MAX).wanted.trial_days


def test_a_product_is_sold_once_to_a_user_while_it_lives() -> None:
    """
    The one that is to be changed does not prevent it, nor does an ended one.
    """
    account = attrs.evolve(an_account(), subscriptions=(ACTIVE,))
    with pytest.raises(AlreadySubscribed):
        not_subscribed_to("prod_1")(account)
    not_subscribed_to("prod_1", besides=ACTIVE.id)(account)
    not_subscribed_to("prod_2")(account)
    not_subscribed_to("prod_1")(attrs.evolve(account, subscriptions=(CANCELED,)))


def test_a_subscription_has_to_be_the_accounts() -> None:
    """
    Ended ones are the account's as well.
    """
    account = attrs.evolve(an_account(), subscriptions=(CANCELED,))
    has(CANCELED.id)(account)
    with pytest.raises(SubscriptionNotFound):
        has(GONE)(account)


def test_what_is_planned_to_end_is_ended_only_for_who_waits_for_the_period() -> None:
    """
    At once is earlier; an ended subscription has ended either way.
    """
    assert is_ended(PLANNED, at_period_end=True)
    assert not is_ended(PLANNED, at_period_end=False)
    assert not is_ended(ACTIVE, at_period_end=True)
    assert is_ended(CANCELED, at_period_end=True)
    assert is_ended(CANCELED, at_period_end=False)


async def test_a_subscription_is_read_and_ended_by_its_user() -> None:
    """
    To others it does not exist; ending it twice sends one request to the gateway.
    """
    async with Deployment.opened() as deployment:
        await start(deployment, GOOD)
        one = await only(deployment)
        assert await deployment.read(ADA, caller=CALLER) == (one,)
        assert await deployment.read.one(ADA, one.id, caller=CALLER) == one
        with pytest.raises(AccountNotFound):
            await deployment.read.one(ADA, one.id, caller=BOBS)
        with pytest.raises(SubscriptionNotFound):
            await deployment.read.one(ADA, GONE, caller=CALLER)

        wish: dict[str, Any] = {"at_period_end": False, "caller": CALLER, "key": None}
        with pytest.raises(SubscriptionNotFound):
            await deployment.end(ADA, GONE, **wish)
        ended = await deployment.end(ADA, one.id, **wish)
        assert ended.executed is not None
        assert (await only(deployment)).status is S.CANCELED
        assert (await deployment.end(ADA, one.id, **wish)).executed is None


async def test_an_intent_is_read_by_its_user_and_by_administrators() -> None:
    """
    One of another user, or an invalid id, is not found.
    """
    async with Deployment.opened() as deployment:
        intent = await start(deployment, GOOD)
        read = ReadIntent(MemoryIntentDirectory(deployment.database))

        assert (await read(intent.id, caller=CALLER)).id == intent.id
        assert (await read(intent.id, caller=admin())).id == intent.id
        with pytest.raises(IntentNotFound):
            await read(intent.id, caller=BOBS)
