"""A subscription is changed over HTTP: quantity, price, planned end, upgrades."""

from typing import Any

import httpx
import pytest

from support.plain_http import TLS
from support.service_with_sandbox import (
    ASKING,
    BASIC,
    PRO,
    Payer,
    ServiceWithSandbox,
    moment,
    pointers,
    problem_of,
    refusal,
)

# Changed


def test_a_quantity_is_changed(ada: Payer) -> None:
    """
    At once, and the extra cost is charged at once.
    """
    id_ = ada.subscribed()["id"]

    answer = ada.change(id_, quantity=2)
    ada.stack.settle()

    assert (answer.status_code, answer.json()["quantity"]) == (200, 2)
    assert answer.json()["pending_update"] is None
    assert ada.get(f"subscriptions/{id_}")["quantity"] == 2
    assert ada.taken == [BASIC, BASIC]


def test_a_price_is_changed_up_and_down(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    An upgrade is charged at once; a downgrade refunds nothing, but is credited.
    """
    id_ = ada.subscribed()["id"]

    up = ada.admin.change(id_, price=stack.pro)
    ada.stack.settle()
    down = ada.admin.change(id_, price=stack.basic)
    ada.stack.settle()

    assert (up.status_code, up.json()["price"]) == (200, stack.pro)
    assert (down.status_code, down.json()["price"]) == (200, stack.basic)
    assert ada.taken == [BASIC, PRO - BASIC]
    assert ada.standing == ("paid", True)


def test_an_end_is_planned_and_taken_back(ada: Payer) -> None:
    """
    Either way the subscription is active until then.
    """
    id_ = ada.subscribed()["id"]

    planned = ada.change(id_, cancel_at_period_end=True)
    shown = ada.get(f"subscriptions/{id_}")
    back = ada.change(id_, cancel_at_period_end=False)
    ada.stack.settle()

    assert planned.json()["cancel_at_period_end"] is True
    assert (shown["cancel_at_period_end"], shown["status"]) == (True, "active")
    assert back.json()["cancel_at_period_end"] is False
    assert ada.get(f"subscriptions/{id_}")["cancel_at_period_end"] is False


def test_an_end_that_the_portal_planned_is_taken_back(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    As a time, which the gateway distinguishes from an end with the period.
    """
    id_ = ada.subscribed()["id"]
    [subscription] = ada.living
    [item] = subscription["items"]["data"]
    where = f"subscriptions/{subscription['id']}"
    stack.wire.post(where, cancel_at=item["current_period_end"])
    stack.settle()
    assert ada.get(f"subscriptions/{id_}")["cancel_at"] is not None

    back = ada.change(id_, cancel_at_period_end=False)
    stack.settle()

    assert (back.status_code, back.json()["cancel_at"]) == (200, None)
    assert ada.get(f"subscriptions/{id_}")["cancel_at"] is None
    stack.pass_by("32 days")
    assert ada.get(f"subscriptions/{id_}")["status"] == "active"


def test_a_change_may_be_of_both(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    Price, quantity and the planned end in one request.
    """
    id_ = ada.subscribed()["id"]

    answer = ada.admin.change(
        id_, price=stack.pro, quantity=2, cancel_at_period_end=True
    )

    told = answer.json()
    assert (answer.status_code, told["price"], told["quantity"]) == (200, stack.pro, 2)
    assert told["cancel_at_period_end"] is True


def test_a_change_of_both_that_is_refused_changes_neither(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    422 says that nothing was done: the subscription continues after its period.
    """
    id_ = ada.subscribed()["id"]

    answer = ada.admin.change(id_, price=stack.dollars, cancel_at_period_end=True)
    ada.stack.settle()

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
def test_t78_a_change_that_is_none_is_refused(
    begun: tuple[Payer, str], body: Any
) -> None:
    """
    400 for the change and for its preview; the subscription is unchanged.
    """
    ada, id_ = begun
    one = f"subscriptions/{id_}"
    before, posts = ada.get(one), list(ada.stack.posts)
    content = {"content": b"null"} if body is None else {"body": body}

    for answer in (
        ada.call("PATCH", one, **content),
        ada.call("POST", f"{one}/preview", **content),
    ):
        assert answer.status_code == 400
        assert problem_of(answer)["code"] in {"invalid_body", "invalid_value"}

    assert ada.get(one) == before
    assert ada.stack.posts == posts


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
    stack: ServiceWithSandbox, begun: tuple[Payer, str]
) -> None:
    """
    422 for the change and for its preview; nothing changes.
    """
    ada, id_ = begun
    one = f"subscriptions/{id_}"
    before = ada.get(one)

    for answer in (
        ada.admin.call("PATCH", one, {"price": stack.dollars}),
        ada.admin.call("POST", f"{one}/preview", {"price": stack.dollars}),
    ):
        assert refusal(answer) == (422, "gateway_refused")

    assert ada.get(one) == before


def test_a_change_to_a_product_that_one_has_is_refused(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    It would be a second subscription of the product: 409, with the existing one.
    """
    first = ada.subscribed()
    second = ada.subscribe(product=stack.other_product).json()

    answer = ada.admin.change(second["id"], price=stack.pro)

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


def test_a_preview_of_less_owes_nothing(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    An overpayment is credited, not refunded: 0 is due, and 0 is charged.
    """
    id_ = ada.admin.subscribed(price=stack.pro)["id"]

    preview = ada.admin.call(
        "POST", f"subscriptions/{id_}/preview", {"price": stack.basic}
    )
    change = ada.admin.change(id_, price=stack.basic)

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
            f"{ada.stack.service.url}/users/{ada.id}/{path}",
            content=b"{}",
            headers={
                "Authorization": f"Bearer {ada.token}",
                "Content-Type": "text/plain",
            },
            trust_env=False,
            verify=TLS,
        )
        assert refusal(large)[0] == 413
        assert refusal(plain)[0] == 415


def test_a_change_to_what_it_is_already_costs_nothing(ada: Payer) -> None:
    """
    200, and nothing is charged.
    """
    told = ada.subscribed()

    answer = ada.admin.change(
        told["id"], price=told["price"], quantity=told["quantity"]
    )
    ada.stack.settle()

    assert answer.status_code == 200
    assert ada.get(f"subscriptions/{told['id']}")["quantity"] == 1
    assert ada.taken == [BASIC]


def test_a_preview_changes_nothing(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    Previews are free, however many.
    """
    id_ = ada.subscribed()["id"]
    before = ada.subscriptions

    previews = [
        ada.admin.call(
            "POST", f"subscriptions/{id_}/preview", {"price": stack.pro}
        ).json()
        for _ in range(2)
    ]

    assert previews[0] == previews[1]
    assert ada.subscriptions == before
    assert ada.taken == [BASIC]


# An upgrade is held until it is paid


def upgraded_in_vain(ada: Payer) -> tuple[str, httpx.Response]:
    """Request more than the card will pay for."""
    id_ = ada.subscribed()["id"]
    ada.stack.sandbox.set_card(ada.card, declines="insufficient_funds")
    return id_, ada.admin.change(id_, price=ada.stack.pro)


def test_an_upgrade_that_is_not_paid_is_held(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    200 that says what is awaited; the price is the old one, what is paid stays.
    """
    id_, answer = upgraded_in_vain(ada)
    ada.stack.settle()

    told = answer.json()
    assert answer.status_code == 200
    assert (told["price"], told["status"]) == (stack.basic, "active")
    assert told["pending_update"]["price"] == stack.pro
    assert told["client_secret"]
    shown = ada.get(f"subscriptions/{id_}")
    assert (shown["price"], shown["pending_update"]) == (
        stack.basic,
        told["pending_update"],
    )
    assert ada.standing == ("paid", True)
    assert ada.taken == [BASIC]


def test_an_upgrade_that_is_never_paid_is_given_up(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    After a day it is dropped: the price is the old one, nothing was granted.
    """
    id_, _ = upgraded_in_vain(ada)
    ada.stack.settle()
    before = ada.status["payment_expire_date"]

    stack.pass_by("24 hours")

    shown = ada.get(f"subscriptions/{id_}")
    assert (shown["price"], shown["pending_update"]) == (stack.basic, None)
    assert shown["status"] == "active"
    assert ada.status["payment_expire_date"] == before
    assert ada.standing == ("paid", True)
    assert ada.taken == [BASIC]


def test_an_upgrade_that_a_bank_confirms_is_made(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    3-D Secure: held with a secret; once confirmed in the browser, granted and paid.
    """
    ada.give_card(ASKING)
    id_ = ada.subscribe().json()["id"]
    [theirs] = ada.subscriptions
    stack.sandbox.authenticate(stack.asked_of(theirs))
    stack.settle()

    held = ada.admin.change(id_, price=stack.pro)
    [theirs] = ada.subscriptions
    stack.sandbox.authenticate(stack.asked_of(theirs))
    stack.settle()

    assert held.json()["price"] == stack.basic
    assert held.json()["client_secret"]
    shown = ada.get(f"subscriptions/{id_}")
    assert (shown["price"], shown["pending_update"]) == (stack.pro, None)
    assert ada.taken == [BASIC, PRO - BASIC]


# Renewed


def test_a_renewal_moves_the_date(ada: Payer) -> None:
    """
    The next month is paid automatically.
    """
    ada.subscribed()
    before = moment(ada.status["payment_expire_date"])

    ada.pass_period()

    assert moment(ada.status["payment_expire_date"]) > before
    assert ada.standing == ("paid", True)
    assert ada.taken == [BASIC, BASIC]
