"""What the catalogue lets a caller choose: its prices, and a trial once."""

import asyncio
from typing import Any

import attrs
import pytest

from contracts.examples import (
    NOON,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_intent,
    in_trial,
)
from payments_core.catalogue import Catalogue, CatalogueProduct
from payments_core.entitlement import PaymentSummary
from payments_core.errors import PriceNotAllowed, TrialNotAllowed
from payments_core.intent import IntentKind, IntentState, OperationParams
from payments_core.operations.start import offered_to
from payments_core.payment import PaymentState
from payments_core.policy import Policy
from payments_core.subscription import Subscription, SubscriptionStatus
from payments_core.use_cases import Change, Order
from support.deployment import ADA, Deployment, admin
from support.operations import (
    BASIC,
    CALLER,
    DAY,
    GOOD,
    PRO,
    card,
    ordered,
    subscribed,
    taken,
)

pytestmark = pytest.mark.anyio

S = SubscriptionStatus


def sell(deployment: Deployment, *products: CatalogueProduct) -> None:
    deployment.policy = Policy(catalogue=Catalogue.of(products))


def another_product(deployment: Deployment) -> str:
    price = deployment.api.price(500)
    deployment.api.post(f"products/{price['product']}", default_price=price["id"])
    return str(price["product"])


async def trials(deployment: Deployment) -> list[bool]:
    """Return for each of her subscriptions, the first first, whether it had a trial."""
    found = (await deployment.account()).subscriptions
    return [it.report.trial_end is not None for it in found]


# Prices


async def test_a_caller_chooses_among_the_prices_of_the_catalogue() -> None:
    """
    For the order, the preview and the change: each costs what its price says.
    """
    async with Deployment.opened() as deployment:
        prices = (deployment.basic, deployment.pro)
        sell(deployment, CatalogueProduct(product=deployment.product, prices=prices))
        await deployment.register()
        begun = await ordered(deployment, product=None, price=deployment.pro)
        [one] = (await deployment.account()).subscriptions
        change = Change(price=deployment.basic)
        told = await deployment.preview(ADA, one.id, change, caller=CALLER)
        done = await deployment.change(ADA, one.id, change, caller=CALLER, key=None)

        assert begun.state is done.intent.state is IntentState.SUCCEEDED
        assert (one.report.price, taken(deployment)) == (deployment.pro, PRO)
        assert [it.amount_minor for it in told.lines] == [-PRO, BASIC]
        [one] = (await deployment.account()).subscriptions
        assert one.report.price == deployment.basic


@pytest.mark.parametrize("why", ["not listed", "of another product"])
async def test_another_price_is_refused_whatever_it_is_for(why: str) -> None:
    """
    A price that is not listed, or that Stripe has for another product than it is listed
    under; an administrator may name both.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        listed = CatalogueProduct(product="prod_x", prices=(deployment.pro,))
        if why == "not listed":
            listed = CatalogueProduct(
                product=deployment.product, prices=(deployment.basic,)
            )
        sell(deployment, listed)
        change, order = Change(price=deployment.pro), Order(price=deployment.pro)

        for refused in (
            deployment.start(ADA, order, caller=CALLER, key=None),
            deployment.change(ADA, one.id, change, caller=CALLER, key=None),
            deployment.preview(ADA, one.id, change, caller=CALLER),
        ):
            with pytest.raises(PriceNotAllowed, match="the catalogue lists") as caught:
                await refused
            assert caught.value.field == "price"
        told = await deployment.preview(ADA, one.id, change, caller=admin())
        assert told.due.amount_minor > 0


async def test_a_product_may_be_named_all_the_same() -> None:
    """
    At its default price, also if the catalogue does not list it.
    """
    async with Deployment.opened() as deployment:
        sell(deployment, CatalogueProduct(product="prod_x"))
        await deployment.register()

        assert (await ordered(deployment)).state is IntentState.SUCCEEDED


# Trials


async def test_a_trial_that_the_catalogue_offers_is_given_once() -> None:
    """
    The offered trial, with the first subscription; no later subscription of any product
    has one.
    """
    async with Deployment.opened() as deployment:
        other = another_product(deployment)
        sell(
            deployment,
            CatalogueProduct(product=deployment.product, trial_days=14),
            CatalogueProduct(product=other, trial_days=7),
        )
        await deployment.register()
        await ordered(deployment)
        [first] = (await deployment.account()).subscriptions
        assert first.status is S.TRIALING
        assert first.free_until == first.began_at + 14 * DAY
        assert taken(deployment) == 0
        await ordered(deployment, product=other)
        await deployment.end(
            ADA, first.id, at_period_end=False, caller=CALLER, key=None
        )
        await deployment.advance(DAY)
        await ordered(deployment)

        assert await trials(deployment) == [True, False, False]


async def test_of_two_that_begin_at_once_one_has_the_trial() -> None:
    """
    Of two products: both are begun, whichever is first.
    """
    async with Deployment.opened() as deployment:
        other = another_product(deployment)
        products = (deployment.product, other)
        sell(
            deployment,
            *(CatalogueProduct(product=it, trial_days=14) for it in products),
        )
        await deployment.register()
        # Without a customer one would wait for the other.
        await card(deployment, GOOD)
        begun = await asyncio.gather(
            *(ordered(deployment, product=it) for it in products)
        )

        assert {it.kind for it in begun} == {IntentKind.START_SUBSCRIPTION}
        assert sorted(await trials(deployment)) == [False, True]


async def test_the_same_request_again_has_the_same_trial() -> None:
    """
    It is one operation: its first answer is returned again.
    """
    async with Deployment.opened() as deployment:
        sell(deployment, CatalogueProduct(product=deployment.product, trial_days=14))
        await deployment.register()
        order = Order(product=deployment.product)
        first, again = [
            await deployment.start(ADA, order, caller=CALLER, key="one")
            for _ in range(2)
        ]

        assert (again.replayed, again.intent.id) == (True, first.intent.id)
        assert await trials(deployment) == [True]


async def test_an_administrator_says_whether_there_is_a_trial() -> None:
    """
    The offer is for callers who may not choose; those may name no days at all.
    """
    async with Deployment.opened() as deployment:
        sell(deployment, CatalogueProduct(product=deployment.product, trial_days=14))
        await deployment.register()
        for days in (14, 15):
            with pytest.raises(TrialNotAllowed):
                await ordered(deployment, trial_days=days)
        await ordered(deployment, admin())

        assert await trials(deployment) == [False]


@pytest.mark.parametrize(
    ("subscription", "offered"),
    [
        (a_subscription(a_report(status=S.INCOMPLETE)), True),
        (a_subscription(a_report(status=S.INCOMPLETE_EXPIRED)), True),
        (a_subscription(a_report(status=S.CANCELED, ended_at=NOON)), True),
        (a_subscription(a_report(status=S.CANCELED), term=a_term()), False),
        (in_trial(S.CANCELED, ended_at=NOON + DAY), False),
        *(
            (a_subscription(a_report(status=it)), False)
            for it in (S.TRIALING, S.ACTIVE, S.PAST_DUE, S.UNPAID, S.PAUSED)
        ),
    ],
    ids=lambda it: it.status.value if isinstance(it, Subscription) else "",
)
def test_a_trial_is_for_who_has_no_subscription_behind_them(
    subscription: Subscription, *, offered: bool
) -> None:
    """
    A subscription whose first payment was never made does not count. A refunded one
    does.
    """
    account = an_account(ADA).with_subscription(subscription)
    assert offered_to(account, ()) is offered
    back = PaymentSummary.replay([a_payment("ch_1", PaymentState.REFUNDED, at=NOON)])
    ended = subscription.status is S.CANCELED
    assert offered_to(account.with_summary(back), ()) is (offered and not ended)


def test_months_that_were_prepaid_take_no_trial() -> None:
    """
    They are not a subscription.
    """
    summary = PaymentSummary.replay([a_payment(at=NOON)])
    assert offered_to(an_account(ADA).with_summary(summary), ())


@pytest.mark.parametrize(
    ("change", "offered"),
    [
        ({}, False),
        ({"state": IntentState.REFUSED}, True),
        ({"wanted": OperationParams(product="prod_1")}, False),
        ({"kind": IntentKind.CHANGE_SUBSCRIPTION}, True),
    ],
    ids=["open", "refused", "without one", "of another kind"],
)
def test_a_trial_that_is_being_begun_is_given(
    change: dict[str, Any], *, offered: bool
) -> None:
    """
    While it is open, because it may not be known yet whether it was made.
    """
    intent = attrs.evolve(
        an_intent(),
        kind=IntentKind.START_SUBSCRIPTION,
        state=IntentState.UNKNOWN,
        wanted=OperationParams(product="prod_1", trial_days=14),
    )
    assert offered_to(an_account(ADA), [attrs.evolve(intent, **change)]) is offered
