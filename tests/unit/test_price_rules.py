"""What a caller may decide about the cost of a subscription, and what not."""

from contextlib import nullcontext
from typing import Any

import attrs
import pytest

from contracts.examples import MONTH, a_subscription, a_term, in_trial
from payments_core.errors import (
    AlreadySubscribed,
    PeriodNotPaid,
    PriceNotAllowed,
    TrialNotAllowed,
)
from payments_core.gateway import Price
from payments_core.intent import IntentState
from payments_core.subscription import Subscription, SubscriptionStatus
from payments_core.use_cases import Change, Order
from payments_core.use_cases.price_rules import PREVIEW_TTL, require_paid_for
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
    Whatever the price, a user's order, change and preview of it are refused alike:
    nothing is saved, and no request is sent to the gateway.
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
    The preview says what it costs, and the change charges that.
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
    The present product may be named: an administrator's price is then dropped.
    """
    async with Deployment.opened() as deployment:
        one = await subscribed(deployment)
        await changed(deployment, one.id, caller=admin(), price=deployment.pro)
        await changed(deployment, one.id, product=deployment.product)

        assert (await only(deployment)).report.price == deployment.basic


async def test_a_product_that_the_user_has_is_refused_in_the_preview_too() -> None:
    """
    There is no preview of a change that would be refused.
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
    Its default price must be active and recurring, and the product on sale.
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
    A user's order of a trial is refused, every time; not even a customer is made.
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


# Rules 2 and 6: nothing for nothing

S = SubscriptionStatus
PRESENT, ANOTHER = (
    Price(
        id=id_,
        product="prod_1",
        currency="eur",
        amount_minor=900,
        active=True,
        recurring=True,
    )
    for id_ in ("price_1", "price_2")
)


def pointed_at(error: Exception) -> object:
    return getattr(error, "field", None)


def seats(
    count: int, subscription: Subscription, status: S | None = None
) -> Subscription:
    report = attrs.evolve(
        subscription.report,
        quantity=count,
        status=status or subscription.report.status,
    )
    return attrs.evolve(subscription, report=report)


PAID = seats(3, a_subscription(term=a_term()))
UNPAID = seats(3, a_subscription())
# The gateway has moved the period forward; the paid one is the one before.
RENEWED = attrs.evolve(
    PAID,
    report=attrs.evolve(
        PAID.report,
        period_start=PAID.report.period_end,
        period_end=PAID.report.period_end + MONTH,
    ),
)
TRIAL = seats(3, in_trial())
# Its first payment is still to come.
AFTER_TRIAL = seats(
    3,
    attrs.evolve(
        TRIAL,
        report=attrs.evolve(
            TRIAL.report,
            period_start=TRIAL.report.period_end,
            period_end=TRIAL.report.period_end + MONTH,
        ),
    ),
    S.ACTIVE,
)


@pytest.mark.parametrize(
    ("subscription", "price", "quantity", "refused"),
    [
        (PAID, ANOTHER, None, None),
        (PAID, None, 1, None),
        (PAID, ANOTHER, 100, None),
        (seats(3, PAID, S.PAST_DUE), None, 1, None),
        (TRIAL, None, 3, None),
        (TRIAL, PRESENT, 1, None),
        (TRIAL, None, 4, (TrialNotAllowed, "quantity")),
        (TRIAL, PRESENT, 4, (TrialNotAllowed, "quantity")),
        (TRIAL, ANOTHER, 1, (TrialNotAllowed, "product")),
        (TRIAL, ANOTHER, 4, (TrialNotAllowed, "product")),
        *(
            case
            for unpaid in (UNPAID, RENEWED, AFTER_TRIAL)
            for case in (
                (unpaid, None, 4, None),
                (unpaid, None, 3, (PeriodNotPaid, "quantity")),
                (unpaid, None, 2, (PeriodNotPaid, "quantity")),
                (unpaid, ANOTHER, None, (PeriodNotPaid, "product")),
                (unpaid, PRESENT, 4, (PeriodNotPaid, "product")),
            )
        ),
        *(
            (seats(3, RENEWED, owing), price, 4, (PeriodNotPaid, field))
            for owing in (S.PAST_DUE, S.UNPAID, S.INCOMPLETE, S.PAUSED)
            for price, field in ((None, "quantity"), (ANOTHER, "product"))
        ),
    ],
)
def test_a_change_is_of_what_is_paid_for(
    subscription: Subscription,
    price: Price | None,
    quantity: int | None,
    refused: tuple[type[TrialNotAllowed] | type[PeriodNotPaid], str] | None,
) -> None:
    """
    A trial keeps its purpose; an unpaid period is not credited.
    """
    if refused is None:
        require_paid_for(
            subscription, price=price, quantity=quantity, is_disputed=False
        )
        return
    error, field = refused
    with pytest.raises(error) as caught:
        require_paid_for(
            subscription, price=price, quantity=quantity, is_disputed=False
        )
    assert pointed_at(caught.value) == field


@pytest.mark.parametrize(
    ("price", "quantity", "refused"),
    [(None, 4, False), (None, 2, True), (ANOTHER, None, True), (ANOTHER, 4, True)],
)
def test_a_payment_that_is_disputed_gives_nothing_back(
    price: Price | None, quantity: int | None, *, refused: bool
) -> None:
    """
    The bank has the money, and may keep it: the period counts as unpaid.
    """
    with pytest.raises(PeriodNotPaid) if refused else nullcontext():
        require_paid_for(PAID, price=price, quantity=quantity, is_disputed=True)
