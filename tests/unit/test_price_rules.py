"""What a caller may decide about what a subscription costs, and what not."""

from typing import Any

import pytest

from payments_core.errors import AlreadySubscribed, PriceNotAllowed, TrialNotAllowed
from payments_core.intent import IntentState
from payments_core.use_cases import Change, Order
from payments_core.use_cases.price_rules import PREVIEW_TTL
from support.deployment import ADA, Deployment, admin
from support.operations import (
    BASIC,
    CALLER,
    DAY,
    PRO,
    changed,
    only,
    ordered,
    subscribed,
    taken,
)

pytestmark = pytest.mark.anyio


def another_product(deployment: Deployment, amount: int = 500) -> str:
    """Put another product on sale, and return it."""
    price = deployment.api.price(amount)
    product = str(price["product"])
    deployment.api.post(f"products/{product}", default_price=price["id"])
    return product


# Rule 1: prices


@pytest.mark.parametrize("named", ["the default one", "another", "none there is"])
async def test_a_price_is_an_administrators_to_name(named: str) -> None:
    """
    Whatever it is, a user's order, change and preview of it are refused alike: nothing
    is written down, and the gateway is not asked.
    """
    async with Deployment.opened() as deployment:
        subscription = await subscribed(deployment)
        price = {"the default one": deployment.basic, "another": deployment.pro}.get(
            named, "p_1"
        )
        before, change = len(deployment.intents), Change(price=price, quantity=2)
        asked: list[str] = []
        deployment.engine.watch = lambda request, _: asked.append(request.path)

        for refused in (
            deployment.start(ADA, Order(price=price), caller=CALLER, key="a"),
            deployment.change(ADA, subscription.id, change, caller=CALLER, key="b"),
            deployment.preview(ADA, subscription.id, change, caller=CALLER),
        ):
            with pytest.raises(PriceNotAllowed) as caught:
                await refused
            assert caught.value.field == "price"
        assert len(deployment.intents) == before
        assert asked == []


async def test_an_administrator_names_any_price() -> None:
    """
    For the order, the preview and the change.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        begun = await ordered(deployment, admin(), price=deployment.basic, product=None)
        one, change = await only(deployment), Change(price=deployment.pro)
        told = await deployment.preview(ADA, one.id, change, caller=admin())
        after = await changed(deployment, one.id, caller=admin(), price=deployment.pro)

        assert begun.state is after.state is IntentState.SUCCEEDED
        assert (await only(deployment)).report.price == deployment.pro
        assert told.due.amount_minor == PRO - BASIC
        assert taken(deployment) == PRO


async def test_a_user_changes_to_a_product_at_its_default_price() -> None:
    """
    The preview says what it costs, and the change takes that.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        other = another_product(deployment, 2500)
        wanted: dict[str, Any] = {"product": other, "quantity": 2}
        told = await deployment.preview(ADA, one.id, Change(**wanted), caller=CALLER)
        before = taken(deployment)
        await deployment.advance(PREVIEW_TTL)
        dated = {**wanted, "proration_date": told.proration_date}
        after = await changed(deployment, one.id, key="one", **dated)
        again = await deployment.change(
            ADA, one.id, Change(**dated), caller=CALLER, key="one"
        )

        assert after.state is IntentState.SUCCEEDED
        assert (again.replayed, again.intent.id) == (True, after.id)
        report = (await only(deployment)).report
        assert (report.product, report.quantity) == (other, 2)
        assert taken(deployment) - before == told.due.amount_minor > 0


async def test_a_user_returns_to_the_default_price_of_the_product() -> None:
    """
    The product that it is of already may be named: an administrator's price goes.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        await changed(deployment, one.id, caller=admin(), price=deployment.pro)
        await changed(deployment, one.id, product=deployment.product)

        assert (await only(deployment)).report.price == deployment.basic


async def test_a_product_that_the_user_has_is_refused_in_the_preview_too() -> None:
    """
    What the change would not do, the preview does not price.
    """
    async with Deployment.opened() as deployment:
        first = await subscribed(deployment)
        other = another_product(deployment)
        await ordered(deployment, product=other)
        change = Change(product=other)

        with pytest.raises(AlreadySubscribed) as previewed:
            await deployment.preview(ADA, first.id, change, caller=CALLER)
        with pytest.raises(AlreadySubscribed) as refused:
            await deployment.change(ADA, first.id, change, caller=CALLER, key=None)
        assert previewed.value.subscription_id == refused.value.subscription_id


@pytest.mark.parametrize("why", ["archived", "sold once", "no default price"])
async def test_a_product_that_is_not_sold_by_the_month_is_refused(why: str) -> None:
    """
    Its default price has to be active and recurring, and the product on sale.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        product = str(deployment.api.post("products", name="Another")["id"])
        if why != "no default price":
            often = {} if why == "sold once" else {"recurring": {"interval": "month"}}
            price = deployment.api.post(
                "prices", currency="eur", unit_amount=1, product=product, **often
            )
            deployment.api.post(f"products/{product}", default_price=price["id"])
        if why == "archived":
            deployment.api.post(f"products/{product}", active="false")
        change, order = Change(product=product), Order(product=product)

        for refused in (
            deployment.start(ADA, order, caller=CALLER, key=None),
            deployment.change(ADA, one.id, change, caller=CALLER, key=None),
            deployment.preview(ADA, one.id, change, caller=CALLER),
        ):
            with pytest.raises(Exception, match="product") as caught:
                await refused
            assert getattr(caught.value, "field", None) == "product"


# Rule 2: trials


async def test_a_trial_is_an_administrators_to_give() -> None:
    """
    A user's order of one is refused, every time; not even a customer is made.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        order = Order(product=deployment.product, trial_days=730)

        for key in (None, "one", "one"):
            with pytest.raises(TrialNotAllowed) as caught:
                await deployment.start(ADA, order, caller=CALLER, key=key)
            assert caught.value.field == "trial_days"
        assert deployment.intents == []
        assert (await deployment.account()).payment_expire_date is None
        assert deployment.customers_of(ADA) == []


async def test_an_administrator_gives_a_trial() -> None:
    """
    The user is entitled until it ends, and has paid nothing.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await ordered(deployment, admin(), trial_days=14)

        assert (
            await deployment.account()
        ).payment_expire_date == deployment.clock.now + 14 * DAY
        assert taken(deployment) == 0
