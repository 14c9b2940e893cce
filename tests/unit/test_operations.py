"""What operations at the gateway come to: cards, 3-D Secure, changes of plan."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from payments_core.decide import subscription_job
from payments_core.errors import AlreadySubscribed, PaymentsError, SubscriptionNotFound
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Intent, IntentKind, IntentState, Wanted
from payments_core.job import Job, JobKind
from payments_core.standing import PaymentStatus
from payments_core.subscription import Subscription, SubscriptionStatus
from payments_core.use_cases import (
    Change,
    OperationRequest,
    Order,
    RegisterUser,
)
from support.till import ADA, Till, admin, caller_of

pytestmark = pytest.mark.anyio

CALLER = caller_of(ADA)
BOB = UserId("bob")
GOOD = "pm_card_visa"
OTHER = "pm_card_mastercard"
FAILING = "pm_card_chargeCustomerFail"
ASKING = "pm_card_authenticationRequired"
DAY = timedelta(days=1)


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


async def owing(till: Till) -> str:
    """Subscribe with a card that fails from then on; return it, a month later."""
    await till.register()
    first = await card(till, GOOD)
    assert first.outcome is not None
    assert first.outcome.card is not None
    await start(till)
    till.decline(first.outcome.card.id)
    await till.advance(32 * DAY)
    await till.hear()
    assert (await only(till)).status is SubscriptionStatus.PAST_DUE
    return first.outcome.card.id


# Cards


async def test_a_new_card_pays_what_is_owed_once_and_takes_every_place() -> None:
    """
    It is the customer's default and every pin's, and the invoice is paid once.
    """
    async with Till.opened() as till:
        old = await owing(till)
        before = [it for it in charges(till) if it["status"] == "succeeded"]
        updated = await card(till, OTHER)
        again = await card(till, OTHER)
        await till.hear()

        assert updated.state is again.state is IntentState.SUCCEEDED
        assert updated.outcome is not None
        new = updated.outcome.card
        account = await till.account()
        assert new is not None
        assert account.card == again.outcome.card if again.outcome else None
        assert new.brand == "mastercard"
        paid = [it for it in charges(till) if it["status"] == "succeeded"]
        assert len(paid) == len(before) + 1
        [customer] = till.engine.world.all("customer")
        [subscription] = till.subscriptions_of(ADA)
        assert old not in {
            customer["invoice_settings"]["default_payment_method"],
            subscription["default_payment_method"],
        }
        assert await status(till) is PaymentStatus.PAID
        assert (await only(till)).status is SubscriptionStatus.ACTIVE


@pytest.mark.parametrize("declined", ["pm_card_chargeDeclined", FAILING])
async def test_a_declined_card_leaves_the_old_one(declined: str) -> None:
    """
    Whether it cannot be attached, or does not pay what is owed.
    """
    async with Till.opened() as till:
        old = await owing(till)
        refused = await card(till, declined)
        await till.hear()

        assert refused.state is IntentState.DECLINED
        assert refused.outcome is not None
        assert refused.outcome.refusal is not None
        assert refused.outcome.refusal.code == "card_declined"
        account = await till.account()
        assert account.card is not None
        assert account.card.id == old
        [customer] = till.engine.world.all("customer")
        assert customer["invoice_settings"]["default_payment_method"] == old
        assert await status(till) is PaymentStatus.FAILED


async def test_a_card_that_was_set_up_in_the_browser_is_put_in_place() -> None:
    """
    The event of the set-up is enough: nobody has to call again.
    """
    async with Till.opened() as till:
        await till.register()
        begun = await till.set_up_card(ADA, caller=CALLER, key=None)
        intent = begun.intent
        assert intent.outcome is not None
        secret = intent.outcome.client_secret or ""
        set_up = secret.partition("_secret")[0]
        till.api.post(f"setup_intents/{set_up}/confirm", payment_method=GOOD)
        await till.hear()

        account = await till.account()
        assert account.card is not None
        assert account.card.last4 == "4242"


async def test_a_reissued_card_is_shown_as_it_is_now() -> None:
    """
    The gateway renews cards by itself, and tells.
    """
    async with Till.opened() as till:
        await till.register()
        await card(till, GOOD)
        known = (await till.account()).card
        assert known is not None
        till.engine.reissue_card(known.id)
        await till.hear()

        renewed = (await till.account()).card
        assert renewed is not None
        assert renewed.id == known.id
        assert renewed != known


async def test_what_a_customer_had_before_is_known_once_they_are_bound() -> None:
    """
    A card and a subscription that somebody sold by hand: looked up, with no event.
    """
    async with Till.opened() as till:
        customer = till.api.customer("pm_card_visa", email="ada@example.com")
        till.api.subscribe(customer["id"], till.basic)
        register = RegisterUser(till.record)
        bound = CustomerId(customer["id"])
        await register(ADA, Email.of("ada@example.com"), bound)
        await till.work()

        assert (await only(till)).status is SubscriptionStatus.ACTIVE
        account = await till.account()
        assert account.card is not None
        assert account.payment_status is PaymentStatus.PAID


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


# Written down first


async def test_p23_what_can_never_be_done_does_not_stay_open() -> None:
    """
    What it is about is not there any more: no repetition brings it again.
    """
    async with Till.opened() as till:
        await till.register()
        executed = await till.execute(
            OperationRequest(
                user_id=ADA,
                kind=IntentKind.CHANGE_SUBSCRIPTION,
                wanted=Wanted(price=till.pro),
                subject="sub_gone",
            )
        )
        ended = executed.intent
        assert ended.state is IntentState.DECLINED
        assert ended.outcome is not None
        assert ended.outcome.refusal is not None
        assert ended.outcome.refusal.code == SubscriptionNotFound.code
        assert not till.open_intents


async def test_p23_what_was_given_to_another_user_meanwhile_ends_all_the_same() -> None:
    """
    Whose it is, a look settles; the change was made.
    """
    async with Till.opened() as till:
        await till.register()
        await till.register(BOB)
        await start(till, GOOD)

        def give_away(request: Any, _: Any) -> None:
            kept = till.database.tables.subscriptions
            for id_, it in kept.items() if request.method == "POST" else ():
                kept[id_] = attrs.evolve(it, user_id=BOB)

        till.engine.watch = give_away
        changed = await change(till, price=till.pro)
        assert changed.state is IntentState.SUCCEEDED
        [kept] = till.database.tables.subscriptions.values()
        assert kept.user_id == BOB
        assert [it.key.kind for it in till.database.tables.jobs.values()] == [
            JobKind.SUBSCRIPTION
        ]
        await till.work()
        assert not till.open_intents


async def test_p33_a_look_that_was_overtaken_finds_nothing_and_goes() -> None:
    """
    Another worker did the job meanwhile: what this one heard is of no matter.
    """
    async with Till.opened() as till:
        key, now = subscription_job("sub_gone"), till.clock.now
        till.database.tables.jobs[key] = Job.due(key, "seen", now)
        asked: list[str] = []

        def finish(request: Any, _: Any) -> None:
            asked.append(request.path)
            till.database.tables.jobs.clear()

        till.engine.watch = finish
        assert await till.work_once() == 1
        assert asked
        assert not till.database.tables.jobs


async def test_p24_every_change_was_committed_before_it_left() -> None:
    """
    With its key, byte for byte.
    """
    async with Till.opened() as till:
        await till.register()
        known: list[bool] = []

        def watch(request: Any, _: Any) -> None:
            key = request.headers.get("idempotency-key", "")
            if request.method != "GET" and key:
                known.append(till.is_committed(key, request))

        till.engine.watch = watch
        await start(till, GOOD)
        await change(till, price=till.pro)
        await till.advance(5 * DAY)
        await card(till, OTHER)

        assert known
        assert all(known)


@pytest.mark.parametrize("wanted", [{"product": "prod_nope"}, {"price": "price_nope"}])
async def test_what_is_not_sold_is_refused_before_an_intent(wanted: Any) -> None:
    """
    The field is named, and nothing is written down.
    """
    async with Till.opened() as till:
        await till.register()
        with pytest.raises(PaymentsError) as caught:
            await till.start(ADA, Order(**wanted), caller=admin(), key=None)
        assert getattr(caught.value, "field", None) == next(iter(wanted))
        assert till.intents == []


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
