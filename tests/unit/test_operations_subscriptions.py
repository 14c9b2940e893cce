"""What operations on subscriptions come to: 3-D Secure, changes of plan, ends."""

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
from support.till import ADA, Till, admin

pytestmark = pytest.mark.anyio
ASKING = "pm_card_authenticationRequired"


# 3-D Secure: accepted, refused, abandoned


def _payment_of(till: Till) -> str:
    [intent] = till.engine.world.all("payment_intent")
    return str(intent["id"])


async def _asked(till: Till) -> Intent:
    await till.register()
    intent = await start(till, ASKING)
    assert intent.state is IntentState.SUCCEEDED
    assert intent.outcome is not None
    assert intent.outcome.requires_action
    assert intent.outcome.client_secret
    await till.hear()
    assert await status(till) is PaymentStatus.PENDING
    return intent


async def test_an_accepted_3d_secure_step_makes_the_subscription_active() -> None:
    """
    The payer confirms at the bank; the events tell.
    """
    async with Till.opened() as till:
        await _asked(till)
        till.engine.authenticate(_payment_of(till), succeed=True)
        await till.hear()

        assert (await only(till)).status is SubscriptionStatus.ACTIVE
        assert await status(till) is PaymentStatus.PAID
        assert (await till.account()).payment_expire_date is not None


async def test_a_refused_3d_secure_step_grants_nothing() -> None:
    """
    It waits for another attempt, and is not paid.
    """
    async with Till.opened() as till:
        await _asked(till)
        till.engine.authenticate(_payment_of(till), succeed=False)
        await till.hear()

        assert (await only(till)).status is SubscriptionStatus.INCOMPLETE
        assert await status(till) is PaymentStatus.PENDING
        assert (await till.account()).payment_expire_date is None


async def test_an_abandoned_3d_secure_step_expires_and_does_not_stand_in_the_way() -> (
    None
):
    """
    After 23 hours nothing can come of it, and a new one can be begun.
    """
    async with Till.opened() as till:
        await _asked(till)
        with pytest.raises(AlreadySubscribed):
            await start(till, GOOD)
        await till.advance(timedelta(hours=24))
        await till.hear()

        assert (await only(till)).status is SubscriptionStatus.INCOMPLETE_EXPIRED
        assert (await till.account()).payment_expire_date is None
        begun = await start(till, GOOD)
        assert begun.state is IntentState.SUCCEEDED


# Changes of plan


async def _preview(till: Till, wanted: Change) -> Any:
    return await till.preview(ADA, (await only(till)).id, wanted, caller=admin())


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
    At any second of the period, for any price and quantity, even if the payer thinks
    about it for ten minutes.
    """
    async with Till.opened() as till:
        await till.register()
        await card(till, GOOD)
        await start(till)
        await till.advance(timedelta(seconds=passed_s))
        price = till.pro if to_pro else till.basic
        wanted: dict[str, Any] = {"price": price, "quantity": quantity}
        preview = await _preview(till, Change(**wanted))
        before = sum(it["amount"] for it in charges(till))
        await till.advance(timedelta(seconds=waited_s))
        await change(till, **wanted, proration_date=preview.proration_date)

        taken = sum(it["amount"] for it in charges(till)) - before
        assert taken == preview.due.amount_minor
        assert preview.due.currency == "eur"


async def test_an_upgrade_that_is_not_paid_is_not_granted_and_expires() -> None:
    """
    The old plan goes on; after 23 hours nobody waits for the new one any more.
    """
    async with Till.opened() as till:
        await till.register()
        known = await card(till, GOOD)
        await start(till)
        assert known.outcome is not None
        assert known.outcome.card is not None
        until = (await till.account()).payment_expire_date
        await till.advance(5 * DAY)
        till.decline(known.outcome.card.id)
        held = await change(till, price=till.pro)
        await till.hear()

        assert held.outcome is not None
        assert held.outcome.requires_action
        report = (await only(till)).report
        assert report.price == till.basic
        assert report.pending is not None
        assert report.pending.price == till.pro
        assert await status(till) is PaymentStatus.PAID
        await till.advance(DAY)
        await till.hear()
        report = (await only(till)).report
        assert (report.price, report.pending) == (till.basic, None)
        assert (await till.account()).payment_expire_date == until


async def test_an_upgrade_is_granted_once_its_payment_is_confirmed() -> None:
    """
    The bank asks, the payer confirms, and only then is the price another.
    """
    async with Till.opened() as till:
        await till.register()
        await start(till, GOOD)
        await till.advance(5 * DAY)
        asking = till.api.post(
            f"payment_methods/{ASKING}/attach", customer=till.customers_of(ADA)[0]
        )
        gateway_id = (await only(till)).gateway_id
        till.api.post(
            f"subscriptions/{gateway_id}", default_payment_method=asking["id"]
        )
        held = await change(till, price=till.pro)
        assert held.outcome is not None
        assert held.outcome.client_secret
        assert (await only(till)).report.price == till.basic
        paying = held.outcome.client_secret.partition("_secret")[0]
        till.engine.authenticate(paying, succeed=True)
        await till.hear()

        report = (await only(till)).report
        assert (report.price, report.pending) == (till.pro, None)


async def test_a_cancellation_takes_no_time_that_was_paid_for() -> None:
    """
    Now or with the period: the date stays.
    """
    async with Till.opened() as till:
        await till.register()
        await start(till, GOOD)
        until = (await till.account()).payment_expire_date
        subscription = await only(till)
        ended = await till.end(
            ADA, subscription.id, at_period_end=False, caller=CALLER, key=None
        )
        assert ended.executed is not None
        await till.hear()

        account = await till.account()
        assert (await only(till)).status is SubscriptionStatus.CANCELED
        assert account.payment_expire_date == until
        assert account.payment_status is PaymentStatus.PAID


async def test_a_trial_that_is_canceled_ends_there_and_then() -> None:
    """
    Nothing was paid for it.
    """
    async with Till.opened() as till:
        await till.register()
        await start(till, GOOD, trial_days=14)
        began = till.clock.now
        account = await till.account()
        assert account.payment_expire_date == began + 14 * DAY
        await till.advance(3 * DAY)
        subscription = await only(till)
        ended = await till.end(
            ADA, subscription.id, at_period_end=False, caller=CALLER, key=None
        )
        assert ended.executed is not None
        await till.hear()

        assert (await till.account()).payment_expire_date == began + 3 * DAY


# The brief's two events


BRIEF = frozenset({"charge.succeeded", "charge.failed"})
HALF_PAST = timedelta(minutes=90)


async def test_the_two_events_of_the_brief_are_enough() -> None:
    """
    A renewal, one that fails, and the payment after it, with all else lost.
    """
    async with Till.opened() as till:
        await till.register()
        await card(till, GOOD)
        await start(till)
        known = (await till.account()).card
        assert known is not None
        await till.hear(BRIEF)
        ends = [(await only(till)).report.period_end]

        seen = []
        # Each invoice is collected an hour after its period began: nobody looks yet.
        for after, declines in ((31 * DAY + HALF_PAST, False), (28 * DAY, True)):
            if declines:
                till.decline(known.id)
            await till.advance(after)
            await till.hear(BRIEF)
            report = (await only(till)).report
            seen.append(report.status)
            ends.append(report.period_end)
        assert seen == [SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE]
        assert ends == sorted(set(ends))
        assert await status(till) is PaymentStatus.FAILED
        await card(till, OTHER)
        await till.hear(BRIEF)
        assert await status(till) is PaymentStatus.PAID
