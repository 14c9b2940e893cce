"""A first payment that the bank must confirm, or declines, over HTTP."""

from typing import Any

import pytest

from support.service_with_sandbox import (
    ASKING,
    BASIC,
    FAILING,
    GOOD,
    REFUSED,
    Payer,
    pointers,
    refusal,
)


def test_without_a_card_the_browser_goes_on(ada: Payer) -> None:
    """
    201, incomplete, with the secret of the awaited payment; nothing is granted.
    """
    answer = ada.subscribe()
    ada.stack.settle()

    told = answer.json()
    assert (answer.status_code, told["status"]) == (201, "incomplete")
    assert told["client_secret"]
    assert ada.standing == ("pending", False)
    assert ada.taken == []


def test_what_was_begun_without_a_card_is_paid_in_the_browser(ada: Payer) -> None:
    """
    The browser confirms with a card: the webhook reports it, and the user is entitled.
    """
    ada.subscribe()
    [theirs] = ada.subscriptions

    intent = ada.stack.asked_of(theirs)
    ada.stack.wire.post(f"payment_intents/{intent}/confirm", payment_method=GOOD)
    ada.stack.settle()

    assert ada.standing == ("paid", True)
    assert ada.status["subscriptions"][0]["status"] == "active"


def test_a_bank_that_asks_is_answered_in_the_browser(ada: Payer) -> None:
    """
    3-D Secure: 201 with the secret, pending; once confirmed, active and paid.
    """
    ada.give_card(ASKING)
    answer = ada.subscribe()
    ada.stack.settle()
    told, waiting = answer.json(), ada.standing
    [theirs] = ada.subscriptions

    ada.stack.sandbox.authenticate(ada.stack.asked_of(theirs))
    ada.stack.settle()

    assert (answer.status_code, told["status"]) == (201, "incomplete")
    assert told["client_secret"]
    assert waiting == ("pending", False)
    assert ada.standing == ("paid", True)
    [shown] = ada.status["subscriptions"]
    assert (shown["id"], shown["status"]) == (told["id"], "active")
    assert ada.taken == [BASIC]


def test_a_refused_confirmation_grants_nothing(ada: Payer) -> None:
    """
    The user is not entitled, then or after the gateway gives up.
    """
    ada.give_card(ASKING)
    ada.subscribe()
    [theirs] = ada.subscriptions

    ada.stack.sandbox.authenticate(ada.stack.asked_of(theirs), succeed=False)
    ada.stack.settle()
    refused = ada.standing
    ada.stack.pass_by("24 hours")

    assert refused[0] in {"pending", "failed"}
    assert refused[1] is False
    assert ada.status["entitled"] is False
    assert ada.status["subscriptions"][0]["status"] == "incomplete_expired"
    assert ada.taken == []


def test_a_confirmed_payment_that_is_declined_grants_nothing(ada: Payer) -> None:
    """
    The holder confirms, and then funds are insufficient: it waits for another card.
    """
    ada.give_card("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds")
    answer = ada.subscribe()
    [theirs] = ada.subscriptions

    ada.stack.sandbox.authenticate(ada.stack.asked_of(theirs))
    ada.stack.settle()

    assert answer.status_code == 201
    assert ada.standing[0] in {"pending", "failed"}
    assert ada.status["entitled"] is False
    assert ada.taken == []


def test_what_a_bank_refused_may_be_ended_and_begun_anew(ada: Payer) -> None:
    """
    It is pending until the gateway gives it up, and reports that; a user who does not
    wait ends it.
    """
    ada.give_card(ASKING)
    first = ada.subscribe().json()
    [theirs] = ada.subscriptions
    ada.stack.sandbox.authenticate(ada.stack.asked_of(theirs), succeed=False)
    ada.stack.settle()

    second = ada.subscribe(payment_method=GOOD)
    ended = ada.call("DELETE", f"subscriptions/{first['id']}")
    third = ada.subscribe(payment_method=GOOD)
    ada.stack.settle()

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
    Executed or refused, it is not our error; it grants nothing.
    """
    id_ = ada.subscribe().json()["id"]

    answer = ada.change(id_, **change)
    ada.stack.settle()

    assert answer.status_code in {200, 409, 422}
    assert ada.standing == ("pending", False)


def test_a_declined_first_payment_leaves_nothing_in_the_way(ada: Payer) -> None:
    """
    402 with the bank's decline code, nothing active; a good card works at once.
    """
    ada.give_card(FAILING)

    answer = ada.subscribe()
    live, standing = ada.living, ada.standing
    ada.give_card(GOOD)
    again = ada.subscribe()
    ada.stack.settle()

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
    Declined when it is attached or when it is charged: 402, and the next order
    succeeds.
    """
    answer = ada.subscribe(payment_method=card)
    live = ada.living
    again = ada.subscribe(payment_method=GOOD)

    assert refusal(answer) == (402, "card_declined")
    assert live == []
    assert (again.status_code, again.json()["status"]) == (201, "active")
