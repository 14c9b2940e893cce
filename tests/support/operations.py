"""Ada's operations, with short calls, and their results."""

from datetime import timedelta
from typing import Any

from payments_core.caller import Caller
from payments_core.entitlement import PaymentStatus
from payments_core.intent import Intent
from payments_core.subscription import Subscription
from payments_core.use_cases import Change, Order
from support.deployment import ADA, Deployment, admin, caller_of

CALLER = caller_of(ADA)
GOOD = "pm_card_visa"
OTHER = "pm_card_mastercard"
DAY = timedelta(days=1)
BASIC, PRO = 900, 1900


async def card(deployment: Deployment, name: str) -> Intent:
    return (await deployment.update_card(ADA, name, caller=CALLER, key=None)).intent


async def start(
    deployment: Deployment, name: str | None = None, **order: Any
) -> Intent:
    wanted = Order(product=deployment.product, payment_method=name, **order)
    caller = admin() if "trial_days" in order else CALLER
    return (await deployment.start(ADA, wanted, caller=caller, key=None)).intent


async def only(deployment: Deployment) -> Subscription:
    [subscription] = (await deployment.account()).subscriptions
    return subscription


async def change(deployment: Deployment, **wanted: Any) -> Intent:
    subscription, wish = await only(deployment), Change(**wanted)
    return (
        await deployment.change(ADA, subscription.id, wish, caller=admin(), key=None)
    ).intent


async def status(deployment: Deployment) -> PaymentStatus:
    return (await deployment.account()).payment_status


def charges(deployment: Deployment) -> list[Any]:
    found = deployment.engine.world.all("charge")
    return sorted(found, key=lambda it: int(it["created"]))


async def ordered(
    deployment: Deployment, caller: Caller = CALLER, **order: Any
) -> Intent:
    wanted = Order(**{"product": deployment.product, "payment_method": GOOD, **order})
    return (await deployment.start(ADA, wanted, caller=caller, key=None)).intent


async def subscribed(deployment: Deployment) -> Subscription:
    """Begin a subscription of the product, 13 days ago."""
    await deployment.register()
    await ordered(deployment)
    await deployment.advance(13 * DAY)
    return await only(deployment)


async def changed(
    deployment: Deployment,
    id_: Any,
    *,
    caller: Caller = CALLER,
    key: str | None = None,
    **wanted: Any,
) -> Intent:
    begun = await deployment.change(ADA, id_, Change(**wanted), caller=caller, key=key)
    return begun.intent


def taken(deployment: Deployment) -> int:
    return sum(it["amount"] for it in deployment.engine.world.all("charge"))
