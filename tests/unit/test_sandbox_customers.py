"""Customers and cards of the sandbox that are declined, detached or deleted."""

from typing import Any

import pytest

from payments_sandbox.periods import HOUR
from support.sandbox import Api, Refused
from support.sandbox_changes import begin, change, charged
from support.watched import FAILING, again, count, fail_from_now_on, period


def test_a_customer_whose_first_card_is_declined_is_not_made(api: Api) -> None:
    """402, and neither a customer nor an event remains."""
    before = count(api)
    with pytest.raises(Refused) as refused:
        api.post("customers", payment_method="pm_card_chargeDeclined")
    assert (refused.value.status, refused.value.code) == (402, "card_declined")
    assert api.get("customers")["data"] == []
    assert count(api) == before
    assert api.post("customers", payment_method="pm_card_visa")["id"]


def test_a_deleted_customer_ends_everything(api: Api) -> None:
    """Subscriptions, cards and the customer; a stub remains."""
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


@pytest.mark.parametrize(
    "way",
    ["subscriptions", "default_source", "invoice_settings.default_payment_method"],
)
def test_a_deleted_customer_can_be_expanded(api: Api, way: str) -> None:
    """Alone, in its former objects, and in lists: it is always the stub."""
    subscription = begin(api)
    customer = subscription["customer"]
    (charge,) = api.get("charges")["data"]
    stub = api.delete(f"customers/{customer}")
    assert api.get(f"customers/{customer}", expand=[way]) == stub
    for path in (
        f"subscriptions/{subscription['id']}",
        f"invoices/{subscription['latest_invoice']}",
        f"charges/{charge['id']}",
    ):
        for expand in ("customer", f"customer.{way}"):
            assert api.get(path, expand=[expand])["customer"] == stub
    for asked in (f"customers/{customer}", f"charges/{charge['id']}"):
        with pytest.raises(Refused, match="cannot be expanded"):
            api.get(asked, expand=["shoe" if "customers" in asked else "customer.shoe"])
    (listed,) = api.get("charges", expand=[f"data.customer.{way}"])["data"]
    assert listed["customer"] == stub


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


USED = "may not be used again"


def pay_once(api: Api, card: str, **params: Any) -> Any:
    return api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        payment_method=card,
        confirm=True,
        **params,
    )


def test_a_detached_card_is_nobodys_for_good(api: Api) -> None:
    """It can neither be attached to any customer, nor charged, nor set up."""
    mine, other = api.customer(None)["id"], api.customer(None)["id"]
    card = api.give_card(mine, "pm_card_visa")
    api.post(f"payment_methods/{card}/detach")
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"payment_methods/{card}/attach", {"customer": mine}),
        (f"payment_methods/{card}/attach", {"customer": other}),
        ("customers", {"payment_method": card}),
        ("setup_intents", {"customer": mine, "payment_method": card}),
        (
            "payment_intents",
            {"amount": 500, "currency": "eur", "payment_method": card},
        ),
    ]
    before = count(api)
    for path, params in asked:
        with pytest.raises(Refused, match=USED) as refused:
            api.post(path, **params)
        assert (refused.value.status, refused.value.code) == (400, None)
        assert refused.value.type == "invalid_request_error"
    assert count(api) == before
    assert api.get(f"payment_methods/{card}")["customer"] is None


def test_the_cards_of_a_deleted_customer_are_nobodys_for_good(api: Api) -> None:
    """They were detached as well."""
    mine, other = api.customer(None)["id"], api.customer(None)["id"]
    card = api.give_card(mine, "pm_card_visa")
    api.delete(f"customers/{mine}")
    with pytest.raises(Refused, match=USED):
        api.post(f"payment_methods/{card}/attach", customer=other)


def test_a_card_that_paid_without_a_customer_is_spent(api: Api) -> None:
    """A card that an intent was told to save is its customer's, and pays again."""
    customer = api.customer(None)["id"]
    once, kept, failed = (
        api.post("payment_methods", type="card", card={"token": token})["id"]
        for token in ("tok_visa", "tok_visa", "tok_chargeCustomerFail")
    )
    pay_once(api, once)
    with pytest.raises(Refused, match=USED):
        pay_once(api, once)
    with pytest.raises(Refused, match=USED):
        api.post(f"payment_methods/{once}/attach", customer=customer)

    owner = {"customer": customer, "setup_future_usage": "off_session"}
    for _ in range(2):
        assert pay_once(api, kept, **owner)["status"] == "succeeded"

    # What was declined has paid nothing.
    with pytest.raises(Refused):
        pay_once(api, failed)
    api.engine.set_card(failed, declines=None)
    assert pay_once(api, failed)["status"] == "succeeded"


def test_what_a_refused_call_would_have_spent_can_still_be_used(api: Api) -> None:
    """The expansion is refused after the payment, which has not happened then."""
    token = {"token": "tok_visa"}
    card = api.post("payment_methods", type="card", card=token)["id"]
    with pytest.raises(Refused, match="expanded"):
        pay_once(api, card, expand=["nothing"])
    assert pay_once(api, card)["status"] == "succeeded"


def test_a_detached_default_card_is_no_default_any_more(api: Api) -> None:
    """Neither of the customer nor of a subscription; the renewal then fails."""
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
    # The subscription's card takes precedence over the customer's.
    other = api.post(
        "payment_methods/pm_card_visa/attach", customer=subscription["customer"]
    )
    change(api, subscription, default_payment_method=other["id"])
    api.give_card(subscription["customer"], FAILING)
    api.advance("1 day")
    assert again(api, subscription)["status"] == "active"


def before(api: Api, type_: str) -> Any:
    """Return the previous values, by the last event of a type."""
    return api.get("events", type=type_)["data"][0]["data"]["previous_attributes"]


def test_an_update_says_what_was_before_and_no_more(api: Api) -> None:
    """Of an object too only the changed fields; a missing field was null."""
    customer = api.customer(None)["id"]
    card = api.give_card(customer, "pm_card_visa")
    assert before(api, "customer.updated") == {
        "invoice_settings": {"default_payment_method": None}
    }

    year = api.get(f"payment_methods/{card}")["card"]["exp_year"]
    api.post(
        f"payment_methods/{card}", card={"exp_year": year + 1}, metadata={"is": "old"}
    )
    assert before(api, "payment_method.updated") == {
        "card": {"exp_year": year},
        "metadata": {"is": None},
    }

    api.engine.reissue_card(card)
    renewed = before(api, "payment_method.automatically_updated")
    assert renewed == {"card": {"exp_year": year + 1}}


def test_the_event_of_a_detached_card_says_whose_it_was(api: Api) -> None:
    """The card itself has no customer by then, and is no longer the default."""
    customer = api.customer(None)["id"]
    card = api.give_card(customer, "pm_card_visa")
    api.post(f"payment_methods/{card}/detach")

    (event,) = api.get("events", type="payment_method.detached")["data"]
    assert event["data"]["object"]["customer"] is None
    assert event["data"]["previous_attributes"] == {"customer": customer}
    assert before(api, "customer.updated") == {
        "invoice_settings": {"default_payment_method": card}
    }


@pytest.mark.parametrize("is_the_subscriptions", [True, False])
def test_a_default_source_pays_where_no_payment_method_was_chosen(
    api: Api, *, is_the_subscriptions: bool
) -> None:
    """An imported card of the older API; once it is detached it is no default."""
    subscription = begin(api)
    customer = api.get(f"customers/{subscription['customer']}")
    old = customer["invoice_settings"]["default_payment_method"]
    card = api.get(f"payment_methods/{old}") | {"id": "card_1"}
    owner = subscription if is_the_subscriptions else customer
    api.engine.import_objects([card, owner | {"default_source": "card_1"}])
    api.post(f"payment_methods/{old}/detach")
    api.advance(period(subscription)[1] + HOUR)
    assert charged(api) == [1_000, 1_000]
    assert api.get("charges")["data"][0]["payment_method"] == "card_1"

    api.post("payment_methods/card_1/detach")
    assert api.get(f"customers/{customer['id']}")["default_source"] is None
    assert again(api, subscription)["default_source"] is None
