"""The real SDK against the sandbox: how subscriptions begin, change and end.

Each test is a story of its own; the last one runs all of them against one sandbox.
"""

from typing import Any, Final

import pytest
import stripe

from support.sdk_client import (
    ASKING,
    FAILING,
    GOOD,
    HOUR,
    SDK_MARKS,
    SdkClient,
    Story,
    addresses,
    answers_to,
    intent_of,
    period_of,
    whole,
)

pytestmark = SDK_MARKS


async def test_a_good_card_makes_an_active_subscription(sdk: SdkClient) -> None:
    """
    The first period is paid at once, and all its objects are linked: subscription,
    invoice, its payment, the intent and the charge.
    """
    customer, price = await sdk.customer(), await sdk.price()

    made = await sdk.subscribe(customer, price, metadata={"user_id": "ada"})

    assert made.status == "active"
    invoice = whole(made.latest_invoice)
    assert (invoice.status, invoice.amount_paid) == ("paid", 900)
    details = whole(whole(invoice.parent).subscription_details)
    assert details.subscription == made.id
    charge = whole(
        (
            await sdk.v1.payment_intents.retrieve_async(
                intent_of(made), {"expand": ["latest_charge"]}
            )
        ).latest_charge
    )
    assert (charge.amount, charge.paid, charge.customer) == (900, True, customer.id)
    item = made["items"].data[0]
    items = await sdk.v1.subscription_items.list_async({"subscription": made.id})
    assert [it.id for it in items.data] == [item.id]
    found = await sdk.v1.subscription_items.retrieve_async(item.id)
    assert (found.price.id, found.quantity) == (price.id, 1)


async def test_a_failing_card_leaves_what_the_payment_behavior_says(
    sdk: SdkClient,
) -> None:
    """
    allow_incomplete: an incomplete subscription. error_if_incomplete: an error without
    effect. pending_if_incomplete: for updates only.
    """
    customer, price = await sdk.customer(FAILING), await sdk.price()

    with pytest.raises(stripe.CardError) as declined:
        await sdk.subscribe(customer, price, payment_behavior="error_if_incomplete")
    assert declined.value.code == "card_declined"
    assert declined.value.http_status == 402
    with pytest.raises(stripe.InvalidRequestError) as unfit:
        await sdk.subscribe(customer, price, payment_behavior="pending_if_incomplete")
    assert unfit.value.param == "payment_behavior"
    every: Any = {"customer": customer.id, "status": "all"}
    assert not (await sdk.v1.subscriptions.list_async(every)).data
    assert not (await sdk.v1.invoices.list_async({"customer": customer.id})).data

    made = await sdk.subscribe(customer, price, payment_behavior="allow_incomplete")
    assert made.status == "incomplete"
    invoice = whole(made.latest_invoice)
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    intent = await sdk.v1.payment_intents.retrieve_async(intent_of(made))
    assert intent.status == "requires_payment_method"
    assert whole(intent.last_payment_error).decline_code == "generic_decline"


async def test_default_incomplete_waits_for_the_client_to_pay(sdk: SdkClient) -> None:
    """
    Nothing is charged until the client confirms with the invoice's own secret; then the
    card is saved, as `save_default_payment_method` says.
    """
    customer, price = await sdk.customer(None), await sdk.price()

    made = await sdk.subscribe(
        customer,
        price,
        payment_behavior="default_incomplete",
        payment_settings={"save_default_payment_method": "on_subscription"},
    )

    assert made.status == "incomplete"
    secret = whole(whole(made.latest_invoice).confirmation_secret).client_secret
    assert secret.startswith(intent_of(made))
    assert not await sdk.charges_of(customer)
    confirmed = await sdk.v1.payment_intents.confirm_async(
        intent_of(made), {"payment_method": GOOD}
    )
    assert confirmed.status == "succeeded"
    active = await sdk.v1.subscriptions.retrieve_async(
        made.id, {"expand": ["default_payment_method"]}
    )
    assert active.status == "active"
    assert whole(active.default_payment_method).customer == customer.id
    assert sdk.happened(made.id)[:2] == [
        "customer.subscription.created",
        "customer.subscription.updated",
    ]


async def test_the_banks_step_decides_a_first_payment(sdk: SdkClient) -> None:
    """
    Accepted, a subscription becomes active and the card stays the customer's; refused,
    it waits for another card; after 23 hours it has expired for good.
    """
    price = await sdk.price()
    customer = await sdk.customer(None)
    subscriptions = [
        await sdk.subscribe(customer, price, payment_behavior="default_incomplete")
        for _ in range(3)
    ]
    accepted, refused, left = subscriptions
    for it in (accepted, refused):
        asked = await sdk.v1.payment_intents.confirm_async(
            intent_of(it), {"payment_method": ASKING}
        )
        assert asked.status == "requires_action"

    sdk.sandbox.authenticate(intent_of(accepted))
    sdk.sandbox.authenticate(intent_of(refused), succeed=False)

    assert [await sdk.status_of(it) for it in subscriptions] == [
        "active",
        "incomplete",
        "incomplete",
    ]
    paid, failed = [
        await sdk.v1.payment_intents.retrieve_async(
            intent_of(it), {"expand": ["payment_method"]}
        )
        for it in (accepted, refused)
    ]
    assert whole(paid.payment_method).customer == customer.id
    error = whole(failed.last_payment_error)
    assert error.code == "payment_intent_authentication_failure"
    await sdk.v1.payment_intents.confirm_async(
        intent_of(refused), {"payment_method": GOOD}
    )
    sdk.sandbox.advance("23 hours")
    assert [await sdk.status_of(it) for it in subscriptions] == [
        "active",
        "active",
        "incomplete_expired",
    ]
    invoice = await sdk.v1.invoices.retrieve_async(whole(left.latest_invoice).id)
    assert invoice.status == "void"
    with pytest.raises(stripe.InvalidRequestError):
        await sdk.v1.payment_intents.confirm_async(
            intent_of(left), {"payment_method": GOOD}
        )


async def test_a_trial_is_free_and_then_paid(sdk: SdkClient) -> None:
    """
    A trial's invoice is of zero and creates no charge; its end is announced three days
    before, and then the first month is collected.
    """
    customer, price = await sdk.customer(), await sdk.price()

    trial = await sdk.subscribe(customer, price, trial_period_days=14)

    assert trial.status == "trialing"
    assert trial.trial_end == period_of(trial)[1] == sdk.now + 14 * 24 * HOUR
    invoice = whole(trial.latest_invoice)
    assert (invoice.status, invoice.amount_due) == ("paid", 0)
    assert not whole(invoice.payments).data
    assert not await sdk.charges_of(customer)

    sdk.sandbox.advance("11 days")
    assert "customer.subscription.trial_will_end" in sdk.happened(trial.id)
    sdk.sandbox.advance("3 days")
    assert await sdk.status_of(trial) == "active"
    sdk.sandbox.advance("1 hour")
    [charge] = await sdk.charges_of(customer)
    assert charge.amount == 900


async def test_a_trial_without_a_card_is_paused_and_resumed(sdk: SdkClient) -> None:
    """
    With the setting to pause, a subscription whose trial ends without a card is paused;
    resumed with a card, a whole new period is charged and begins.
    """
    customer, price = await sdk.customer(None), await sdk.price()
    trial = await sdk.subscribe(
        customer,
        price,
        trial_period_days=7,
        trial_settings={"end_behavior": {"missing_payment_method": "pause"}},
    )
    assert trial.pending_setup_intent is not None

    sdk.sandbox.advance("7 days")
    assert await sdk.status_of(trial) == "paused"
    sdk.sandbox.advance("40 days")
    assert await sdk.status_of(trial) == "paused"

    await sdk.give_card(customer, GOOD)
    resumed = await sdk.v1.subscriptions.resume_async(
        trial.id,
        {"billing_cycle_anchor": {"type": "now"}, "expand": ["latest_invoice"]},
    )
    assert resumed.status == "active"
    assert whole(resumed.latest_invoice).amount_paid == 900
    assert period_of(resumed)[0] == resumed.billing_cycle_anchor == sdk.now
    assert "customer.subscription.paused" in sdk.happened(trial.id)
    assert "customer.subscription.resumed" in sdk.happened(trial.id)
    with pytest.raises(stripe.InvalidRequestError, match="not paused"):
        await sdk.v1.subscriptions.resume_async(trial.id)


async def test_an_upgrade_that_fails_waits_for_its_payment(sdk: SdkClient) -> None:
    """
    With pending_if_incomplete the old price stays until the invoice is paid; then the
    change is applied. If it is not paid within 23 hours, the change is dropped and its
    invoice is void.
    """
    customer = await sdk.customer()
    small, big = await sdk.price(900), await sdk.price(2000)
    made = await sdk.subscribe(customer, small)
    sdk.pass_half_of(made)
    upgrade: Any = {
        "items": [{"id": made["items"].data[0].id, "price": big.id}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "pending_if_incomplete",
        "expand": ["latest_invoice"],
    }
    await sdk.give_card(customer, FAILING)

    held = await sdk.v1.subscriptions.update_async(made.id, upgrade)
    assert whole(held.pending_update).expires_at == sdk.now + 23 * HOUR
    assert held["items"].data[0].price.id == small.id
    sdk.sandbox.advance("23 hours")
    dropped = await sdk.v1.subscriptions.retrieve_async(made.id)
    assert (dropped.status, dropped.pending_update) == ("active", None)
    first = await sdk.v1.invoices.retrieve_async(whole(held.latest_invoice).id)
    assert first.status == "void"

    held = await sdk.v1.subscriptions.update_async(made.id, upgrade)
    good = await sdk.v1.payment_methods.attach_async(GOOD, {"customer": customer.id})
    paid = await sdk.v1.invoices.pay_async(
        whole(held.latest_invoice).id, {"payment_method": good.id}
    )
    assert paid.status == "paid"
    changed = await sdk.v1.subscriptions.retrieve_async(made.id)
    assert changed["items"].data[0].price.id == big.id
    assert changed.pending_update is None
    names = [it.rpartition(".")[2] for it in sdk.happened(made.id)]
    assert [it for it in names if it.startswith("pending")] == [
        "pending_update_expired",
        "pending_update_applied",
    ]


async def test_a_change_is_refused_whole_or_billed_later(sdk: SdkClient) -> None:
    """
    error_if_incomplete leaves everything unchanged; create_prorations leaves its two
    items for the renewal, whose preview shows them.
    """
    customer = await sdk.customer()
    small, big = await sdk.price(900), await sdk.price(2000)
    made = await sdk.subscribe(customer, small)
    _, end = period_of(made)
    sdk.pass_half_of(made)
    good = await sdk.v1.customers.payment_methods.list_async(customer.id)
    await sdk.give_card(customer, FAILING)
    items: Any = [{"id": made["items"].data[0].id, "price": big.id}]

    before = await sdk.v1.subscriptions.retrieve_async(made.id)
    with pytest.raises(stripe.CardError):
        await sdk.v1.subscriptions.update_async(
            made.id,
            {
                "items": items,
                "proration_behavior": "always_invoice",
                "payment_behavior": "error_if_incomplete",
            },
        )
    after = await sdk.v1.subscriptions.retrieve_async(made.id)
    assert after.to_dict() == before.to_dict()

    await sdk.v1.subscriptions.update_async(made.id, {"items": items})
    preview = await sdk.v1.invoices.create_preview_async({"subscription": made.id})
    assert sorted(it.amount for it in preview.lines.data) == [-450, 1000, 2000]
    await sdk.v1.subscriptions.update_async(
        made.id, {"default_payment_method": good.data[0].id}
    )
    sdk.pass_until(end + HOUR)
    charge = (await sdk.charges_of(customer))[0]
    assert (charge.amount, charge.status) == (preview.amount_due, "succeeded")


async def test_a_new_anchor_starts_a_new_period_now(sdk: SdkClient) -> None:
    """
    The rest of the old period is credited, the new one is charged whole, and the
    preview shows that before.
    """
    customer = await sdk.customer()
    made = await sdk.subscribe(customer, await sdk.price())
    sdk.pass_half_of(made)

    preview = await sdk.v1.invoices.create_preview_async(
        {
            "subscription": made.id,
            "subscription_details": {"billing_cycle_anchor": {"type": "now"}},
        }
    )
    moved = await sdk.v1.subscriptions.update_async(
        made.id,
        {"billing_cycle_anchor": {"type": "now"}, "expand": ["latest_invoice"]},
    )

    assert moved.billing_cycle_anchor == period_of(moved)[0] == sdk.now
    assert whole(moved.latest_invoice).amount_paid == preview.amount_due == 450


async def test_a_subscription_ends_as_it_was_told_to(sdk: SdkClient) -> None:
    """
    At the end of its period, at a time, or at once; ended ones are listed only on
    request.
    """
    subscriptions, price = sdk.v1.subscriptions, await sdk.price()
    customer = await sdk.customer()
    with_period, at_moment, at_once = [
        await sdk.subscribe(customer, price) for _ in range(3)
    ]
    end = period_of(with_period)[1]

    planned = await subscriptions.update_async(
        with_period.id, {"cancel_at_period_end": True}
    )
    assert (planned.status, planned.cancel_at) == ("active", end)
    taken_back = await subscriptions.update_async(
        with_period.id, {"cancel_at_period_end": False}
    )
    assert (taken_back.cancel_at, taken_back.canceled_at) == (None, None)
    await subscriptions.update_async(with_period.id, {"cancel_at_period_end": True})
    moment = sdk.now + 5 * 24 * HOUR
    await subscriptions.update_async(at_moment.id, {"cancel_at": moment})
    gone = await subscriptions.cancel_async(
        at_once.id, {"cancellation_details": {"feedback": "unused"}}
    )
    assert (gone.status, gone.ended_at) == ("canceled", sdk.now)
    assert whole(gone.cancellation_details).feedback == "unused"

    mine: Any = {"customer": customer.id}
    live = [it.id for it in (await subscriptions.list_async(mine)).data]
    assert live == [at_moment.id, with_period.id]
    sdk.pass_until(moment)
    assert await sdk.status_of(at_moment) == "canceled"
    assert await sdk.status_of(with_period) == "active"
    sdk.pass_until(end)
    assert await sdk.status_of(with_period) == "canceled"
    assert not (await subscriptions.list_async(mine)).data
    every: Any = {**mine, "status": "all"}
    found = (await subscriptions.list_async(every)).data
    assert [it.status for it in found] == ["canceled"] * 3
    # Nothing was renewed meanwhile.
    assert len((await sdk.v1.charges.list_async(mine)).data) == 3
    with pytest.raises(stripe.InvalidRequestError):
        await subscriptions.cancel_async(at_once.id)


STORIES: Final[tuple[Story, ...]] = (
    test_a_good_card_makes_an_active_subscription,
    test_a_failing_card_leaves_what_the_payment_behavior_says,
    test_default_incomplete_waits_for_the_client_to_pay,
    test_the_banks_step_decides_a_first_payment,
    test_a_trial_is_free_and_then_paid,
    test_a_trial_without_a_card_is_paused_and_resumed,
    test_an_upgrade_that_fails_waits_for_its_payment,
    test_a_change_is_refused_whole_or_billed_later,
    test_a_new_anchor_starts_a_new_period_now,
    test_a_subscription_ends_as_it_was_told_to,
)


async def test_together_they_call_every_address_of_subscriptions(
    sdk: SdkClient,
) -> None:
    """
    Run one after the other against one sandbox the stories hold as well, and together
    they get a good answer from every method and path of this area.
    """
    called, theirs = await answers_to(sdk, STORIES), addresses("subscriptions")

    assert called >= theirs
    assert len(theirs) >= 8
