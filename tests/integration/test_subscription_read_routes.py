"""Subscriptions are listed and read over HTTP, each only by its user."""

from typing import Any

import httpx
import pytest

from support.plain_http import TLS
from support.service_with_sandbox import Payer, ServiceWithSandbox, problem_of, refusal


def test_subscriptions_are_listed_and_read(ada: Payer) -> None:
    """
    Each with the date until which it is paid; the status has the same. Stripe's id
    finds it as ours does.
    """
    told = ada.subscribed()

    listed = ada.get("subscriptions")
    one = ada.get(f"subscriptions/{told['id']}")
    [customer] = ada.customers
    listed_there = ada.stack.wire.get("subscriptions", customer=customer["id"])
    [at_stripe] = listed_there["data"]

    assert ada.get(f"subscriptions/{at_stripe['id']}") == one
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
    The earliest start first.
    """
    first = ada.subscribed()
    ada.call("DELETE", f"subscriptions/{first['id']}").raise_for_status()
    ada.stack.pass_by("1 minute")
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
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    404 in the other's path and in one's own; the subscription is unchanged.
    """
    bob = stack.user()
    theirs = bob.subscribed()
    assert ada.get("subscriptions") == {"items": []}
    before = bob.get("subscriptions")

    for method, path, body in requests_about(theirs["id"]):
        in_own_name = ada.call(method, path, body)
        in_theirs = ada.call(method, f"/users/{bob.id}/{path}", body)
        assert refusal(in_own_name) == (404, "subscription_not_found")
        assert refusal(in_theirs) == (404, "account_not_found")
    for method, body in (("GET", None), ("POST", {"product": stack.product})):
        answer = ada.call(method, f"/users/{bob.id}/subscriptions", body)
        assert refusal(answer) == (404, "account_not_found")

    assert bob.get("subscriptions") == before
    assert ada.customers == []


@pytest.mark.parametrize("id_", ["x", "sub_1", "a%00b", "é", "x" * 300])
def test_a_subscription_that_is_none_does_not_exist(ada: Payer, id_: str) -> None:
    """
    404, whatever its format, for every request.
    """
    _ = ada.status

    for method, path, body in requests_about(id_):
        assert ada.call(method, path, body).status_code == 404


def test_without_a_token_nothing_is_told(ada: Payer) -> None:
    """
    401 on every route, before any other check.
    """
    root = f"{ada.stack.service.url}/users/{ada.id}"
    asked = [*requests_about("x"), ("GET", "subscriptions", None)]
    urls = [(method, f"{root}/{path}") for method, path, _ in asked]
    urls += [
        ("POST", f"{root}/subscriptions"),
        ("GET", f"{ada.stack.service.url}/intents/x"),
    ]

    for method, url in urls:
        answer = httpx.request(method, url, trust_env=False, verify=TLS)
        assert answer.status_code == 401
        assert problem_of(answer)


def test_an_administrator_may_do_all_of_it(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    By the user's e-mail; changes are the user's.
    """
    _ = ada.status
    root, token = f"/users/{ada.id}@example.com", stack.world.admin()
    ada.give_card()

    begun = ada.call(
        "POST", f"{root}/subscriptions", {"price": stack.basic}, token=token
    )
    one = f"{root}/subscriptions/{begun.json()['id']}"
    changed = ada.call("PATCH", one, {"quantity": 2}, token=token)
    ended = ada.call("DELETE", one, token=token)

    assert [it.status_code for it in (begun, changed, ended)] == [201, 200, 200]
    assert ada.get("subscriptions")["items"][0]["status"] == "canceled"
