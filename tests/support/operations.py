"""Operations of Ada, short to call, and what they came to."""

from datetime import timedelta
from typing import Any

from payments_core.caller import Caller
from payments_core.entitlement import PaymentStatus
from payments_core.intent import Intent
from payments_core.subscription import Subscription
from payments_core.use_cases import Change, Order
from support.till import ADA, Till, admin, caller_of

CALLER = caller_of(ADA)
GOOD = "pm_card_visa"
OTHER = "pm_card_mastercard"
DAY = timedelta(days=1)
BASIC, PRO = 900, 1900


async def card(till: Till, name: str) -> Intent:
    return (await till.update_card(ADA, name, caller=CALLER, key=None)).intent


async def start(till: Till, name: str | None = None, **order: Any) -> Intent:
    wanted = Order(product=till.product, payment_method=name, **order)
    caller = admin() if "trial_days" in order else CALLER
    return (await till.start(ADA, wanted, caller=caller, key=None)).intent


async def only(till: Till) -> Subscription:
    [subscription] = (await till.account()).subscriptions
    return subscription


async def change(till: Till, **wanted: Any) -> Intent:
    subscription, wish = await only(till), Change(**wanted)
    return (
        await till.change(ADA, subscription.id, wish, caller=admin(), key=None)
    ).intent


async def status(till: Till) -> PaymentStatus:
    return (await till.account()).payment_status


def charges(till: Till) -> list[Any]:
    found = till.engine.world.all("charge")
    return sorted(found, key=lambda it: int(it["created"]))


async def ordered(till: Till, caller: Caller = CALLER, **order: Any) -> Intent:
    wanted = Order(**{"product": till.product, "payment_method": GOOD, **order})
    return (await till.start(ADA, wanted, caller=caller, key=None)).intent


async def subscribed(till: Till) -> Subscription:
    """Begin a subscription of the product, 13 days ago."""
    await till.register()
    await ordered(till)
    await till.advance(13 * DAY)
    return await only(till)


async def changed(
    till: Till,
    id_: Any,
    *,
    caller: Caller = CALLER,
    key: str | None = None,
    **wanted: Any,
) -> Intent:
    begun = await till.change(ADA, id_, Change(**wanted), caller=caller, key=key)
    return begun.intent


def taken(till: Till) -> int:
    return sum(it["amount"] for it in till.engine.world.all("charge"))
