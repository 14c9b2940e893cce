"""Subscriptions over real HTTP, with a sandbox in Stripe's place."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from payments_core.subscription import QUANTITY_MAX
from support import sales as shop
from support.sales import (
    ASKING,
    BASIC,
    FAILING,
    GOOD,
    PRO,
    REFUSED,
    Payer,
    Sales,
    pointers,
    refusal,
)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def period_end(subscription: Any) -> datetime:
    """Return when the gateway's own subscription is next to be paid."""
    [item] = subscription["items"]["data"]
    return datetime.fromtimestamp(item["current_period_end"], UTC)


# Begun


@pytest.mark.parametrize("by", ["product", "price"])
def test_a_subscription_is_begun_by_product_or_price(
    sales: Sales, ada: Payer, by: str
) -> None:
    """
    A product is sold at its default price, a price by an administrator. The answer is
    the subscription, paid.
    """
    ada.give_card()
    wanted = {"product": sales.product, "price": sales.basic}[by]
    seller = {"product": ada, "price": ada.admin}[by]

    answer = seller.subscribe(**{by: wanted})

    [theirs] = ada.subscriptions
    told = answer.json()
    assert answer.status_code == 201
    assert (told["status"], told["product"], told["price"], told["quantity"]) == (
        "active",
        sales.product,
        sales.basic,
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
    The events of a subscription that we began say what we know already.
    """
    ada.give_card()
    ada.subscribe()
    before = ada.status

    ada.sales.settle()

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
    Nothing is taken; the date is the trial's end, and the user may enter.
    """
    told = ada.admin.subscribed(trial_days=10)

    status = ada.status
    assert told["status"] == "trialing"
    assert status["payment_expire_date"] == told["trial_end"]
    assert status["entitled"] is True
    assert status["subscriptions"][0]["paid_through"] is None
    assert ada.taken == []


def test_a_trial_that_ends_is_paid_for(ada: Payer) -> None:
    """
    Then it is an ordinary month.
    """
    told = ada.admin.subscribed(trial_days=2)

    ada.sales.pass_by("2 days")
    ada.sales.pass_by("2 hours")

    status = ada.status
    assert status["subscriptions"][0]["status"] == "active"
    assert status["payment_status"] == "paid"
    assert moment(status["payment_expire_date"]) > moment(told["trial_end"])
    assert ada.taken == [BASIC]


def test_a_trial_needs_no_card(ada: Payer) -> None:
    """
    It begins at once; there is nothing to be paid yet.
    """
    answer = ada.admin.subscribe(trial_days=10)

    assert (answer.status_code, answer.json()["status"]) == (201, "trialing")


def test_a_trial_that_ends_without_a_card_is_not_paid(ada: Payer) -> None:
    """
    There is nothing to take it from: the status says that it failed.
    """
    told = ada.admin.subscribed_without_card(trial_days=2)

    ada.sales.pass_by("2 days")
    ada.sales.pass_by("2 hours")

    status = ada.status
    assert status["payment_status"] == "failed"
    assert status["payment_expire_date"] == told["trial_end"]
    assert ada.taken == []


def test_an_order_that_no_bill_can_hold_is_answered(ada: Payer) -> None:
    """
    The most that may be ordered, of what costs: the gateway's limits are its own.
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
    Whoever looks at Stripe's dashboard finds the user; whoever heals, the intent.
    """
    ada.subscribed()

    [customer] = ada.customers
    [theirs] = ada.subscriptions
    for made, kind in ((customer, "create_customer"), (theirs, "start_subscription")):
        assert made["metadata"]["user_id"] == ada.id
        intent = ada.get(f"/intents/{made['metadata']['intent_id']}")
        assert (intent["kind"], intent["state"]) == (kind, "succeeded")


def test_a_second_living_one_of_the_product_is_refused(
    sales: Sales, ada: Payer
) -> None:
    """
    At any price: 409 that names the one there is. Another product is another.
    """
    first = ada.subscribed()

    for order in (
        {"product": sales.product},
        {"price": sales.basic},
        {"price": sales.pro},
    ):
        answer = ada.admin.subscribe(**order)
        assert refusal(answer) == (409, "already_subscribed")
        assert answer.json()["subscription_id"] == first["id"]
    other = ada.subscribe(product=sales.other_product)

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
    400 with the field and the reason; the gateway is not asked.
    """
    before = list(ada.sales.posts)

    answer = ada.call("POST", "subscriptions", body)

    assert answer.status_code == 400
    assert pointers(answer) != []
    assert ada.sales.posts == before


@pytest.mark.parametrize("field", ["product", "price"])
def test_what_is_not_sold_is_unprocessable(ada: Payer, field: str) -> None:
    """
    422 with the field; not even a customer is made.
    """
    answer = ada.admin.subscribe(**{field: f"{field}_nobody_knows"})

    assert refusal(answer) == (422, "unknown_reference")
    assert pointers(answer) == [f"/{field}"]
    assert ada.customers == []


def test_an_unknown_card_in_an_order_is_unprocessable(ada: Payer) -> None:
    """
    422 with the field; nothing is begun.
    """
    answer = ada.subscribe(payment_method="pm_nobody_knows")

    assert answer.status_code == 422
    assert pointers(answer) == ["/payment_method"]
    assert ada.subscriptions == []


def test_a_price_in_another_currency_is_unprocessable(sales: Sales, ada: Payer) -> None:
    """
    A customer pays in one currency; the first subscription stays as it is.
    """
    first = ada.subscribed()

    answer = ada.admin.subscribe(price=sales.dollars)

    assert refusal(answer) == (422, "gateway_refused")
    [theirs] = ada.status["subscriptions"]
    assert (theirs["id"], theirs["status"]) == (first["id"], "active")
    assert ada.taken == [BASIC]


# The bank has the first word


def test_without_a_card_the_browser_goes_on(ada: Payer) -> None:
    """
    201, incomplete, with the secret of the payment that is awaited; nothing granted.
    """
    answer = ada.subscribe()
    ada.sales.settle()

    told = answer.json()
    assert (answer.status_code, told["status"]) == (201, "incomplete")
    assert told["client_secret"]
    assert ada.standing == ("pending", False)
    assert ada.taken == []


def test_what_was_begun_without_a_card_is_paid_in_the_browser(ada: Payer) -> None:
    """
    The browser confirms with a card: the webhook says so, and the user may enter.
    """
    ada.subscribe()
    [theirs] = ada.subscriptions

    intent = ada.sales.asked_of(theirs)
    ada.sales.wire.post(f"payment_intents/{intent}/confirm", payment_method=GOOD)
    ada.sales.settle()

    assert ada.standing == ("paid", True)
    assert ada.status["subscriptions"][0]["status"] == "active"


def test_a_bank_that_asks_is_answered_in_the_browser(ada: Payer) -> None:
    """
    3-D Secure: 201 with the secret, pending; once confirmed, active and paid.
    """
    ada.give_card(ASKING)
    answer = ada.subscribe()
    ada.sales.settle()
    told, waiting = answer.json(), ada.standing
    [theirs] = ada.subscriptions

    ada.sales.sandbox.authenticate(ada.sales.asked_of(theirs))
    ada.sales.settle()

    assert (answer.status_code, told["status"]) == (201, "incomplete")
    assert told["client_secret"]
    assert waiting == ("pending", False)
    assert ada.standing == ("paid", True)
    [shown] = ada.status["subscriptions"]
    assert (shown["id"], shown["status"]) == (told["id"], "active")
    assert ada.taken == [BASIC]


def test_a_refused_confirmation_grants_nothing(ada: Payer) -> None:
    """
    The user may not enter, then or when the gateway gives up.
    """
    ada.give_card(ASKING)
    ada.subscribe()
    [theirs] = ada.subscriptions

    ada.sales.sandbox.authenticate(ada.sales.asked_of(theirs), succeed=False)
    ada.sales.settle()
    refused = ada.standing
    ada.sales.pass_by("24 hours")

    assert refused[0] in {"pending", "failed"}
    assert refused[1] is False
    assert ada.status["entitled"] is False
    assert ada.status["subscriptions"][0]["status"] == "incomplete_expired"
    assert ada.taken == []


def test_a_confirmed_payment_that_is_declined_grants_nothing(ada: Payer) -> None:
    """
    The holder confirms, and then there is no money: it waits for another card.
    """
    ada.give_card("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds")
    answer = ada.subscribe()
    [theirs] = ada.subscriptions

    ada.sales.sandbox.authenticate(ada.sales.asked_of(theirs))
    ada.sales.settle()

    assert answer.status_code == 201
    assert ada.standing[0] in {"pending", "failed"}
    assert ada.status["entitled"] is False
    assert ada.taken == []


def test_what_a_bank_refused_may_be_ended_and_begun_anew(ada: Payer) -> None:
    """
    It lives until the gateway gives it up, and says so; who does not wait ends it.
    """
    ada.give_card(ASKING)
    first = ada.subscribe().json()
    [theirs] = ada.subscriptions
    ada.sales.sandbox.authenticate(ada.sales.asked_of(theirs), succeed=False)
    ada.sales.settle()

    second = ada.subscribe(payment_method=GOOD)
    ended = ada.call("DELETE", f"subscriptions/{first['id']}")
    third = ada.subscribe(payment_method=GOOD)
    ada.sales.settle()

    assert refusal(second) == (409, "already_subscribed")
    assert ended.status_code == 200
    assert ended.json()["status"] in {"canceled", "incomplete_expired"}
    assert third.status_code == 201
    assert ada.standing == ("paid", True)
    assert ada.taken == [BASIC]


@pytest.mark.parametrize(
    "change", [{"quantity": 2}, {"cancel_at_period_end": True}], ids=repr
)
def test_a_change_of_what_awaits_its_first_payment_is_answered(
    ada: Payer, change: dict[str, Any]
) -> None:
    """
    Made or refused, it is no error of ours; nothing is granted by it.
    """
    id_ = ada.subscribe().json()["id"]

    answer = ada.change(id_, **change)
    ada.sales.settle()

    assert answer.status_code in {200, 409, 422}
    assert ada.standing == ("pending", False)


def test_a_declined_first_payment_leaves_nothing_in_the_way(ada: Payer) -> None:
    """
    402 with the bank's word, nothing live; a good card works at once.
    """
    ada.give_card(FAILING)

    answer = ada.subscribe()
    live, standing = ada.living, ada.standing
    ada.give_card(GOOD)
    again = ada.subscribe()
    ada.sales.settle()

    assert refusal(answer) == (402, "card_declined")
    assert answer.json()["decline_code"] == "generic_decline"
    assert pointers(answer) in ([], ["/payment_method"])
    assert live == []
    assert standing[1] is False
    assert (again.status_code, again.json()["status"]) == (201, "active")
    assert ada.standing == ("paid", True)
    assert ada.taken == [BASIC]


@pytest.mark.parametrize("card", [FAILING, REFUSED])
def test_a_declined_card_of_the_order_leaves_nothing_either(
    ada: Payer, card: str
) -> None:
    """
    Declined when it is kept or when it is charged: 402, and the next order is good.
    """
    answer = ada.subscribe(payment_method=card)
    live = ada.living
    again = ada.subscribe(payment_method=GOOD)

    assert refusal(answer) == (402, "card_declined")
    assert live == []
    assert (again.status_code, again.json()["status"]) == (201, "active")


# Read


def test_subscriptions_are_listed_and_read(ada: Payer) -> None:
    """
    Each with the date until which it is paid for; the status has the same.
    """
    told = ada.subscribed()

    listed = ada.get("subscriptions")
    one = ada.get(f"subscriptions/{told['id']}")

    assert listed == {"items": [one]}
    assert one == {**told, "paid_through": told["current_period_end"]}
    assert ada.status["subscriptions"] == [one]


def test_nobody_has_subscriptions_to_begin_with(ada: Payer) -> None:
    """
    An empty list is an answer.
    """
    assert ada.get("subscriptions") == {"items": []}


def test_ended_ones_are_listed_too(ada: Payer) -> None:
    """
    The first begun first.
    """
    first = ada.subscribed()
    ada.call("DELETE", f"subscriptions/{first['id']}").raise_for_status()
    ada.sales.pass_by("1 minute")
    second = ada.subscribe().json()

    listed = ada.get("subscriptions")["items"]

    assert [(it["id"], it["status"]) for it in listed] == [
        (first["id"], "canceled"),
        (second["id"], "active"),
    ]


def requests_about(id_: str) -> list[tuple[str, str, Any]]:
    """Return every request about one subscription."""
    one = f"subscriptions/{id_}"
    return [
        ("GET", one, None),
        ("PATCH", one, {"quantity": 2}),
        ("POST", f"{one}/preview", {"quantity": 2}),
        ("DELETE", one, None),
        ("DELETE", f"{one}?when=period_end", None),
    ]


def test_t41_another_users_subscription_does_not_exist(
    sales: Sales, ada: Payer
) -> None:
    """
    404 in the other's name and in one's own; nothing happens to it.
    """
    bob = sales.user()
    theirs = bob.subscribed()
    assert ada.get("subscriptions") == {"items": []}
    before = bob.get("subscriptions")

    for method, path, body in requests_about(theirs["id"]):
        in_own_name = ada.call(method, path, body)
        in_theirs = ada.call(method, f"/users/{bob.id}/{path}", body)
        assert refusal(in_own_name) == (404, "subscription_not_found")
        assert refusal(in_theirs) == (404, "account_not_found")
    for method in ("GET", "POST"):
        path = f"/users/{bob.id}/subscriptions"
        answer = ada.call(method, path, {"product": sales.product})
        assert refusal(answer) == (404, "account_not_found")

    assert bob.get("subscriptions") == before
    assert ada.customers == []


@pytest.mark.parametrize("id_", ["x", "sub_1", "a%00b", "é", "x" * 300])
def test_a_subscription_that_is_none_does_not_exist(ada: Payer, id_: str) -> None:
    """
    404, whatever it looks like, for every request.
    """
    _ = ada.status

    for method, path, body in requests_about(id_):
        assert ada.call(method, path, body).status_code == 404


def test_without_a_token_nothing_is_told(ada: Payer) -> None:
    """
    401 on every route, before anything else is looked at.
    """
    root = f"{ada.sales.service.url}/users/{ada.id}"
    asked = [*requests_about("x"), ("GET", "subscriptions", None)]
    urls = [(method, f"{root}/{path}") for method, path, _ in asked]
    urls += [
        ("POST", f"{root}/subscriptions"),
        ("GET", f"{ada.sales.service.url}/intents/x"),
    ]

    for method, url in urls:
        answer = httpx.request(method, url, trust_env=False)
        assert answer.status_code == 401
        assert shop.problem_of(answer)


def test_an_administrator_may_do_all_of_it(sales: Sales, ada: Payer) -> None:
    """
    By the user's e-mail; what is done is the user's.
    """
    _ = ada.status
    root, token = f"/users/{ada.id}@example.com", sales.world.admin()
    ada.give_card()

    begun = ada.call(
        "POST", f"{root}/subscriptions", {"price": sales.basic}, token=token
    )
    one = f"{root}/subscriptions/{begun.json()['id']}"
    changed = ada.call("PATCH", one, {"quantity": 2}, token=token)
    ended = ada.call("DELETE", one, token=token)

    assert [it.status_code for it in (begun, changed, ended)] == [201, 200, 200]
    assert ada.get("subscriptions")["items"][0]["status"] == "canceled"


# Changed


def test_a_quantity_is_changed(ada: Payer) -> None:
    """
    At once, and what it costs more is taken at once.
    """
    id_ = ada.subscribed()["id"]

    answer = ada.change(id_, quantity=2)
    ada.sales.settle()

    assert (answer.status_code, answer.json()["quantity"]) == (200, 2)
    assert answer.json()["pending_update"] is None
    assert ada.get(f"subscriptions/{id_}")["quantity"] == 2
    assert ada.taken == [BASIC, BASIC]


def test_a_price_is_changed_up_and_down(sales: Sales, ada: Payer) -> None:
    """
    Up is paid at once; down gives nothing back, but is credited.
    """
    id_ = ada.subscribed()["id"]

    up = ada.admin.change(id_, price=sales.pro)
    ada.sales.settle()
    down = ada.admin.change(id_, price=sales.basic)
    ada.sales.settle()

    assert (up.status_code, up.json()["price"]) == (200, sales.pro)
    assert (down.status_code, down.json()["price"]) == (200, sales.basic)
    assert ada.taken == [BASIC, PRO - BASIC]
    assert ada.standing == ("paid", True)


def test_an_end_is_planned_and_taken_back(ada: Payer) -> None:
    """
    Either way the subscription lives on until then.
    """
    id_ = ada.subscribed()["id"]

    planned = ada.change(id_, cancel_at_period_end=True)
    shown = ada.get(f"subscriptions/{id_}")
    back = ada.change(id_, cancel_at_period_end=False)
    ada.sales.settle()

    assert planned.json()["cancel_at_period_end"] is True
    assert (shown["cancel_at_period_end"], shown["status"]) == (True, "active")
    assert back.json()["cancel_at_period_end"] is False
    assert ada.get(f"subscriptions/{id_}")["cancel_at_period_end"] is False


def test_a_change_may_be_of_both(sales: Sales, ada: Payer) -> None:
    """
    Price, quantity and the planned end in one request.
    """
    id_ = ada.subscribed()["id"]

    answer = ada.admin.change(
        id_, price=sales.pro, quantity=2, cancel_at_period_end=True
    )

    told = answer.json()
    assert (answer.status_code, told["price"], told["quantity"]) == (200, sales.pro, 2)
    assert told["cancel_at_period_end"] is True


def test_a_change_of_both_that_is_refused_changes_neither(
    sales: Sales, ada: Payer
) -> None:
    """
    422 says that nothing was done: the subscription goes on after its period.
    """
    id_ = ada.subscribed()["id"]

    answer = ada.admin.change(id_, price=sales.dollars, cancel_at_period_end=True)
    ada.sales.settle()

    assert answer.status_code == 422
    assert ada.get(f"subscriptions/{id_}")["cancel_at_period_end"] is False


@pytest.mark.parametrize(
    "body",
    [
        {},
        None,
        [],
        {"price": None},
        {"quantity": None},
        {"cancel_at_period_end": None},
        {"cancel_at_period_end": 1},
        {"cancel_at_period_end": "true"},
        {"quantity": 0},
        {"quantity": True},
        {"quantity": "2"},
        {"quantity": 10**9},
        {"price": "a b"},
        {"proration_date": "2026-01-01T00:00:00Z"},
        {"quantity": 2, "proration_date": "2026-01-01T00:00:00"},
        {"quantity": 2, "proration_date": 1},
        {"quantity": 2, "proration_date": None},
        {"status": "active"},
        {"cancel_at_period_end": True, "trial_days": 1},
        {"product": None},
        {"product": "a b"},
        {"product": "prod_1", "price": "price_1"},
        {"cancel_at_period_end": True, "proration_date": "2026-01-01T00:00:00Z"},
    ],
    ids=repr,
)
def test_a_change_that_is_none_is_refused(begun: tuple[Payer, str], body: Any) -> None:
    """
    400 for the change and for its preview; the subscription stays as it is.
    """
    ada, id_ = begun
    one = f"subscriptions/{id_}"
    before, posts = ada.get(one), list(ada.sales.posts)
    content = {"content": b"null"} if body is None else {"body": body}

    for answer in (
        ada.call("PATCH", one, **content),
        ada.call("POST", f"{one}/preview", **content),
    ):
        assert answer.status_code == 400
        assert shop.problem_of(answer)["code"] in {"invalid_body", "invalid_value"}

    assert ada.get(one) == before
    assert ada.sales.posts == posts


@pytest.fixture(scope="module")
def begun(sales: Sales) -> tuple[Payer, str]:
    """Somebody with a subscription that no test changes."""
    payer = sales.user()
    return payer, payer.subscribed()["id"]


def test_a_change_to_what_is_not_sold_is_unprocessable(
    begun: tuple[Payer, str],
) -> None:
    """
    422 with the field, for the change and for its preview.
    """
    ada, id_ = begun
    one, admin = f"subscriptions/{id_}", ada.admin

    for who, field in ((ada, "product"), (admin, "product"), (admin, "price")):
        wanted = {field: f"{field}_nobody_knows"}
        for method, path in (("PATCH", one), ("POST", f"{one}/preview")):
            answer = who.call(method, path, wanted)
            assert refusal(answer) == (422, "unknown_reference")
            assert pointers(answer) == [f"/{field}"]


def test_a_change_to_another_currency_is_unprocessable(
    sales: Sales, begun: tuple[Payer, str]
) -> None:
    """
    422 for the change and for its preview; nothing changes.
    """
    ada, id_ = begun
    one = f"subscriptions/{id_}"
    before = ada.get(one)

    for answer in (
        ada.admin.call("PATCH", one, {"price": sales.dollars}),
        ada.admin.call("POST", f"{one}/preview", {"price": sales.dollars}),
    ):
        assert refusal(answer) == (422, "gateway_refused")

    assert ada.get(one) == before


def test_a_change_to_a_product_that_one_has_is_refused(
    sales: Sales, ada: Payer
) -> None:
    """
    It would be a second one of it: 409, with the one there is.
    """
    first = ada.subscribed()
    second = ada.subscribe(product=sales.other_product).json()

    answer = ada.admin.change(second["id"], price=sales.pro)

    assert refusal(answer) == (409, "already_subscribed")
    assert answer.json()["subscription_id"] == first["id"]


def test_an_ended_subscription_cannot_be_changed(ada: Payer) -> None:
    """
    409, for its preview as well.
    """
    id_ = ada.subscribed()["id"]
    ada.call("DELETE", f"subscriptions/{id_}").raise_for_status()

    change = ada.change(id_, quantity=2)
    preview = ada.call("POST", f"subscriptions/{id_}/preview", {"quantity": 2})

    assert refusal(change) == (409, "subscription_ended")
    assert refusal(preview) == (409, "subscription_ended")


def test_a_preview_of_less_owes_nothing(sales: Sales, ada: Payer) -> None:
    """
    What was paid too much is credited, not given back: 0 is due, and 0 is taken.
    """
    id_ = ada.admin.subscribed(price=sales.pro)["id"]

    preview = ada.admin.call(
        "POST", f"subscriptions/{id_}/preview", {"price": sales.basic}
    )
    change = ada.admin.change(id_, price=sales.basic)

    told = preview.json()
    assert told["due"] == {"amount_minor": 0, "currency": "eur"}
    assert sum(it["amount_minor"] for it in told["lines"]) == BASIC - PRO
    assert change.status_code == 200
    assert ada.taken == [PRO]


def test_a_body_that_is_too_large_or_no_json_is_refused(
    begun: tuple[Payer, str],
) -> None:
    """
    413 and 415, on every route that takes a body.
    """
    ada, id_ = begun
    one = f"subscriptions/{id_}"

    for method, path in (
        ("POST", "subscriptions"),
        ("PATCH", one),
        ("POST", f"{one}/preview"),
    ):
        large = ada.call(method, path, content=b'"' + b"x" * 600_000 + b'"')
        plain = httpx.request(
            method,
            f"{ada.sales.service.url}/users/{ada.id}/{path}",
            content=b"{}",
            headers={
                "Authorization": f"Bearer {ada.token}",
                "Content-Type": "text/plain",
            },
            trust_env=False,
        )
        assert refusal(large)[0] == 413
        assert refusal(plain)[0] == 415


def test_a_change_to_what_it_is_already_costs_nothing(ada: Payer) -> None:
    """
    200, and nothing is taken.
    """
    told = ada.subscribed()

    answer = ada.admin.change(
        told["id"], price=told["price"], quantity=told["quantity"]
    )
    ada.sales.settle()

    assert answer.status_code == 200
    assert ada.get(f"subscriptions/{told['id']}")["quantity"] == 1
    assert ada.taken == [BASIC]


def test_a_preview_changes_nothing(sales: Sales, ada: Payer) -> None:
    """
    Looking is free, as often as one likes.
    """
    id_ = ada.subscribed()["id"]
    before = ada.subscriptions

    previews = [
        ada.admin.call(
            "POST", f"subscriptions/{id_}/preview", {"price": sales.pro}
        ).json()
        for _ in range(2)
    ]

    assert previews[0] == previews[1]
    assert ada.subscriptions == before
    assert ada.taken == [BASIC]


# An upgrade is held until it is paid


def upgraded_in_vain(ada: Payer) -> tuple[str, httpx.Response]:
    """Ask for more than the card will pay for."""
    id_ = ada.subscribed()["id"]
    ada.sales.sandbox.set_card(ada.card, declines="insufficient_funds")
    return id_, ada.admin.change(id_, price=ada.sales.pro)


def test_an_upgrade_that_is_not_paid_is_held(sales: Sales, ada: Payer) -> None:
    """
    200 that says what is waited for; the price is the old one, what is paid stays.
    """
    id_, answer = upgraded_in_vain(ada)
    ada.sales.settle()

    told = answer.json()
    assert answer.status_code == 200
    assert (told["price"], told["status"]) == (sales.basic, "active")
    assert told["pending_update"]["price"] == sales.pro
    assert told["client_secret"]
    shown = ada.get(f"subscriptions/{id_}")
    assert (shown["price"], shown["pending_update"]) == (
        sales.basic,
        told["pending_update"],
    )
    assert ada.standing == ("paid", True)
    assert ada.taken == [BASIC]


def test_an_upgrade_that_is_never_paid_is_given_up(sales: Sales, ada: Payer) -> None:
    """
    After a day it is forgotten: the price is the old one, nothing was granted.
    """
    id_, _ = upgraded_in_vain(ada)
    ada.sales.settle()
    before = ada.status["payment_expire_date"]

    sales.pass_by("24 hours")

    shown = ada.get(f"subscriptions/{id_}")
    assert (shown["price"], shown["pending_update"]) == (sales.basic, None)
    assert shown["status"] == "active"
    assert ada.status["payment_expire_date"] == before
    assert ada.standing == ("paid", True)
    assert ada.taken == [BASIC]


def test_an_upgrade_that_a_bank_confirms_is_made(sales: Sales, ada: Payer) -> None:
    """
    3-D Secure: held with a secret; once confirmed in the browser, granted and paid.
    """
    ada.give_card(ASKING)
    id_ = ada.subscribe().json()["id"]
    [theirs] = ada.subscriptions
    sales.sandbox.authenticate(sales.asked_of(theirs))
    sales.settle()

    held = ada.admin.change(id_, price=sales.pro)
    [theirs] = ada.subscriptions
    sales.sandbox.authenticate(sales.asked_of(theirs))
    sales.settle()

    assert held.json()["price"] == sales.basic
    assert held.json()["client_secret"]
    shown = ada.get(f"subscriptions/{id_}")
    assert (shown["price"], shown["pending_update"]) == (sales.pro, None)
    assert ada.taken == [BASIC, PRO - BASIC]


# Renewed


def test_a_renewal_moves_the_date(ada: Payer) -> None:
    """
    The next month is paid for by itself.
    """
    ada.subscribed()
    before = moment(ada.status["payment_expire_date"])

    ada.sales.pass_by("1 month")
    ada.sales.pass_by("2 hours")

    assert moment(ada.status["payment_expire_date"]) > before
    assert ada.standing == ("paid", True)
    assert ada.taken == [BASIC, BASIC]


# Ended


def test_ended_now_keeps_the_paid_time(ada: Payer) -> None:
    """
    The subscription is canceled; until the date the user may enter.
    """
    told = ada.subscribed()

    answer = ada.call("DELETE", f"subscriptions/{told['id']}")
    ada.sales.settle()

    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert answer.json()["ended_at"]
    [theirs] = ada.subscriptions
    assert theirs["status"] == "canceled"
    status = ada.status
    assert status["payment_expire_date"] == told["current_period_end"]
    assert ada.standing == ("paid", True)


@pytest.mark.parametrize("when", ["now", "period_end"])
def test_ended_twice_is_ended_once(ada: Payer, when: str) -> None:
    """
    200 with the same state; the gateway is asked no more.
    """
    path = f"subscriptions/{ada.subscribed()['id']}?when={when}"
    first = ada.call("DELETE", path)
    posts = list(ada.sales.posts)

    again = ada.call("DELETE", path)

    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json() == first.json()
    assert ada.sales.posts == posts


def test_ended_with_the_period_lives_until_then(ada: Payer) -> None:
    """
    Planned first; canceled when the time has come, and nothing more is taken.
    """
    told = ada.subscribed()
    id_ = told["id"]

    answer = ada.call("DELETE", f"subscriptions/{id_}?when=period_end")
    shown = ada.get(f"subscriptions/{id_}")
    ada.sales.pass_by("1 month")
    ada.sales.pass_by("2 hours")

    assert answer.status_code == 200
    assert answer.json()["cancel_at_period_end"] is True
    assert (shown["status"], shown["cancel_at_period_end"]) == ("active", True)
    after = ada.get(f"subscriptions/{id_}")
    assert after["status"] == "canceled"
    assert ada.status["payment_expire_date"] == told["current_period_end"]
    assert ada.taken == [BASIC]


def test_what_is_to_end_may_be_ended_now(ada: Payer) -> None:
    """
    A planned end is no obstacle; after it, a planned end is none any more.
    """
    one = f"subscriptions/{ada.subscribed()['id']}"
    ada.call("DELETE", f"{one}?when=period_end").raise_for_status()

    now = ada.call("DELETE", one)
    planned = ada.call("DELETE", f"{one}?when=period_end")

    assert (now.status_code, now.json()["status"]) == (200, "canceled")
    assert (planned.status_code, planned.json()["status"]) == (200, "canceled")


@pytest.mark.parametrize("when", ["tomorrow", "", "NOW", "now%00", "at_period_end"])
def test_ended_at_another_time_is_refused(begun: tuple[Payer, str], when: str) -> None:
    """
    400 with the field; the subscription lives.
    """
    ada, id_ = begun

    answer = ada.call("DELETE", f"subscriptions/{id_}?when={when}")

    assert refusal(answer) == (400, "invalid_value")
    assert pointers(answer) == ["/when"]
    assert ada.get(f"subscriptions/{id_}")["status"] == "active"


def test_what_ended_may_be_begun_anew(ada: Payer) -> None:
    """
    A canceled one is in nobody's way.
    """
    first = ada.subscribed()
    ada.call("DELETE", f"subscriptions/{first['id']}").raise_for_status()

    second = ada.subscribe()
    ada.sales.settle()

    assert second.status_code == 201
    assert second.json()["id"] != first["id"]
    assert [it["status"] for it in ada.subscriptions] == ["canceled", "active"]


# Idempotency keys


def test_p28_the_same_order_under_a_key_is_one(ada: Payer) -> None:
    """
    The same bytes, marked as a replay, although a second one would be refused.
    """
    ada.give_card()
    first = ada.subscribe(key="one")
    posts = list(ada.sales.posts)

    again = ada.subscribe(key="one")

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert ada.sales.posts == posts
    assert ada.taken == [BASIC]


def test_t50_the_same_key_with_another_order_is_refused(
    sales: Sales, ada: Payer
) -> None:
    """
    422; there is one subscription.
    """
    ada.give_card()
    ada.subscribe(key="one")

    answer = ada.subscribe(key="one", product=sales.other_product)

    assert refusal(answer) == (422, "idempotency_key_reused")
    assert len(ada.subscriptions) == 1


def test_t52_an_order_under_anothers_key_is_ones_own(sales: Sales, ada: Payer) -> None:
    """
    Two users, the same key and order: two subscriptions.
    """
    bob = sales.user()
    for payer in (ada, bob):
        payer.give_card()

    answers = [payer.subscribe(key="shared") for payer in (ada, bob)]

    assert [it.status_code for it in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]
    assert (ada.taken, bob.taken) == ([BASIC], [BASIC])


def test_p28_the_same_change_under_a_key_is_one(ada: Payer) -> None:
    """
    A change and an end are told again as they were, also after others.
    """
    id_ = ada.subscribed()["id"]
    first = ada.change(id_, key="one", quantity=2)
    ada.change(id_, quantity=3)
    ended = ada.call("DELETE", f"subscriptions/{id_}", key="two")
    posts = list(ada.sales.posts)

    again = ada.change(id_, key="one", quantity=2)
    ended_again = ada.call("DELETE", f"subscriptions/{id_}", key="two")

    assert (again.status_code, again.content) == (200, first.content)
    assert (ended_again.status_code, ended_again.content) == (200, ended.content)
    for answer in (again, ended_again):
        assert answer.headers["idempotent-replayed"] == "true"
    assert ada.sales.posts == posts


def test_t50_an_end_under_the_key_of_another_is_refused(ada: Payer) -> None:
    """
    Now and with the period are two requests: 422, and the first one counts.
    """
    one = f"subscriptions/{ada.subscribed()['id']}"
    ada.call("DELETE", f"{one}?when=period_end", key="one").raise_for_status()

    answer = ada.call("DELETE", one, key="one")

    assert refusal(answer) == (422, "idempotency_key_reused")
    assert ada.get(one)["status"] == "active"


def test_t50_one_key_for_two_subscriptions_is_refused(sales: Sales, ada: Payer) -> None:
    """
    The same body about another thing is another request: 422.
    """
    first = ada.subscribed()["id"]
    second = ada.subscribe(product=sales.other_product).json()["id"]
    ada.change(first, key="one", quantity=2).raise_for_status()

    answer = ada.change(second, key="one", quantity=2)

    assert refusal(answer) == (422, "idempotency_key_reused")
    assert ada.get(f"subscriptions/{second}")["quantity"] == 1


@pytest.mark.parametrize("key", ["", "a b", "k" * 129])
def test_t53_a_key_that_is_none_is_refused_everywhere(
    begun: tuple[Payer, str], key: str
) -> None:
    """
    400 on every route that takes one; the subscription stays as it is.
    """
    ada, id_ = begun
    one = f"subscriptions/{id_}"
    before = ada.get(one)

    for answer in (
        ada.subscribe(key=key, product=ada.sales.other_product),
        ada.change(id_, key=key, quantity=2),
        ada.call("DELETE", one, key=key),
    ):
        assert refusal(answer) == (400, "invalid_idempotency_key")

    assert ada.get(one) == before


# Operations


def test_t41_an_operation_is_its_users_and_the_administrators(
    sales: Sales, ada: Payer
) -> None:
    """
    200 for one's own, with what the answer was; 404 for another's; 200 for an
    administrator.
    """
    told, bob = ada.subscribed(), sales.user()
    [theirs] = ada.subscriptions
    path = f"/intents/{theirs['metadata']['intent_id']}"
    _ = bob.status

    own, others = ada.call("GET", path), bob.call("GET", path)
    admins = ada.call("GET", path, token=sales.world.admin())

    assert own.status_code == 200
    assert own.json()["result"] == told
    assert own.json()["refusal"] is None
    assert refusal(others) == (404, "intent_not_found")
    assert admins.json() == own.json()


def test_a_refused_operation_says_why(ada: Payer) -> None:
    """
    The bank's word is in the intent, as it was in the answer.
    """
    ada.give_card(FAILING)
    ada.subscribe()
    [theirs] = ada.subscriptions

    intent = ada.get(f"/intents/{theirs['metadata']['intent_id']}")

    assert (intent["state"], intent["result"]) == ("declined", None)
    assert intent["refusal"]["code"] == "card_declined"
    assert intent["refusal"]["decline_code"] == "generic_decline"


@pytest.mark.parametrize(
    "id_",
    [
        "x",
        "é",
        "x" * 300,
        "a%00b",
    ],
)
def test_an_operation_that_is_none_does_not_exist(ada: Payer, id_: str) -> None:
    """
    404, whatever it looks like.
    """
    _ = ada.status

    assert ada.call("GET", f"/intents/{id_}").status_code == 404
