"""Results of operations on subscriptions: 3-D Secure, changes of plan, ends."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from payments_core.entitlement import PaymentStatus
from payments_core.errors import AlreadySubscribed
from payments_core.intent import Intent, IntentState
from payments_core.subscription import SubscriptionStatus
from payments_core.use_cases import Change
from support.deployment import ADA, Deployment, admin
from support.operations import (
    CALLER,
    DAY,
    GOOD,
    OTHER,
    card,
    change,
    charges,
    only,
    start,
    status,
)

pytestmark = pytest.mark.anyio
ASKING = "pm_card_authenticationRequired"


# 3-D Secure: accepted, refused, abandoned


def _payment_of(deployment: Deployment) -> str:
    [intent] = deployment.engine.world.all("payment_intent")
    return str(intent["id"])


async def _asked(deployment: Deployment) -> Intent:
    await deployment.register()
    intent = await start(deployment, ASKING)
    assert intent.state is IntentState.SUCCEEDED
    assert intent.outcome is not None
    assert intent.outcome.requires_action
    assert intent.outcome.client_secret
    await deployment.hear()
    assert await status(deployment) is PaymentStatus.PENDING
    return intent


async def test_an_accepted_3d_secure_step_makes_the_subscription_active() -> None:
    """
    The payer confirms at the bank; the events report it.
    """
    async with Deployment.opened() as deployment:
        await _asked(deployment)
        deployment.engine.authenticate(_payment_of(deployment), succeed=True)
        await deployment.hear()

        assert (await only(deployment)).status is SubscriptionStatus.ACTIVE
        assert await status(deployment) is PaymentStatus.PAID
        assert (await deployment.account()).payment_expire_date is not None


async def test_a_refused_3d_secure_step_grants_nothing() -> None:
    """
    It waits for another attempt, and is not paid.
    """
    async with Deployment.opened() as deployment:
        await _asked(deployment)
        deployment.engine.authenticate(_payment_of(deployment), succeed=False)
        await deployment.hear()

        assert (await only(deployment)).status is SubscriptionStatus.INCOMPLETE
        assert await status(deployment) is PaymentStatus.PENDING
        assert (await deployment.account()).payment_expire_date is None


async def test_an_abandoned_3d_secure_step_expires_and_does_not_stand_in_the_way() -> (
    None
):
    """
    After 23 hours it can no longer succeed, and a new one can be begun.
    """
    async with Deployment.opened() as deployment:
        await _asked(deployment)
        with pytest.raises(AlreadySubscribed):
            await start(deployment, GOOD)
        await deployment.advance(timedelta(hours=24))
        await deployment.hear()

        assert (await only(deployment)).status is SubscriptionStatus.INCOMPLETE_EXPIRED
        assert (await deployment.account()).payment_expire_date is None
        begun = await start(deployment, GOOD)
        assert begun.state is IntentState.SUCCEEDED


# Changes of plan


async def _preview(deployment: Deployment, wanted: Change) -> Any:
    return await deployment.preview(
        ADA, (await only(deployment)).id, wanted, caller=admin()
    )


@settings(max_examples=60)
@given(
    passed_s=st.integers(0, 27 * 86_400),
    waited_s=st.integers(0, 600),
    quantity=st.integers(1, 40),
    to_pro=st.booleans(),
)
@example(passed_s=0, waited_s=0, quantity=2, to_pro=False)
@example(passed_s=13 * 86_400 + 7, waited_s=59, quantity=1, to_pro=True)
@example(passed_s=27 * 86_400, waited_s=600, quantity=40, to_pro=True)
async def test_a_preview_costs_to_the_cent_what_the_change_charges(
    passed_s: int,
    waited_s: int,
    quantity: int,
    to_pro: bool,  # noqa: FBT001  # drawn
) -> None:
    """
    At any second of the period, for any price and quantity, even if the payer waits ten
    minutes.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        await start(deployment)
        await deployment.advance(timedelta(seconds=passed_s))
        price = deployment.pro if to_pro else deployment.basic
        wanted: dict[str, Any] = {"price": price, "quantity": quantity}
        preview = await _preview(deployment, Change(**wanted))
        before = sum(it["amount"] for it in charges(deployment))
        await deployment.advance(timedelta(seconds=waited_s))
        await change(deployment, **wanted, proration_date=preview.proration_date)

        taken = sum(it["amount"] for it in charges(deployment)) - before
        assert taken == preview.due.amount_minor
        assert preview.due.currency == "eur"


async def test_an_upgrade_that_is_not_paid_is_not_granted_and_expires() -> None:
    """
    The old plan continues; after 23 hours the new one is abandoned.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        known = await card(deployment, GOOD)
        await start(deployment)
        assert known.outcome is not None
        assert known.outcome.card is not None
        until = (await deployment.account()).payment_expire_date
        await deployment.advance(5 * DAY)
        deployment.decline(known.outcome.card.id)
        held = await change(deployment, price=deployment.pro)
        await deployment.hear()

        assert held.outcome is not None
        assert held.outcome.requires_action
        report = (await only(deployment)).report
        assert report.price == deployment.basic
        assert report.pending is not None
        assert report.pending.price == deployment.pro
        assert await status(deployment) is PaymentStatus.PAID
        await deployment.advance(DAY)
        await deployment.hear()
        report = (await only(deployment)).report
        assert (report.price, report.pending) == (deployment.basic, None)
        assert (await deployment.account()).payment_expire_date == until


async def test_an_upgrade_is_granted_once_its_payment_is_confirmed() -> None:
    """
    The bank asks, the payer confirms, and only then does the price change.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD)
        await deployment.advance(5 * DAY)
        asking = deployment.api.post(
            f"payment_methods/{ASKING}/attach", customer=deployment.customers_of(ADA)[0]
        )
        gateway_id = (await only(deployment)).gateway_id
        deployment.api.post(
            f"subscriptions/{gateway_id}", default_payment_method=asking["id"]
        )
        held = await change(deployment, price=deployment.pro)
        assert held.outcome is not None
        assert held.outcome.client_secret
        assert (await only(deployment)).report.price == deployment.basic
        paying = held.outcome.client_secret.partition("_secret")[0]
        deployment.engine.authenticate(paying, succeed=True)
        await deployment.hear()

        report = (await only(deployment)).report
        assert (report.price, report.pending) == (deployment.pro, None)


async def test_a_cancellation_takes_no_time_that_was_paid_for() -> None:
    """
    At once or at the end of the period: the date stays.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD)
        until = (await deployment.account()).payment_expire_date
        subscription = await only(deployment)
        ended = await deployment.end(
            ADA, subscription.id, at_period_end=False, caller=CALLER, key=None
        )
        assert ended.executed is not None
        await deployment.hear()

        account = await deployment.account()
        assert (await only(deployment)).status is SubscriptionStatus.CANCELED
        assert account.payment_expire_date == until
        assert account.payment_status is PaymentStatus.PAID


async def test_a_trial_that_is_canceled_ends_there_and_then() -> None:
    """
    Nothing was paid for it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD, trial_days=14)
        began = deployment.clock.now
        account = await deployment.account()
        assert account.payment_expire_date == began + 14 * DAY
        await deployment.advance(3 * DAY)
        subscription = await only(deployment)
        ended = await deployment.end(
            ADA, subscription.id, at_period_end=False, caller=CALLER, key=None
        )
        assert ended.executed is not None
        await deployment.hear()

        assert (await deployment.account()).payment_expire_date == began + 3 * DAY


# The two events of the original brief


BRIEF = frozenset({"charge.succeeded", "charge.failed"})
HALF_PAST = timedelta(minutes=90)


async def test_the_two_events_of_the_brief_are_enough() -> None:
    """
    A renewal, one that fails, and the payment after it, with every other event lost.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        await start(deployment)
        known = (await deployment.account()).card
        assert known is not None
        await deployment.hear(BRIEF)
        ends = [(await only(deployment)).report.period_end]

        seen = []
        # Each invoice is charged an hour after its period began: no sync yet.
        for after, declines in ((31 * DAY + HALF_PAST, False), (28 * DAY, True)):
            if declines:
                deployment.decline(known.id)
            await deployment.advance(after)
            await deployment.hear(BRIEF)
            report = (await only(deployment)).report
            seen.append(report.status)
            ends.append(report.period_end)
        assert seen == [SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE]
        assert ends == sorted(set(ends))
        assert await status(deployment) is PaymentStatus.FAILED
        await card(deployment, OTHER)
        await deployment.hear(BRIEF)
        assert await status(deployment) is PaymentStatus.PAID
