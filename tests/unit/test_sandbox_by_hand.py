"""Intents of the sandbox that are completed by hand, as their holder would."""

from typing import Any

import pytest

from payments_sandbox.errors import ApiError, CardError
from support.sandbox import Api
from support.watched import again, begin, count, intent_of, latest


def set_up(api: Api, **params: Any) -> Any:
    return api.post("setup_intents", customer=api.customer(None)["id"], **params)


def cards(api: Api, intent: Any) -> list[Any]:
    path = f"customers/{intent['customer']}/payment_methods"
    data: list[Any] = api.get(path)["data"]
    return data


@pytest.mark.parametrize("name", ["id", "client_secret"])
@pytest.mark.parametrize(
    "card", [None, "pm_card_mastercard", "pm_card_threeDSecureRequired"]
)
def test_a_card_is_set_up_by_hand(api: Api, name: str, card: str | None) -> None:
    """By the intent's id or its client secret, with any card."""
    intent = set_up(api)
    done = api.engine.authenticate(intent[name], card=card)
    assert (done["id"], done["status"]) == (intent["id"], "succeeded")
    (kept,) = cards(api, intent)
    assert kept["id"] == done["payment_method"]
    assert (kept["card"]["brand"] == "mastercard") is (card == "pm_card_mastercard")


@pytest.mark.parametrize("name", ["id", "client_secret"])
def test_a_first_payment_is_made_by_hand(api: Api, name: str) -> None:
    """The subscription is active afterwards."""
    subscription = begin(api, None, payment_behavior="default_incomplete")
    intent = intent_of(api, latest(api, subscription))
    assert api.engine.authenticate(intent[name])["status"] == "succeeded"
    assert again(api, subscription)["status"] == "active"


def test_an_intent_that_has_a_card_is_confirmed_with_it(api: Api) -> None:
    """Nothing else needs to be named."""
    intent = set_up(api, payment_method="pm_card_amex")
    api.engine.authenticate(intent["id"])
    (kept,) = cards(api, intent)
    assert kept["card"]["brand"] == "amex"


def test_a_bank_that_asks_may_be_refused(api: Api) -> None:
    """Then the intent waits for another card, and nothing is saved."""
    intent = set_up(api)
    failed = api.engine.authenticate(intent["client_secret"], succeed=False)
    assert failed["status"] == "requires_payment_method"
    assert failed["last_setup_error"]["code"] == "setup_intent_authentication_failure"
    assert cards(api, intent) == []


def test_a_card_that_declines_is_told(api: Api) -> None:
    """It has happened: the intent reports it, and so does an event."""
    intent, before = set_up(api), count(api)
    with pytest.raises(CardError):
        api.engine.authenticate(intent["id"], card="pm_card_chargeDeclined")
    assert api.types(before) == ["setup_intent.setup_failed"]


@pytest.mark.parametrize(
    ("named", "more"),
    [
        ("seti_nothing", {}),
        ("pi_nothing", {}),
        ("{id}_secret_wrong", {}),
        ("{id}", {"card": "pm_nothing"}),
        ("{id}", {"card": "pm_card_visa", "succeed": False}),
    ],
)
def test_what_cannot_be_finished_is_refused(
    api: Api, named: str, more: dict[str, Any]
) -> None:
    """A wrong secret, an unknown card, a bank that does not ask: nothing happens."""
    intent, before = set_up(api), count(api)
    with pytest.raises(ApiError):
        api.engine.authenticate(named.format(id=intent["id"]), **more)
    assert (again(api, intent), count(api)) == (intent, before)


def test_what_is_finished_is_not_finished_again(api: Api) -> None:
    """A card that waits for its bank is not changed either."""
    intent = set_up(api)
    api.engine.authenticate(intent["id"])
    with pytest.raises(ApiError, match="succeeded"):
        api.engine.authenticate(intent["id"])
    asking = set_up(api, payment_method="pm_card_authenticationRequired", confirm=True)
    with pytest.raises(ApiError, match="waits for its bank"):
        api.engine.authenticate(asking["id"], card="pm_card_visa")
