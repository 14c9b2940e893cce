"""Changes that are refused by what is known: the gateway is asked first."""

from datetime import timedelta

import pytest

from payments_core.errors import (
    AlreadySubscribed,
    InvalidValue,
    PeriodNotPaid,
    PreviewExpired,
    TrialNotAllowed,
)
from payments_core.use_cases import Change, Order
from support.deployment import ADA, Deployment, admin, caller_of

pytestmark = pytest.mark.anyio

MINE = caller_of(ADA)


@pytest.mark.parametrize("previewed", [True, False])
async def test_a_trial_is_not_made_a_larger_gift_unless_it_is_over(
    *, previewed: bool
) -> None:
    """
    In the change and in its preview; an end that was not reported is fetched.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await deployment.update_card(ADA, "pm_card_visa", caller=MINE, key=None)
        order = Order(price=deployment.basic, trial_days=7)
        await deployment.start(ADA, order, caller=admin(), key=None)
        (known,) = (await deployment.account()).subscriptions
        more = Change(quantity=2)
        for ask in (
            deployment.change(ADA, known.id, more, caller=MINE, key=None),
            deployment.preview(ADA, known.id, more, caller=MINE),
        ):
            with pytest.raises(TrialNotAllowed):
                await ask
        with pytest.raises(InvalidValue):
            await deployment.preview(ADA, known.id, Change(), caller=MINE)

        await deployment.advance(timedelta(days=9))

        if previewed:
            preview = await deployment.preview(ADA, known.id, more, caller=MINE)
            assert preview.due.amount_minor > 0
        await deployment.change(ADA, known.id, more, caller=MINE, key=None)
        (after,) = (await deployment.account()).subscriptions
        assert after.report.quantity == 2


async def test_what_is_not_paid_gives_nothing_back() -> None:
    """
    A renewal failed: fewer seats would be credit for seats that were not paid.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await deployment.update_card(ADA, "pm_card_visa", caller=MINE, key=None)
        order = Order(price=deployment.basic, quantity=10)
        await deployment.start(ADA, order, caller=admin(), key=None)
        await deployment.hear()
        account = await deployment.account()
        (known,) = account.subscriptions
        assert account.card is not None
        deployment.decline(account.card.id)
        await deployment.advance(timedelta(days=32))
        await deployment.hear()

        with pytest.raises(PeriodNotPaid):
            await deployment.change(
                ADA, known.id, Change(quantity=1), caller=MINE, key=None
            )


async def test_a_date_of_another_period_is_expired() -> None:
    """
    Of the period that was current as far as we knew.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await deployment.update_card(ADA, "pm_card_visa", caller=MINE, key=None)
        order = Order(price=deployment.basic)
        await deployment.start(ADA, order, caller=admin(), key=None)
        await deployment.hear()
        (known,) = (await deployment.account()).subscriptions
        await deployment.advance(timedelta(days=40))
        change = Change(quantity=2, proration_date=deployment.clock.now)
        with pytest.raises((PreviewExpired, PeriodNotPaid)):
            await deployment.preview(ADA, known.id, change, caller=MINE)


async def test_a_subscription_that_is_open_is_confirmed_before_a_refusal() -> None:
    """
    If the other one is open there, too, it stays refused; if it has ended, it is not.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await deployment.update_card(ADA, "pm_card_visa", caller=MINE, key=None)
        order = Order(price=deployment.basic)
        await deployment.start(ADA, order, caller=admin(), key=None)
        with pytest.raises(AlreadySubscribed):
            await deployment.start(ADA, order, caller=admin(), key=None)
        (known,) = (await deployment.account()).subscriptions
        deployment.api.delete(f"subscriptions/{known.gateway_id}")

        await deployment.start(ADA, order, caller=admin(), key=None)
        assert len((await deployment.account()).subscriptions) == 2
