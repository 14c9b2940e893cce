"""A user's customer: checked when it is bound, released when it was deleted."""

from typing import Any

import pytest

from support import databases
from support.service_with_sandbox import (
    Payer,
    ServiceWithSandbox,
    pointers,
    problem_of,
    refusal,
)


def a_customer(stack: ServiceWithSandbox, **fields: Any) -> str:
    """Return a customer that was created outside of this service."""
    return str(stack.wire.post("customers", **fields)["id"])


def bind(payer: Payer, customer: str, **more: str) -> Any:
    body = {"email": f"{payer.id}@example.com", "customer_id": customer, **more}
    return payer.admin.call("PUT", f"/users/{payer.id}", body)


def deleted(stack: ServiceWithSandbox, customer: str, *, heard: bool = True) -> None:
    """Delete a customer in the dashboard."""
    if not heard:
        stack.sandbox.plan("never_made", "customer.deleted")
    stack.wire.delete(f"customers/{customer}")
    if heard:
        stack.settle()


def test_t68_only_a_customer_that_the_gateway_has_is_bound(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    A mistyped or deleted customer would block the user.
    """
    gone = a_customer(stack)
    stack.wire.delete(f"customers/{gone}")
    bobs = a_customer(stack, metadata={"user_id": "bob"})
    before = ada.status
    stack.settle()
    digest = databases.digest(stack.world.database_url)

    for customer in ("cus_slip", gone):
        answer = bind(ada, customer)
        assert refusal(answer) == (422, "unknown_reference")
        assert pointers(answer) == ["/customer_id"]
    assert refusal(bind(ada, bobs)) == (409, "customer_taken")

    assert databases.digest(stack.world.database_url) == digest
    assert ada.status == before


@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
def test_a_user_goes_on_after_the_customer_was_deleted(
    stack: ServiceWithSandbox, ada: Payer, *, heard: bool
) -> None:
    """
    The card is removed with it, and what was paid for stays. If no event reported the
    deletion, the next operation is refused, and the one after it is not.
    """
    ada.subscribed()
    [customer] = ada.customers
    deleted(stack, customer["id"], heard=heard)
    if not heard:
        answer = ada.give_card()
        assert refusal(answer) == (422, "unknown_reference")
        stack.settle()

    status = ada.status
    assert status["card"] is None
    assert (status["payment_status"], status["entitled"]) == ("paid", True)
    assert [it["status"] for it in status["subscriptions"]] == ["canceled"]
    ada.subscribed("pm_card_mastercard")
    assert ada.status["card"]["brand"] == "mastercard"
    assert {it["status"] for it in ada.status["subscriptions"]} == {
        "canceled",
        "active",
    }
    assert [it["id"] for it in ada.customers] != [customer["id"]]


def test_a_refund_of_a_deleted_customers_charge_is_its_users(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Late reports are still linked to them.
    """
    ada.subscribed()
    [charge], [customer] = ada.charges, ada.customers
    deleted(stack, customer["id"])

    stack.wire.post("refunds", charge=charge["id"])
    stack.settle()

    assert ada.standing == ("refunded", False)


def test_a_customer_takes_the_place_of_one_that_has_nothing(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    With a reason, which is stored; the old customer can then be bound to another user.
    """
    slip, right = a_customer(stack), a_customer(stack)
    assert bind(ada, slip).status_code == 200

    refused = bind(ada, right)
    assert refusal(refused) == (409, "customer_taken")
    assert pointers(refused) == ["/customer_id"]
    assert "reason" in problem_of(refused)["detail"]
    for reason in ("", " ", "x" * 501, "a\nb"):
        assert pointers(bind(ada, right, reason=reason)) == ["/reason"]
    assert bind(ada, right, reason="typed wrongly").status_code == 200
    assert bind(ada, right).status_code == 200

    kept = databases.run(
        databases.fetch(
            stack.world.database_url,
            "select action, subject, user_id, instead_of, decided_by, reason"
            " from changes_by_hand where user_id = $1",
            ada.id,
        )
    )
    assert [tuple(it) for it in kept] == [
        (
            *("bind_customer", right, ada.id, slip),
            *(f"admin-of-{ada.id}", "typed wrongly"),
        )
    ]
    bob = stack.user()
    assert bind(bob, slip).status_code == 200


def test_a_customer_that_has_a_subscription_keeps_its_place(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Once that is over, another customer takes its place.
    """
    id_ = ada.subscribed()["id"]
    other = a_customer(stack)

    assert refusal(bind(ada, other, reason="why")) == (409, "customer_taken")
    ada.call("DELETE", f"subscriptions/{id_}?when=now").raise_for_status()
    stack.settle()
    assert bind(ada, other, reason="why").status_code == 200


def test_what_the_other_customer_has_is_asked_before_it_loses_its_place(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    An unknown subscription blocks it; an unknown deletion does not.
    """
    first, second = a_customer(stack), a_customer(stack)
    assert bind(ada, first).status_code == 200
    stack.settle()
    for type_ in ("created", "updated"):
        stack.sandbox.plan("never_made", f"customer.subscription.{type_}")
    stack.wire.post("payment_methods/pm_card_visa/attach", customer=first)
    sold = stack.wire.post(
        "subscriptions",
        customer=first,
        items=[{"price": stack.pro}],
        trial_period_days=7,
    )
    assert refusal(bind(ada, second, reason="why")) == (409, "customer_taken")

    stack.sandbox.plan("never_made", "customer.deleted")
    stack.sandbox.plan("never_made", "customer.subscription.deleted")
    stack.wire.delete(f"customers/{first}")
    assert sold["status"] == "trialing"
    assert bind(ada, second, reason="why").status_code == 200


def test_no_customer_loses_its_place_while_an_operation_may_use_it(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The outcome of the order is unknown: if it began again with another customer, it
    would be sold twice.
    """
    ada.give_card().raise_for_status()
    other = a_customer(stack)
    stack.sandbox.plan("error_before", "POST /v1/subscriptions")
    accepted = ada.subscribe()
    assert accepted.status_code == 202

    assert refusal(bind(ada, other, reason="why")) == (409, "operation_in_progress")
