"""A payment is linked by hand, and unlinked from its user again."""

from typing import Any

from support.events import SUCCEEDED, event, utc
from support.service_with_sandbox import Payer, ServiceWithSandbox, pointers, refusal

JAN = utc(2026, 1, 31)


def charged(stack: ServiceWithSandbox, name: str, **fields: Any) -> str:
    """Send a charge without an owner; return its id."""
    body = event(
        SUCCEEDED, name.replace("-", "_"), at=JAN, **{"customer": None, **fields}
    )
    assert stack.service.post_event(body).status_code == 200
    return str(body["data"]["object"]["id"])


def link(payer: Payer, payment: str, user: str | None = None, **body: Any) -> Any:
    given = {"user_id": user or payer.id, "reason": "seen on the receipt", **body}
    return payer.admin.call("POST", f"/payments/{payment}/link", given)


def unlink(payer: Payer, payment: str, reason: str = "was another's") -> Any:
    return payer.admin.call("POST", f"/payments/{payment}/unlink", {"reason": reason})


def test_a_payment_of_an_unknown_email_is_linked_and_unlinked(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    It buys its month, and loses it; each decision is stored with operator and reason.
    """
    payment = charged(stack, f"stray_{ada.id}", receipt_email="typo@exmaple.com")
    before = ada.status

    linked = link(ada, payment)

    assert linked.status_code == 200
    assert ada.status["payment_expire_date"] == "2026-02-28T12:00:00Z"
    assert link(ada, payment).json() == linked.json()
    assert unlink(ada, payment).status_code == 200
    assert ada.status == before
    shown = ada.admin.get(f"/payments/{payment}/link")
    assert (shown["user_id"], shown["linked_by_hand"]) == (None, True)
    assert [
        (it["action"], it["user_id"], it["by"], it["reason"]) for it in shown["decided"]
    ] == [
        ("link_payment", ada.id, f"admin-of-{ada.id}", "seen on the receipt"),
        ("unlink_payment", ada.id, f"admin-of-{ada.id}", "was another's"),
    ]


def test_what_was_unlinked_by_hand_is_linked_by_nothing_else(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Not by its e-mail, a later report, a registration, or the worker.
    """
    email = f"{ada.id}@example.com"
    payment = charged(stack, f"hers_{ada.id}", receipt_email=email)
    ada.admin  # noqa: B018  # her first call registers her
    assert ada.status["payment_status"] == "paid"

    assert unlink(ada, payment).status_code == 200
    charged(stack, f"hers_{ada.id}", receipt_email=email)
    ada.admin.call("PUT", f"/users/{ada.id}", {"email": email}).raise_for_status()
    stack.settle()

    assert ada.status["payment_status"] == "none"


def test_a_payment_in_conflict_is_linked_by_hand(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Its customer belongs to one user and its metadata name another: it is fetched from
    the gateway.
    """
    bob = stack.user()
    bob.give_card().raise_for_status()
    ada.admin  # noqa: B018  # her first call registers her
    [customer] = bob.customers
    intent = stack.wire.post(
        "payment_intents",
        amount=500,
        currency="eur",
        customer=customer["id"],
        payment_method=bob.card,
        confirm=True,
        off_session=True,
        metadata={"user_id": ada.id},
    )
    stack.wire.post(f"charges/{intent['latest_charge']}", metadata={"user_id": ada.id})
    stack.settle()
    payment = intent["latest_charge"]

    assert link(ada, payment).status_code == 200
    assert ada.standing == ("paid", True)
    assert refusal(link(bob, payment)) == (409, "payment_linked")
    stack.wire.post("refunds", charge=payment)
    stack.settle()
    assert ada.standing == ("refunded", False)


def test_a_payment_of_nobody_is_kept_from_whom_it_names(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    It is unlinked before its user exists, and stays so, although Stripe does not have
    it.
    """
    bob = stack.user()
    email = f"{bob.id}@example.com"
    payment = charged(stack, f"nobodys_{bob.id}", receipt_email=email)

    assert unlink(ada, payment).status_code == 200
    bob.admin  # noqa: B018  # his first call registers him

    assert bob.status["payment_status"] == "none"
    shown = ada.admin.get(f"/payments/{payment}/link")
    assert [it["user_id"] for it in shown["decided"]] == [None]


def test_what_cannot_be_linked_is_refused(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    With the field, the reason, and nothing changed.
    """
    payment = charged(stack, f"stray2_{ada.id}")

    assert refusal(link(ada, "ch_nothing")) == (404, "payment_not_found")
    assert refusal(unlink(ada, "ch_nothing")) == (404, "payment_not_found")
    assert refusal(link(ada, payment, "nobody")) == (404, "account_not_found")
    assert pointers(link(ada, payment, reason="")) == ["/reason"]
    assert pointers(link(ada, payment, user_id="a b")) == ["/user_id"]
    assert refusal(link(ada, "ch%2f..%2fx"))[0] in {400, 404}
    for method, path in (("POST", "link"), ("POST", "unlink"), ("GET", "link")):
        body = {"user_id": ada.id, "reason": "mine"} if method == "POST" else None
        answer = ada.call(method, f"/payments/{payment}/{path}", body)
        assert refusal(answer) == (403, "scope_required")
    assert ada.status["payment_status"] == "none"
    read = ada.admin.get(f"/payments/{payment}/link")
    assert (read["user_id"], read["linked_by_hand"], read["decided"]) == (
        None,
        False,
        [],
    )
