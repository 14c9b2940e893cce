"""Results of operations on cards: paid with, set up, reissued, found."""

from typing import Any

import pytest

from payments_core.entitlement import PaymentStatus
from payments_core.identity import CustomerId, Email
from payments_core.intent import IntentState
from payments_core.subscription import SubscriptionStatus
from payments_core.use_cases import RegisterUser
from support.deployment import ADA, Deployment
from support.operations import (
    CALLER,
    DAY,
    GOOD,
    OTHER,
    card,
    charges,
    only,
    start,
    status,
)

pytestmark = pytest.mark.anyio
FAILING = "pm_card_chargeCustomerFail"


async def owing(deployment: Deployment) -> str:
    """Return a subscription a month after its card began to fail."""
    await deployment.register()
    first = await card(deployment, GOOD)
    assert first.outcome is not None
    assert first.outcome.card is not None
    await start(deployment)
    deployment.decline(first.outcome.card.id)
    await deployment.advance(32 * DAY)
    await deployment.hear()
    assert (await only(deployment)).status is SubscriptionStatus.PAST_DUE
    return first.outcome.card.id


async def test_a_new_card_pays_what_is_owed_once_and_takes_every_place() -> None:
    """
    It becomes the customer's default and the card of every subscription, and the
    invoice is paid once.
    """
    async with Deployment.opened() as deployment:
        old = await owing(deployment)
        before = [it for it in charges(deployment) if it["status"] == "succeeded"]
        updated = await card(deployment, OTHER)
        again = await card(deployment, OTHER)
        await deployment.hear()

        assert updated.state is again.state is IntentState.SUCCEEDED
        assert updated.outcome is not None
        new = updated.outcome.card
        account = await deployment.account()
        assert new is not None
        assert account.card == again.outcome.card if again.outcome else None
        assert new.brand == "mastercard"
        paid = [it for it in charges(deployment) if it["status"] == "succeeded"]
        assert len(paid) == len(before) + 1
        [customer] = deployment.engine.world.all("customer")
        [subscription] = deployment.subscriptions_of(ADA)
        assert old not in {
            customer["invoice_settings"]["default_payment_method"],
            subscription["default_payment_method"],
        }
        assert await status(deployment) is PaymentStatus.PAID
        assert (await only(deployment)).status is SubscriptionStatus.ACTIVE


@pytest.mark.parametrize("declined", ["pm_card_chargeDeclined", FAILING])
async def test_a_declined_card_leaves_the_old_one(declined: str) -> None:
    """
    Whether it cannot be attached, or does not pay what is owed.
    """
    async with Deployment.opened() as deployment:
        old = await owing(deployment)
        refused = await card(deployment, declined)
        await deployment.hear()

        assert refused.state is IntentState.REFUSED
        assert refused.outcome is not None
        assert refused.outcome.refusal is not None
        assert refused.outcome.refusal.code == "card_declined"
        account = await deployment.account()
        assert account.card is not None
        assert account.card.id == old
        [customer] = deployment.engine.world.all("customer")
        assert customer["invoice_settings"]["default_payment_method"] == old
        assert await status(deployment) is PaymentStatus.FAILED


async def test_a_card_that_was_made_the_default_is_shown_though_it_was_refused() -> (
    None
):
    """
    Its subscription ended before the card could be set there: the default is the new
    card all the same, and no event is needed to know it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD)

        def end(request: Any, _: Any) -> None:
            if request.method == "POST" and request.path.startswith("/v1/customers/"):
                [made] = deployment.subscriptions_of(ADA)
                deployment.engine.watch = lambda _, __: None
                deployment.api.delete(f"subscriptions/{made['id']}")

        deployment.engine.watch = end
        refused = await card(deployment, OTHER)
        await deployment.work()

        assert refused.state is IntentState.REFUSED
        [customer] = deployment.engine.world.all("customer")
        account = await deployment.account()
        assert account.card is not None
        assert account.card.id == customer["invoice_settings"]["default_payment_method"]
        assert account.card.brand == "mastercard"


async def test_a_new_card_takes_the_place_of_one_of_the_older_api() -> None:
    """
    A subscription may have a default source, which takes precedence over the customer's
    card.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD)
        [made] = deployment.subscriptions_of(ADA)
        old = deployment.api.get(f"payment_methods/{made['default_payment_method']}")
        deployment.engine.import_objects(
            [
                old | {"id": "card_1"},
                made | {"default_payment_method": None, "default_source": "card_1"},
            ]
        )
        await card(deployment, OTHER)

        [made] = deployment.subscriptions_of(ADA)
        [customer] = deployment.engine.world.all("customer")
        new = customer["invoice_settings"]["default_payment_method"]
        assert made["default_payment_method"] == new


@pytest.mark.parametrize("default", [None, OTHER])
async def test_the_card_of_an_order_is_shown(default: str | None) -> None:
    """
    At once, before any event of it: it pays the subscription, and is not the default.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        if default is not None:
            await card(deployment, default)
        await start(deployment, GOOD)
        at_once = (await deployment.account()).card
        await deployment.hear()
        heard = (await deployment.account()).card

        assert at_once is not None
        assert at_once.brand == "visa"
        assert heard == at_once


async def test_a_card_that_was_set_up_in_the_browser_is_put_in_place() -> None:
    """
    The event of the set-up is enough: no further request is needed.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        begun = await deployment.set_up_card(ADA, caller=CALLER, key=None)
        intent = begun.intent
        assert intent.outcome is not None
        secret = intent.outcome.client_secret or ""
        set_up = secret.partition("_secret")[0]
        deployment.api.post(f"setup_intents/{set_up}/confirm", payment_method=GOOD)
        await deployment.hear()

        account = await deployment.account()
        assert account.card is not None
        assert account.card.last4 == "4242"


async def test_a_reissued_card_is_shown_as_it_is_now() -> None:
    """
    The gateway renews cards by itself, and sends an event.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        known = (await deployment.account()).card
        assert known is not None
        deployment.engine.reissue_card(known.id)
        await deployment.hear()

        renewed = (await deployment.account()).card
        assert renewed is not None
        assert renewed.id == known.id
        assert renewed != known


async def test_what_a_customer_had_before_is_known_once_they_are_bound() -> None:
    """
    A card and a subscription that a person sold in the dashboard: fetched, with no
    event.
    """
    async with Deployment.opened() as deployment:
        customer = deployment.api.customer("pm_card_visa", email="ada@example.com")
        deployment.api.subscribe(customer["id"], deployment.basic)
        register = RegisterUser(deployment.record)
        bound = CustomerId(customer["id"])
        await register(ADA, Email.of("ada@example.com"), bound)
        await deployment.work()

        assert (await only(deployment)).status is SubscriptionStatus.ACTIVE
        account = await deployment.account()
        assert account.card is not None
        assert account.payment_status is PaymentStatus.PAID
