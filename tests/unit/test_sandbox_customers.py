"""Customers and cards of the sandbox that are declined, detached or deleted."""

import pytest

from payments_sandbox.periods import HOUR
from support.sandbox import Api, Refused
from support.sandbox_changes import begin, change, charged
from support.watched import FAILING, again, count, fail_from_now_on, period


def test_a_customer_whose_first_card_is_declined_is_not_made(api: Api) -> None:
    """402, and neither a customer nor an event is left."""
    before = count(api)
    with pytest.raises(Refused) as refused:
        api.post("customers", payment_method="pm_card_chargeDeclined")
    assert (refused.value.status, refused.value.code) == (402, "card_declined")
    assert api.get("customers")["data"] == []
    assert count(api) == before
    assert api.post("customers", payment_method="pm_card_visa")["id"]


def test_a_deleted_customer_ends_everything(api: Api) -> None:
    """Subscriptions, cards and the customer; a stub is left."""
    subscription = begin(api)
    waiting = api.subscribe(
        subscription["customer"], api.price(500)["id"], trial_period_days=14
    )
    before, path = count(api), f"customers/{subscription['customer']}"
    stub = api.delete(path)
    assert stub == {
        "id": subscription["customer"],
        "object": "customer",
        "deleted": True,
    }
    assert api.get(path) == stub
    for it in (subscription, waiting):
        assert again(api, it)["status"] == "canceled"
    assert sorted(set(api.types(before))) == [
        "customer.deleted",
        "customer.subscription.deleted",
        "payment_method.detached",
    ]
    with pytest.raises(Refused) as refused:
        api.post(path, name="Ada")
    assert (refused.value.status, refused.value.code) == (404, "resource_missing")
    before = count(api)
    api.advance("2 months")
    assert api.types(before) == []


def test_a_customer_deleted_while_a_renewal_waits_is_not_charged(api: Api) -> None:
    """Neither for a draft nor by a retry."""
    drafted = begin(api)
    failing = begin(api)
    fail_from_now_on(api, failing)
    api.advance(period(drafted)[1])
    api.delete(f"customers/{drafted['customer']}")
    api.advance("1 day")
    api.delete(f"customers/{failing['customer']}")
    api.advance("1 month")
    assert charged(api) == [1_000, 1_000]
    assert again(api, {"object": "subscription", "id": failing["id"]})["ended_at"]


def test_a_detached_default_card_is_no_default_any_more(api: Api) -> None:
    """Of the customer nor of a subscription; the renewal then fails."""
    subscription = begin(api)
    customer = api.get(f"customers/{subscription['customer']}")
    card = customer["invoice_settings"]["default_payment_method"]
    change(api, subscription, default_payment_method=card)
    api.post(f"payment_methods/{card}/detach")

    customer = api.get(f"customers/{subscription['customer']}")
    assert customer["invoice_settings"]["default_payment_method"] is None
    assert again(api, subscription)["default_payment_method"] is None
    api.advance(period(subscription)[1] + HOUR)
    assert again(api, subscription)["status"] == "past_due"
    assert charged(api) == [1_000]
    # What the subscription has goes before what the customer has.
    other = api.post(
        "payment_methods/pm_card_visa/attach", customer=subscription["customer"]
    )
    change(api, subscription, default_payment_method=other["id"])
    api.give_card(subscription["customer"], FAILING)
    api.advance("1 day")
    assert again(api, subscription)["status"] == "active"
