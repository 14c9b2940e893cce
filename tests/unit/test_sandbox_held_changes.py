"""Changes in the sandbox that are applied only when they are paid."""

from typing import Any

import pytest

from payments_sandbox.periods import HOUR, MINUTE
from support.sandbox import Api, Refused
from support.sandbox_changes import MONTH, begin, change, charged, to_price
from support.watched import again, count, fail_from_now_on, latest, period


def intent_of(api: Api, subscription: Any) -> str:
    """Return the id of the payment intent of the latest invoice."""
    invoice = again(api, subscription)["latest_invoice"]
    (payment,) = api.get("invoice_payments", invoice=invoice)["data"]
    return str(payment["payment"]["payment_intent"])


def hold(api: Api, **params: Any) -> Any:
    """Return a subscription whose change waits to be paid."""
    subscription = begin(api, **params)
    fail_from_now_on(api, subscription)
    api.advance(api.now + MONTH // 2)
    return change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        payment_behavior="pending_if_incomplete",
        proration_behavior="always_invoice",
    )


def test_a_change_that_has_to_be_paid_is_held(api: Api) -> None:
    """The old price stays until then, and `pending_update` has the new one."""
    held = hold(api)
    assert held["status"] == "active"
    assert held["items"]["data"][0]["price"]["unit_amount"] == 1_000
    pending = held["pending_update"]
    assert pending["expires_at"] == api.now + 23 * HOUR
    assert pending["subscription_items"][0]["price"]["unit_amount"] == 3_000
    assert latest(api, held)["status"] == "open"


def test_a_held_change_is_applied_when_it_is_paid(api: Api) -> None:
    """By another card, within 23 hours."""
    held = hold(api)
    card = api.give_card(held["customer"], "pm_card_visa")
    api.advance("22 hours")
    before = count(api)
    api.post(f"invoices/{held['latest_invoice']}/pay", payment_method=card)
    applied = again(api, held)
    assert applied["pending_update"] is None
    assert applied["items"]["data"][0]["price"]["unit_amount"] == 3_000
    assert applied["status"] == "active"
    assert "customer.subscription.pending_update_applied" in api.types(before)
    before = count(api)
    api.advance("2 hours")
    assert api.types(before) == []


def test_a_held_change_that_is_not_paid_expires(api: Api) -> None:
    """After 23 hours, its invoice is void and the renewal has the old price."""
    held = hold(api)
    api.advance(api.now + 23 * HOUR - MINUTE)
    assert again(api, held)["pending_update"]
    before = count(api)
    api.advance("1 minute")
    expired = again(api, held)
    assert expired["pending_update"] is None
    assert expired["status"] == "active"
    assert expired["items"]["data"][0]["price"]["unit_amount"] == 1_000
    assert latest(api, held)["status"] == "void"
    assert "customer.subscription.pending_update_expired" in api.types(before)
    assert "invoice.voided" in api.types(before)

    api.give_card(held["customer"], "pm_card_visa")
    api.advance(period(held)[1] + HOUR)
    assert latest(api, held)["total"] == 1_000


def test_a_change_that_is_paid_at_once_is_not_held(api: Api) -> None:
    """`pending_if_incomplete` holds only what fails."""
    subscription = begin(api)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        payment_behavior="pending_if_incomplete",
        proration_behavior="always_invoice",
    )
    assert changed["pending_update"] is None
    assert changed["items"]["data"][0]["price"]["unit_amount"] == 3_000


def test_a_change_that_fails_makes_it_past_due(api: Api) -> None:
    """With `allow_incomplete` it is applied all the same."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        proration_behavior="always_invoice",
    )
    assert changed["status"] == "past_due"
    assert changed["items"]["data"][0]["price"]["unit_amount"] == 3_000
    assert latest(api, subscription)["next_payment_attempt"]


def test_a_change_with_error_if_incomplete_is_refused_if_it_fails(api: Api) -> None:
    """402, and everything is as before."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    items, before = to_price(api, subscription, 3_000), count(api)
    with pytest.raises(Refused) as refused:
        change(
            api,
            subscription,
            items=items,
            payment_behavior="error_if_incomplete",
            proration_behavior="always_invoice",
        )
    assert (refused.value.status, refused.value.code) == (402, "card_declined")
    assert again(api, subscription) == subscription
    assert count(api) == before
    assert api.get("invoiceitems")["data"] == []


def test_default_incomplete_is_confirmed_later(api: Api) -> None:
    """By the payment intent; the paying card is saved if that was requested."""
    settings = {"save_default_payment_method": "on_subscription"}
    customer = api.customer(None)["id"]
    subscription = api.subscribe(
        customer,
        api.price()["id"],
        payment_behavior="default_incomplete",
        payment_settings=settings,
        expand=["latest_invoice.confirmation_secret"],
    )
    invoice = subscription["latest_invoice"]
    secret = invoice["confirmation_secret"]["client_secret"]
    intent = secret.partition("_secret_")[0]
    assert subscription["status"] == "incomplete"
    confirmed = api.post(
        f"payment_intents/{intent}/confirm", payment_method="pm_card_visa"
    )
    assert confirmed["status"] == "succeeded"

    subscription = again(api, {"object": "subscription", "id": subscription["id"]})
    assert subscription["status"] == "active"
    card = subscription["default_payment_method"]
    assert card == confirmed["payment_method"]
    assert api.get(f"payment_methods/{card}")["customer"] == customer
    api.advance(period(subscription)[1] + HOUR)
    assert charged(api) == [900, 900]


def test_a_change_with_default_incomplete_is_confirmed_later(api: Api) -> None:
    """Past due until the payment intent of its invoice is confirmed."""
    subscription = begin(api)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        payment_behavior="default_incomplete",
        proration_behavior="always_invoice",
    )
    assert changed["status"] == "past_due"
    assert charged(api) == [1_000]
    api.post(f"payment_intents/{intent_of(api, subscription)}/confirm")
    assert again(api, subscription)["status"] == "active"
    assert charged(api) == [1_000, 2_000]


def test_the_card_that_pays_is_not_kept_unless_asked(api: Api) -> None:
    """It is the customer's, but not the subscription's."""
    customer = api.customer(None)["id"]
    subscription = api.subscribe(
        customer, api.price()["id"], payment_behavior="default_incomplete"
    )
    intent = intent_of(api, subscription)
    api.post(f"payment_intents/{intent}/confirm", payment_method="pm_card_visa")
    active = again(api, subscription)
    assert (active["status"], active["default_payment_method"]) == ("active", None)
