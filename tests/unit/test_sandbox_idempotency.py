"""An idempotency key in the sandbox: the first answer counts, for 24 hours."""

import json
from typing import Any

import pytest

from payments_sandbox.api import KEY_LIFE_S, ApiRequest, ApiResponse
from payments_sandbox.forms import encoded
from payments_sandbox.periods import HOUR
from support.sandbox import Api
from support.watched import FAILING


def post(api: Api, key: str, path: str = "customers", **params: Any) -> ApiResponse:
    return api.raw("POST", path, params, idempotency_key=key)


def failing(api: Api, key: str, when: str) -> ApiResponse:
    """Make a customer by a call that fails, before or after it was carried out."""
    return api.engine.answer(
        ApiRequest(
            method="POST",
            path="/v1/customers",
            body=encoded({"name": "Ada"}).encode(),
            headers={
                "authorization": f"Bearer {api.engine.api.api_key}",
                "idempotency-key": key,
            },
        ),
        fails=when,
    )


def error(response: ApiResponse) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["type"]


def is_replayed(response: ApiResponse) -> bool:
    return response.headers.get("Idempotent-Replayed") == "true"


def customers(api: Api) -> int:
    return len(api.get("customers", limit=100)["data"])


def test_the_same_request_is_answered_the_same(api: Api) -> None:
    """Byte by byte, with a header that says so, and nothing is made twice."""
    first = post(api, "k", name="Ada")
    events = len(api.engine.world.events)
    again = post(api, "k", name="Ada")

    assert (again.status, again.body) == (first.status, first.body)
    assert not is_replayed(first)
    assert is_replayed(again)
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Idempotency-Key"] == first.headers["Idempotency-Key"] == "k"
    assert customers(api) == 1
    assert len(api.engine.world.events) == events


def test_the_answer_is_the_first_one_even_if_things_have_changed(api: Api) -> None:
    """A replay returns the first answer, not the present state."""
    first = post(api, "k", name="Ada")
    id_ = json.loads(first.body)["id"]
    api.post(f"customers/{id_}", name="Eve")
    assert post(api, "k", name="Ada").body == first.body
    api.delete(f"customers/{id_}")
    assert post(api, "k", name="Ada").body == first.body


def test_another_key_is_another_request(api: Api) -> None:
    """So are two requests without any."""
    post(api, "k", name="Ada")
    post(api, "l", name="Ada")
    api.post("customers", name="Ada")
    api.post("customers", name="Ada")
    assert customers(api) == 4


def test_a_key_is_for_one_request_only(api: Api) -> None:
    """Other parameters or another path are refused, and the first answer stays."""
    first = post(api, "k", name="Ada")
    for other in (
        post(api, "k", name="Eve"),
        post(api, "k"),
        post(api, "k", name="Ada", email="a@b"),
        post(api, "k", "products", name="Ada"),
    ):
        assert error(other) == (400, "idempotency_error")
        assert not is_replayed(other)
    assert post(api, "k", name="Ada").body == first.body
    assert customers(api) == 1


def test_a_decline_is_replayed(api: Api) -> None:
    """The bank is not asked again: a new attempt needs a new key."""
    params = {
        "amount": 100,
        "currency": "eur",
        "confirm": True,
        "payment_method": FAILING,
    }
    first = post(api, "k", "payment_intents", **params)
    again = post(api, "k", "payment_intents", **params)
    assert error(first) == (402, "card_error")
    assert (again.status, again.body) == (first.status, first.body)
    assert is_replayed(again)
    assert len(api.get("charges")["data"]) == 1

    third = post(api, "l", "payment_intents", **params)
    assert not is_replayed(third)
    assert len(api.get("charges")["data"]) == 2


def test_a_decline_is_replayed_though_the_card_is_good_by_now(api: Api) -> None:
    """The stored answer does not depend on the card."""
    customer = api.customer()
    card = customer["invoice_settings"]["default_payment_method"]
    api.engine.set_card(card, declines="insufficient_funds")
    params = {
        "amount": 100,
        "currency": "eur",
        "confirm": True,
        "customer": customer["id"],
        "payment_method": card,
    }
    first = post(api, "k", "payment_intents", **params)
    api.engine.set_card(card, declines=None)
    assert post(api, "k", "payment_intents", **params).body == first.body
    assert post(api, "l", "payment_intents", **params).status == 200


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("customers", {"email": "nix"}, 400),
        ("customers", {"shoe": "1"}, 400),
        ("customers/cus_nix", {"name": "Ada"}, 404),
        ("shoes", {"name": "Ada"}, 404),
    ],
)
def test_a_bad_request_is_not_stored(
    api: Api, path: str, params: dict[str, Any], status: int
) -> None:
    """The key is free for the corrected request."""
    for _ in range(2):
        refused = post(api, "k", path, **params)
        assert refused.status == status
        assert not is_replayed(refused)
    assert post(api, "k", name="Ada").status == 200
    assert customers(api) == 1


def test_a_request_without_the_right_key_is_not_stored(api: Api) -> None:
    """401 comes before any look-up, even for a key that is known."""
    post(api, "k", name="Ada")
    path, params = "customers", {"name": "Ada"}
    refused = api.raw(
        "POST", path, params, idempotency_key="k", authorization="Bearer nix"
    )
    assert error(refused) == (401, "invalid_request_error")
    assert not is_replayed(refused)


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
def test_a_500_is_stored_whether_it_had_an_effect_or_not(
    api: Api, when: str, made: int
) -> None:
    """The answer does not reveal its outcome: the same key never does it again."""
    first = failing(api, "k", when)
    assert error(first) == (500, "api_error")
    assert customers(api) == made
    again = post(api, "k", name="Ada")
    assert (again.status, again.body) == (500, first.body)
    assert is_replayed(again)
    assert customers(api) == made

    assert post(api, "l", name="Ada").status == 200
    assert customers(api) == made + 1


def test_a_500_after_the_effect_was_reported(api: Api) -> None:
    """Its event has the key by which the client finds out."""
    failing(api, "k", "after")
    (event,) = api.get("events", type="customer.created")["data"]
    assert event["request"]["idempotency_key"] == "k"
    assert event["data"]["object"]["name"] == "Ada"


def test_an_answer_is_kept_for_24_hours(api: Api) -> None:
    """Of the sandbox's time; then the same key makes a second object."""
    first = post(api, "k", name="Ada")
    api.advance(api.now + KEY_LIFE_S - 1)
    assert is_replayed(post(api, "k", name="Ada"))
    api.advance(api.now + 1)
    second = post(api, "k", name="Ada")
    assert not is_replayed(second)
    assert json.loads(second.body)["id"] != json.loads(first.body)["id"]
    assert customers(api) == 2
    # From here it is stored again.
    api.advance("23 hours")
    assert post(api, "k", name="Ada").body == second.body


def test_a_test_clock_does_not_age_a_key(api: Api) -> None:
    """Keys live by the sandbox's time, whatever clock the object is on."""
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    first = post(api, "k", test_clock=clock)
    path = f"test_helpers/test_clocks/{clock}/advance"
    api.post(path, frozen_time=api.now + 48 * HOUR)
    again = post(api, "k", test_clock=clock)
    assert is_replayed(again)
    assert again.body == first.body


def test_a_get_and_a_delete_take_no_key(api: Api) -> None:
    """They can be repeated: each reads, or tries, again."""
    customer = api.post("customers", name="Ada")["id"]
    path = f"customers/{customer}"
    first = api.raw("GET", path, idempotency_key="k")
    api.post(path, name="Eve")
    again = api.raw("GET", path, idempotency_key="k")
    assert json.loads(again.body)["name"] == "Eve"
    assert not is_replayed(again)
    assert "Idempotency-Key" not in first.headers
    # The key is still free.
    assert post(api, "k", name="Ada").status == 200

    assert api.raw("DELETE", path, idempotency_key="k").status == 200
    assert api.raw("DELETE", path, idempotency_key="k").status == 404


@pytest.mark.parametrize(
    ("key", "status"), [("k" * 255, 200), ("k" * 256, 400), ("", 400)]
)
def test_a_key_has_up_to_255_characters(api: Api, key: str, status: int) -> None:
    """An empty key is invalid."""
    response = post(api, key, name="Ada")
    assert response.status == status
    assert customers(api) == (1 if status == 200 else 0)


def test_events_name_the_request_and_its_key(api: Api) -> None:
    """A client knows which of its requests did it; an event of time names none."""
    first = api.raw(
        "POST", "customers", {"name": "Ada"}, idempotency_key="k", stripe_version=""
    )
    (event,) = api.get("events", type="customer.created")["data"]
    assert event["request"] == {
        "id": first.headers["Request-Id"],
        "idempotency_key": "k",
    }
    subscription = api.subscribe(api.customer()["id"], api.price()["id"])
    api.advance(subscription["items"]["data"][0]["current_period_end"])
    renewed = api.get("events", type="customer.subscription.updated")["data"][0]
    assert renewed["request"] == {"id": None, "idempotency_key": None}


def test_a_replay_does_not_keep_a_key(api: Api) -> None:
    """
    The day counts from the first answer.
    """
    post(api, "k", name="Ada")
    api.advance(api.now + 23 * HOUR)
    post(api, "k", name="Ada")
    api.advance("2 hours")
    post(api, "k", name="Ada")

    assert customers(api) == 2


def test_a_key_whose_request_is_under_way_is_a_conflict(api: Api) -> None:
    """
    409, and nothing is done twice.
    """
    api.engine.api.busy.add("k")
    answer = post(api, "k", name="Ada")
    api.engine.api.busy.clear()

    assert error(answer) == (409, "idempotency_error")
    assert json.loads(answer.body)["error"]["code"] == "idempotency_key_in_use"
    assert customers(api) == 0
    assert post(api, "k", name="Ada").status == 200
