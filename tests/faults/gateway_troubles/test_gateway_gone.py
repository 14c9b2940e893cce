"""A gateway that is down: reads answer what is known, requests are executed later."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import attrs
import httpx
import pytest

from faults.sold_once import SOON
from support.events import SUCCEEDED, event
from support.service_with_sandbox import BASIC, OTHER, Payer, returned, selling


@attrs.frozen
class Left:
    """A service whose gateway is down, and a user who had subscribed before."""

    payer: Payer
    subscription: str


@pytest.fixture(scope="module")
def left(postgres: str, template: str) -> Iterator[Left]:
    with selling(postgres, template) as stack:
        payer = stack.user()
        subscription = payer.subscribed()["id"]
        stack.sandbox.__exit__(None, None, None)
        yield Left(payer, subscription)


def in_order(answer: httpx.Response) -> bool:
    """Say whether an answer is one of those allowed while the gateway is down."""
    if answer.status_code == 202:
        return answer.headers["location"].startswith("/payments-gateway/api/intents/")
    return answer.status_code == 503 and "retry-after" in answer.headers


def test_f33_with_the_gateway_gone_every_answer_keeps_the_contract(left: Left) -> None:
    """
    202 with an operation to poll, or 503 with a time of the next try, soon; nothing is
    lost.
    """
    payer, one = left.payer, f"subscriptions/{left.subscription}"
    newcomer = payer.stack.user()

    answers = [
        newcomer.subscribe(),
        newcomer.give_card(),
        newcomer.call("POST", "card-setup"),
        payer.subscribe(product=payer.stack.other_product),
        payer.give_card(OTHER),
        payer.change(left.subscription, quantity=2),
        payer.call("POST", f"{one}/preview", {"quantity": 2}),
        payer.call("DELETE", one),
    ]

    assert [it.status_code for it in answers if not in_order(it)] == []
    assert max(it.elapsed for it in answers) < timedelta(seconds=5)


def test_f33_with_the_gateway_gone_what_is_known_is_told(left: Left) -> None:
    """
    The service itself knows who has paid.
    """
    payer = left.payer

    assert payer.standing == ("paid", True)
    assert payer.status["card"]["brand"] == "visa"
    assert len(payer.get("subscriptions")["items"]) == 1


def test_f33_with_the_gateway_gone_webhooks_are_taken(left: Left) -> None:
    """
    200 and applied: an event needs no call of Stripe.
    """
    payer = left.payer.stack.user()
    _ = payer.status
    now = datetime.now(UTC)
    charge = event(SUCCEEDED, "gone", at=now, receipt_email=f"{payer.id}@example.com")

    answer = payer.stack.service.post_event(charge)

    assert (answer.status_code, answer.json()) == (200, {"outcome": "applied"})
    assert payer.standing == ("paid", True)


def test_f33_a_gateway_that_comes_back_gets_all_that_was_asked(
    postgres: str, template: str
) -> None:
    """
    Operations that were answered 202 meanwhile are executed by the worker, once.
    """
    with selling(postgres, template) as gone:
        payer = gone.user()
        id_ = payer.subscribed()["id"]
        gone.sandbox.__exit__(None, None, None)
        accepted = [payer.give_card(OTHER), payer.change(id_, quantity=2)]
        gone.work(SOON)
        assert [payer.intent(it)["result"] for it in accepted] == [None, None]

        with returned(gone) as sandbox:
            back = attrs.evolve(payer, stack=attrs.evolve(gone, sandbox=sandbox))
            back.stack.work(SOON * 2)
            back.stack.settle(SOON * 3)

            assert {back.intent(it)["state"] for it in accepted} == {"succeeded"}
            assert back.status["card"]["brand"] == "mastercard"
            assert back.get(f"subscriptions/{id_}")["quantity"] == 2
            assert back.taken == [BASIC, BASIC]
