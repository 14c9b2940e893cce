"""A user is synced over HTTP, with a sandbox whose webhooks have not arrived."""

from typing import Any

import httpx
import pytest

from payments_core.caller import READ_SCOPE
from payments_core.jobs.sync_user import SYNC_EVERY_S
from support.service_with_sandbox import GOOD, Payer, ServiceWithSandbox, refusal


def synced(payer: Payer, **more: Any) -> httpx.Response:
    return payer.call("POST", "sync", **more)


def checked_out(payer: Payer) -> Any:
    """
    Buy as a hosted checkout does: a customer with the user's id in its metadata, who
    pays.
    """
    wire, email = payer.stack.wire, f"{payer.id}@example.com"
    customer = wire.post("customers", email=email, metadata={"user_id": payer.id})
    card = wire.post(f"payment_methods/{GOOD}/attach", customer=customer["id"])
    settings = {"default_payment_method": card["id"]}
    wire.post(f"customers/{customer['id']}", invoice_settings=settings)
    items = [{"price": payer.stack.basic}]
    return wire.post("subscriptions", customer=customer["id"], items=items)


def test_a_checkout_is_seen_although_its_webhooks_are_lost(
    stack: ServiceWithSandbox,
) -> None:
    """
    One request is enough, and its answer is the current status. Later webhooks and the
    worker change nothing.
    """
    payer = stack.user()
    assert payer.standing == ("none", False)
    stack.sandbox.chaos(never_made=1)
    made = checked_out(payer)
    stack.sandbox.calm()
    stack.settle()
    assert payer.standing == ("none", False)

    answer = synced(payer)

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["payment_status"], found["entitled"]) == ("paid", True)
    assert found["card"]["last4"] == "4242"
    assert [it["product"] for it in found["subscriptions"]] == [stack.product]
    assert found == payer.status
    stack.settle()
    assert found == payer.status
    assert payer.stored("gateway_id from subscriptions") == [(made["id"],)]


def test_another_may_not_nor_a_reader_and_not_too_often(
    stack: ServiceWithSandbox,
) -> None:
    """
    Another user's is 404; a second sync of a user is 429, with the time of the next
    try.
    """
    payer = stack.user()
    payer.get("payment-status")
    reader = stack.world.token("desk", scopes=[READ_SCOPE])
    other = stack.user()

    for token in (reader, other.token):
        answer = synced(payer, token=token)
        assert refusal(answer) == (404, "account_not_found")
    assert synced(payer).status_code == 200
    again = synced(payer)
    assert refusal(again) == (429, "synced_recently")
    assert 1 <= int(again.headers["Retry-After"]) <= SYNC_EVERY_S
    assert refusal(synced(payer, body={"user": "x"})) == (400, "invalid_body")


@pytest.mark.parametrize("fault", ["error_before", "reset"])
def test_without_an_answer_of_stripes_nothing_is_changed(
    stack: ServiceWithSandbox, fault: str
) -> None:
    """
    503, and the next one may begin a moment later.
    """
    payer = stack.user()
    payer.subscribed()
    before = payer.status
    stack.sandbox.chaos(**{fault: 1})
    answer = synced(payer)
    stack.sandbox.calm()

    status, code = refusal(answer)
    assert status == 503
    assert code in {"gateway_silent", "gateway_busy"}
    assert "Retry-After" in answer.headers
    assert payer.status == before
