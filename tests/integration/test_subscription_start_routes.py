"""A subscription is begun over HTTP: its cost, its grant, and refusals."""

from datetime import UTC, datetime
from typing import Any

import pytest

from payments_core.subscription import QUANTITY_MAX
from support.service_with_sandbox import (
    BASIC,
    GOOD,
    Payer,
    ServiceWithSandbox,
    moment,
    pointers,
    refusal,
)


def period_end(subscription: Any) -> datetime:
    """Return when the gateway's own subscription is next due."""
    [item] = subscription["items"]["data"]
    return datetime.fromtimestamp(item["current_period_end"], UTC)


@pytest.mark.parametrize("by", ["product", "price"])
def test_a_subscription_is_begun_by_product_or_price(
    stack: ServiceWithSandbox, ada: Payer, by: str
) -> None:
    """
    A product is sold at its default price, a price by an administrator. The answer is
    the paid subscription.
    """
    ada.give_card()
    wanted = {"product": stack.product, "price": stack.basic}[by]
    seller = {"product": ada, "price": ada.admin}[by]

    answer = seller.subscribe(**{by: wanted})

    [theirs] = ada.subscriptions
    told = answer.json()
    assert answer.status_code == 201
    assert (told["status"], told["product"], told["price"], told["quantity"]) == (
        "active",
        stack.product,
        stack.basic,
        1,
    )
    assert told["currency"] == "eur"
    assert moment(told["current_period_end"]) == period_end(theirs)
    assert "client_secret" not in told
    assert ada.taken == [BASIC]


def test_a_new_subscription_is_known_before_any_webhook(ada: Payer) -> None:
    """
    The answer to our own request is enough: paid, and until when.
    """
    ada.give_card()
    told = ada.subscribe().json()

    status = ada.status

    assert (status["payment_status"], status["entitled"]) == ("paid", True)
    assert status["payment_expire_date"] == told["current_period_end"]


def test_what_webhooks_say_later_changes_nothing(ada: Payer) -> None:
    """
    The events of a subscription that the service began report what is known already.
    """
    ada.give_card()
    ada.subscribe()
    before = ada.status

    ada.stack.settle()

    assert ada.status == before
    assert ada.standing == ("paid", True)


def test_a_quantity_is_paid_for(ada: Payer) -> None:
    """
    Three of them cost three times as much.
    """
    told = ada.subscribed(quantity=3)

    assert told["quantity"] == 3
    assert ada.taken == [3 * BASIC]


def test_a_trial_is_free_until_it_ends(ada: Payer) -> None:
    """
    Nothing is charged; the date is the trial's end, and the user is entitled.
    """
    told = ada.admin.subscribed(trial_days=10)

    status = ada.status
    assert told["status"] == status["payment_status"] == "trialing"
    assert status["payment_expire_date"] == told["trial_end"]
    assert status["entitled"] is True
    assert status["subscriptions"][0]["paid_through"] is None
    assert ada.taken == []


def test_a_trial_that_ends_is_paid_for(ada: Payer) -> None:
    """
    Then it is an ordinary month.
    """
    told = ada.admin.subscribed(trial_days=2)

    ada.stack.pass_by("2 days")
    ada.stack.pass_by("2 hours")

    status = ada.status
    assert status["subscriptions"][0]["status"] == "active"
    assert status["payment_status"] == "paid"
    assert moment(status["payment_expire_date"]) > moment(told["trial_end"])
    assert ada.taken == [BASIC]


def test_the_log_of_changes_tells_of_a_trial(ada: Payer) -> None:
    """
    When it began, with its cause, and when it was over; the account's row shows it too.
    """
    told = ada.admin.subscribed_without_card(trial_days=2)
    stored = ada.stored("payment_status from payment_accounts")
    ada.call("DELETE", f"subscriptions/{told['id']}")
    ada.stack.settle()

    assert stored == [("trialing",)]
    registered, began, *_, over = ada.stored(
        "payment_status, payment_expire_date, cause from account_log", by="version"
    )
    assert registered == ("none", None, "user registered")
    assert began[:2] == ("trialing", moment(told["trial_end"]))
    assert over[0] == "none"
    assert over[1] < moment(told["trial_end"])
    assert "subscription" in began[2]
    assert "subscription" in over[2]


def test_a_trial_needs_no_card(ada: Payer) -> None:
    """
    It begins at once; nothing is due yet.
    """
    answer = ada.admin.subscribe(trial_days=10)

    assert (answer.status_code, answer.json()["status"]) == (201, "trialing")


def test_a_trial_that_ends_without_a_card_is_not_paid(ada: Payer) -> None:
    """
    No card can pay it: the status is `failed`.
    """
    told = ada.admin.subscribed_without_card(trial_days=2)

    ada.stack.pass_by("2 days")
    ada.stack.pass_by("2 hours")

    status = ada.status
    assert status["payment_status"] == "failed"
    assert status["payment_expire_date"] == told["trial_end"]
    assert ada.taken == []


def test_an_order_that_no_bill_can_hold_is_answered(ada: Payer) -> None:
    """
    The maximum quantity at a price above zero: the gateway has its own limits.
    """
    ada.give_card()

    answer = ada.subscribe(quantity=QUANTITY_MAX)

    assert answer.status_code in {201, 402, 422}
    assert sum(ada.taken) in {0, QUANTITY_MAX * BASIC}


def test_a_card_may_come_with_the_order(ada: Payer) -> None:
    """
    It pays this subscription, whatever the default is.
    """
    answer = ada.subscribe(payment_method=GOOD)

    [theirs] = ada.subscriptions
    assert (answer.status_code, answer.json()["status"]) == (201, "active")
    assert theirs["default_payment_method"]
    assert ada.taken == [BASIC]


def test_the_gateways_objects_carry_the_users_and_the_intents_id(ada: Payer) -> None:
    """
    The dashboard of Stripe shows the user; a resumed operation finds the intent.
    """
    ada.subscribed()

    [customer] = ada.customers
    [theirs] = ada.subscriptions
    for made, kind in ((customer, "create_customer"), (theirs, "start_subscription")):
        assert made["metadata"]["user_id"] == ada.id
        intent = ada.get(f"/intents/{made['metadata']['intent_id']}")
        assert (intent["kind"], intent["state"]) == (kind, "succeeded")


def test_a_second_living_one_of_the_product_is_refused(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    At any price: 409 that names the existing one. Another product is independent.
    """
    first = ada.subscribed()

    for order in (
        {"product": stack.product},
        {"price": stack.basic},
        {"price": stack.pro},
    ):
        answer = ada.admin.subscribe(**order)
        assert refusal(answer) == (409, "already_subscribed")
        assert answer.json()["subscription_id"] == first["id"]
    other = ada.subscribe(product=stack.other_product)

    assert other.status_code == 201
    assert len(ada.subscriptions) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"product": "prod_1", "price": "price_1"},
        {"price": None},
        {"product": None, "price": "price_1"},
        {"price": 1},
        {"price": ""},
        {"price": "price/1"},
        {"price": "price_1", "quantity": 0},
        {"price": "price_1", "quantity": -1},
        {"price": "price_1", "quantity": 10**9},
        {"price": "price_1", "quantity": 10**30},
        {"price": "price_1", "quantity": "1"},
        {"price": "price_1", "quantity": True},
        {"price": "price_1", "quantity": 1.5},
        {"price": "price_1", "quantity": None},
        {"price": "price_1", "trial_days": 0},
        {"price": "price_1", "trial_days": -1},
        {"price": "price_1", "trial_days": 731},
        {"price": "price_1", "trial_days": True},
        {"price": "price_1", "trial_days": None},
        {"price": "price_1", "payment_method": None},
        {"price": "price_1", "payment_method": "pm 1"},
        {"price": "price_1", "coupon": "all"},
        {"product": "prod_1", "proration_date": "2026-01-01T00:00:00Z"},
        {"price": "price_1", "currency": "eur"},
        [],
    ],
    ids=repr,
)
def test_an_order_that_makes_no_sense_is_refused(ada: Payer, body: Any) -> None:
    """
    400 with the field and the reason; no request is sent to the gateway.
    """
    before = list(ada.stack.posts)

    answer = ada.call("POST", "subscriptions", body)

    assert answer.status_code == 400
    assert pointers(answer) != []
    assert ada.stack.posts == before


@pytest.mark.parametrize("field", ["product", "price"])
def test_what_is_not_sold_is_unprocessable(ada: Payer, field: str) -> None:
    """
    422 with the field; not even a customer is created.
    """
    answer = ada.admin.subscribe(**{field: f"{field}_nobody_knows"})

    assert refusal(answer) == (422, "unknown_reference")
    assert pointers(answer) == [f"/{field}"]
    assert ada.customers == []


def test_an_unknown_card_in_an_order_is_unprocessable(ada: Payer) -> None:
    """
    422 with the field; no subscription is begun.
    """
    answer = ada.subscribe(payment_method="pm_nobody_knows")

    assert answer.status_code == 422
    assert pointers(answer) == ["/payment_method"]
    assert ada.subscriptions == []


def test_a_price_in_another_currency_is_unprocessable(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    A customer pays in one currency; the first subscription is unchanged.
    """
    first = ada.subscribed()

    answer = ada.admin.subscribe(price=stack.dollars)

    assert refusal(answer) == (422, "gateway_refused")
    [theirs] = ada.status["subscriptions"]
    assert (theirs["id"], theirs["status"]) == (first["id"], "active")
    assert ada.taken == [BASIC]


def test_who_has_ended_elsewhere_may_subscribe_again_at_once(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Ended in the dashboard, and its event never comes: the gateway is checked first.
    """
    first = ada.subscribed()["id"]
    [subscription] = ada.living
    stack.sandbox.plan("never_made", "customer.subscription.deleted")
    stack.wire.delete(f"subscriptions/{subscription['id']}")

    again = ada.subscribe()

    assert again.status_code == 201, again.text
    assert again.json()["id"] != first
    assert ada.get(f"subscriptions/{first}")["status"] == "canceled"
    assert [it["status"] for it in ada.living] == ["active"]


def test_a_change_to_a_product_that_has_ended_elsewhere_is_made(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Otherwise the refusal would rest on a subscription that has ended.
    """
    ada.subscribed()
    [first] = ada.living
    second = ada.subscribe(product=stack.other_product).json()
    stack.settle()
    stack.sandbox.plan("never_made", "customer.subscription.deleted")
    stack.wire.delete(f"subscriptions/{first['id']}")

    answer = ada.admin.change(second["id"], price=stack.pro)

    assert (answer.status_code, answer.json()["price"]) == (200, stack.pro)
