"""The start of a subscription of the sandbox: paid, unpaid, or with 3-D Secure."""

from typing import Any

import pytest

from payments_sandbox.periods import HOUR, MINUTE
from support.sandbox import Api, Refused
from support.watched import (
    ASKING,
    FAILING,
    again,
    at,
    begin,
    count,
    intent_of,
    latest,
    period,
)

# Begun


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ({"type": "classic"}, {"flexible": None, "type": "classic"}),
        (
            {"type": "flexible"},
            {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
        ),
        (
            {"type": "flexible", "flexible": {"proration_discounts": "itemized"}},
            {"flexible": {"proration_discounts": "itemized"}, "type": "flexible"},
        ),
    ],
)
def test_the_billing_mode_is_what_was_asked_for(
    api: Api, wanted: dict[str, Any], shown: dict[str, Any]
) -> None:
    """The reported mode can be requested; a preview accepts it too."""
    customer, price = api.customer()["id"], api.price()["id"]
    subscription = api.subscribe(customer, price, billing_mode=wanted)
    assert subscription["billing_mode"] == shown
    assert again(api, subscription)["billing_mode"] == shown
    details = {"items": [{"price": price}], "billing_mode": wanted}
    preview = api.post(
        "invoices/create_preview", customer=customer, subscription_details=details
    )
    assert preview["amount_due"] == 900


@pytest.mark.parametrize(
    ("wanted", "code", "param"),
    [
        ({"type": "baroque"}, None, "billing_mode[type]"),
        (
            {"type": "classic", "flexible": {"proration_discounts": "included"}},
            None,
            "billing_mode[flexible]",
        ),
        (
            {"flexible": {"proration_discounts": "included"}},
            "parameter_missing",
            "billing_mode[type]",
        ),
    ],
)
def test_a_billing_mode_that_is_none_is_refused(
    api: Api, wanted: dict[str, Any], code: str | None, param: str
) -> None:
    """With the wrong parameter."""
    customer, price = api.customer()["id"], api.price()["id"]
    with pytest.raises(Refused) as refused:
        api.subscribe(customer, price, billing_mode=wanted)
    assert (refused.value.code, refused.value.param) == (code, param)
    details = {"items": [{"price": price}], "billing_mode": wanted}
    with pytest.raises(Refused) as refused:
        api.post(
            "invoices/create_preview", customer=customer, subscription_details=details
        )
    nested = param.replace("billing_mode", "subscription_details[billing_mode]")
    assert (refused.value.code, refused.value.param) == (code, nested)


def test_a_good_card_makes_a_subscription_active_at_once(api: Api) -> None:
    """Invoice, charge and subscription are reported, each after what it depends on."""
    customer, price = api.customer()["id"], api.price()["id"]
    before = count(api)
    subscription = api.subscribe(customer, price)

    assert subscription["status"] == "active"
    assert period(subscription) == (api.now, at("2026-02-01"))
    assert subscription["billing_cycle_anchor"] == api.now
    assert api.types(before) == [
        "invoice.created",
        "customer.updated",
        "payment_intent.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.created",
    ]
    invoice = latest(api, subscription)
    assert invoice["billing_reason"] == "subscription_create"
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", 900)
    assert invoice["attempt_count"] == 1


@pytest.mark.parametrize("behavior", ["allow_incomplete", "default_incomplete"])
def test_a_subscription_that_is_not_paid_is_incomplete(api: Api, behavior: str) -> None:
    """With `default_incomplete` no payment is tried; its invoice waits either way."""
    subscription = begin(api, FAILING, payment_behavior=behavior)
    invoice = latest(api, subscription)
    tried = behavior == "allow_incomplete"

    assert subscription["status"] == "incomplete"
    assert (invoice["status"], invoice["attempted"]) == ("open", tried)
    assert ("charge.failed" in api.types()) is tried
    assert ("invoice.payment_failed" in api.types()) is tried
    status = "requires_payment_method" if tried else "requires_confirmation"
    assert intent_of(api, invoice)["status"] == status


def test_error_if_incomplete_makes_nothing_of_a_decline(api: Api) -> None:
    """It answers 402, and neither a subscription nor an invoice exists."""
    customer, price = api.customer(FAILING)["id"], api.price()["id"]
    before = count(api)
    with pytest.raises(Refused) as refused:
        api.subscribe(customer, price, payment_behavior="error_if_incomplete")

    assert (refused.value.status, refused.value.type) == (402, "card_error")
    assert refused.value.code == "card_declined"
    assert api.get("subscriptions", status="all")["data"] == []
    assert api.get("invoices")["data"] == []
    assert count(api) == before


def test_pending_if_incomplete_is_for_updates_only(api: Api) -> None:
    """A new subscription has nothing that could be held back."""
    with pytest.raises(Refused) as refused:
        begin(api, payment_behavior="pending_if_incomplete")
    assert (refused.value.status, refused.value.param) == (400, "payment_behavior")


def test_without_any_card_nothing_begins(api: Api) -> None:
    """Unless the request says that the payment comes later."""
    with pytest.raises(Refused) as refused:
        begin(api, None)
    assert (refused.value.status, refused.value.code) == (400, "resource_missing")
    assert api.get("subscriptions", status="all")["data"] == []

    later = begin(api, None, payment_behavior="default_incomplete")
    assert later["status"] == "incomplete"


@pytest.mark.parametrize(
    ("amount", "card"), [(0, None), (0, FAILING), (0, "pm_card_visa")]
)
def test_what_costs_nothing_is_active_without_a_charge(
    api: Api, amount: int, card: str | None
) -> None:
    """Its invoice is paid, with no attempt and no payment intent."""
    customer = api.customer(card)["id"]
    subscription = api.subscribe(customer, api.price(amount)["id"])
    invoice = latest(api, subscription)

    assert subscription["status"] == "active"
    assert (invoice["status"], invoice["attempt_count"]) == ("paid", 0)
    assert api.get("charges")["data"] == []
    assert api.get("payment_intents")["data"] == []
    assert (subscription["pending_setup_intent"] is None) is (card is not None)


# The bank asks the holder


def test_a_holder_who_agrees_makes_it_active(api: Api) -> None:
    """Until then it is incomplete, and `invoice.payment_action_required` was sent."""
    subscription = begin(api, ASKING)
    intent = intent_of(api, latest(api, subscription))
    assert (subscription["status"], intent["status"]) == (
        "incomplete",
        "requires_action",
    )
    assert "invoice.payment_action_required" in api.types()
    assert api.get("charges")["data"] == []

    before = count(api)
    api.engine.authenticate(intent["id"])
    assert again(api, subscription)["status"] == "active"
    assert latest(api, subscription)["status"] == "paid"
    assert api.types(before) == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]


def test_a_holder_who_refuses_leaves_it_incomplete(api: Api) -> None:
    """No charge is made; another card can still pay."""
    subscription = begin(api, ASKING)
    intent = intent_of(api, latest(api, subscription))
    refused = api.engine.authenticate(intent["id"], succeed=False)

    assert refused["status"] == "requires_payment_method"
    error = refused["last_payment_error"]
    assert error["code"] == "payment_intent_authentication_failure"
    assert again(api, subscription)["status"] == "incomplete"
    assert api.get("charges")["data"] == []

    api.post(f"payment_intents/{intent['id']}/confirm", payment_method="pm_card_visa")
    assert again(api, subscription)["status"] == "active"


@pytest.mark.parametrize("card", [ASKING, FAILING])
def test_what_is_not_paid_within_23_hours_expires(api: Api, card: str) -> None:
    """Not a minute earlier; its invoice is void, and it has ended for good."""
    subscription = begin(api, card)
    api.advance(api.now + 23 * HOUR - MINUTE)
    assert again(api, subscription)["status"] == "incomplete"
    before = count(api)
    api.advance("1 minute")

    expired = again(api, subscription)
    assert expired["status"] == "incomplete_expired"
    assert expired["ended_at"] == api.now
    invoice = latest(api, subscription)
    assert invoice["status"] == "void"
    assert intent_of(api, invoice)["status"] == "canceled"
    assert api.types(before) == [
        "customer.subscription.updated",
        "payment_intent.canceled",
        "invoice.voided",
    ]
    before = count(api)
    api.advance("3 months")
    assert api.types(before) == []


def test_a_bank_that_agreed_once_lets_renewals_pass(api: Api) -> None:
    """`…OnSetup` asks when the card is saved, and not at every charge."""
    customer = api.customer(None)["id"]
    card = "pm_card_authenticationRequiredOnSetup"
    setup = api.post(
        "setup_intents", customer=customer, payment_method=card, confirm=True
    )
    assert setup["status"] == "requires_action"
    kept = api.engine.authenticate(setup["id"])
    subscription = api.subscribe(
        customer, api.price()["id"], default_payment_method=kept["payment_method"]
    )
    api.advance("2 months")

    assert again(api, subscription)["status"] == "active"
    assert len(api.get("charges")["data"]) == 2
    api.advance("1 hour")
    assert len(api.get("charges")["data"]) == 3
