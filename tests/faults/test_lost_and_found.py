"""Faults that take hours: expired keys, a gateway that is down, a backup.

The gateway is the sandbox behind the real SDK, and time is advanced, not waited for.
"""

from datetime import timedelta

import pytest

from payments_core.errors import AlreadySubscribed
from payments_core.intent import Intent, IntentState
from payments_core.subscription import SubscriptionStatus
from payments_core.use_cases import Order
from support.deployment import ADA, Deployment, caller_of
from support.inprocess import Trouble

pytestmark = pytest.mark.anyio

CALLER = caller_of(ADA)
GOOD = "pm_card_visa"


async def card(deployment: Deployment, name: str) -> Intent:
    return (await deployment.update_card(ADA, name, caller=CALLER, key=None)).intent


async def start(deployment: Deployment) -> Intent:
    order = Order(product=deployment.product)
    return (await deployment.start(ADA, order, caller=CALLER, key=None)).intent


async def test_f30_a_key_that_the_gateway_forgot_is_not_used_blindly() -> None:
    """
    The reply is lost, and nothing retries for thirty hours: the object is looked up
    first.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        deployment.line.plan(Trouble.REPLY_LOST)
        open_ = await start(deployment)
        assert open_.open
        await deployment.advance(timedelta(hours=30))
        await deployment.quiesce()

        assert len(deployment.subscriptions_of(ADA)) == 1
        done = await deployment.intent(open_.id)
        assert done is not None
        assert done.state is IntentState.SUCCEEDED


async def test_f27_after_an_error_nothing_is_made_anew_before_two_hours() -> None:
    """
    The gateway stores its error under the key; it may still execute the request.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        deployment.line.plan(Trouble.ERROR_NOT_MADE)
        open_ = await start(deployment)
        for _ in range(11):
            await deployment.advance(timedelta(minutes=10))
            await deployment.work_once()
        assert deployment.subscriptions_of(ADA) == []
        await deployment.quiesce()

        done = await deployment.intent(open_.id)
        assert done is not None
        assert done.state is IntentState.SUCCEEDED
        [call] = [it for it in done.calls if it.step == "start"]
        assert call.generation == 2
        assert len(deployment.subscriptions_of(ADA)) == 1


async def test_f33_what_was_asked_while_the_gateway_was_down_is_done_after() -> None:
    """
    Six hours without an answer; ten minutes later no intent is open.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        deployment.line.down = True
        open_ = await card(deployment, GOOD)
        assert open_.open
        for _ in range(6):
            await deployment.advance(timedelta(hours=1))
            await deployment.work_once()
        deployment.line.down = False
        await deployment.quiesce(within=timedelta(minutes=10))

        assert len(deployment.customers_of(ADA)) == 1
        assert (await deployment.account()).card is not None


async def test_f55_a_database_from_a_backup_sells_nothing_twice() -> None:
    """
    The intent, the customer and the subscription are lost here, but not there.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        backup = deployment.database.tables
        order = Order(product=deployment.product, payment_method=GOOD)
        ask = deployment.start
        first = (await ask(ADA, order, caller=CALLER, key="k")).intent
        deployment.database.tables = backup
        second = (await ask(ADA, order, caller=CALLER, key="k")).intent
        await deployment.hear()

        assert first.state is IntentState.SUCCEEDED
        assert second.outcome is not None
        assert second.outcome.refusal is not None
        assert second.outcome.refusal.code == AlreadySubscribed.code
        assert (
            len(deployment.subscriptions_of(ADA))
            == len(deployment.customers_of(ADA))
            == 1
        )
        assert len(deployment.engine.world.all("charge")) == 1
        [known] = (await deployment.account()).subscriptions
        assert known.status is SubscriptionStatus.ACTIVE


async def test_p22_what_the_gateway_made_too_late_is_ended_again() -> None:
    """
    A late duplicate of a subscription that was given up or created again conflicts with
    it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        intent = await start(deployment)
        twin = deployment.api.subscribe(
            deployment.customers_of(ADA)[0],
            deployment.pro,
            metadata={"user_id": ADA, "intent_id": intent.id},
        )
        await deployment.hear()

        ended = {it["id"]: it["status"] for it in deployment.subscriptions_of(ADA)}
        assert ended.pop(twin["id"]) == "canceled"
        assert list(ended.values()) == ["active"]


async def test_p23_what_cannot_be_done_in_a_day_is_given_up() -> None:
    """
    No user wants to be charged for a request of the day before yesterday.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        deployment.line.down = True
        open_ = await card(deployment, GOOD)
        await deployment.advance(timedelta(hours=25))
        await deployment.work_once()
        deployment.line.down = False
        await deployment.quiesce(within=timedelta(minutes=10))

        assert deployment.customers_of(ADA) == []
        done = await deployment.intent(open_.id)
        assert done is not None
        assert done.state is IntentState.ABANDONED
