"""A card that is changed elsewhere is followed: end to end, over HTTP.

Elsewhere is the portal, the dashboard, another program, or the bank: this service
learns of the change by webhooks alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from payments_sandbox.api import ApiRequest, ApiResponse
from support.service_with_sandbox import GOOD, OTHER, Payer, ServiceWithSandbox


def attached(payer: Payer, name: str = OTHER) -> str:
    """Attach a card to the customer of a payer; return the payment method."""
    [customer] = payer.customers
    wire = payer.stack.wire
    made = wire.post(f"payment_methods/{name}/attach", customer=customer["id"])
    return str(made["id"])


def made_default(payer: Payer, card: str) -> None:
    """Make a card the default."""
    [customer] = payer.customers
    settings = {"default_payment_method": card}
    payer.stack.wire.post(f"customers/{customer['id']}", invoice_settings=settings)


def subscription_of(payer: Payer) -> str:
    [customer] = payer.customers
    listed = payer.stack.wire.get("subscriptions", customer=customer["id"])
    [subscription] = listed["data"]
    return f"subscriptions/{subscription['id']}"


def pinned(payer: Payer, card: str) -> None:
    """Set a card on the subscription of a payer."""
    payer.stack.wire.post(subscription_of(payer), default_payment_method=card)


@contextmanager
def asked(stack: ServiceWithSandbox) -> Iterator[list[str]]:
    """Lend a list of the service's requests about customers and cards meanwhile.

    Requests for a single subscription are left out: other users of this sandbox cause
    them.
    """
    before, calls = stack.sandbox.engine.watch, list[str]()

    def watch(request: ApiRequest, response: ApiResponse) -> None:
        if not request.path.startswith("/v1/subscriptions/"):
            calls.append(f"{request.method} {request.path}")
        before(request, response)

    stack.sandbox.engine.watch = watch
    try:
        yield calls
    finally:
        stack.sandbox.engine.watch = before


def brand(payer: Payer) -> str | None:
    """Return the brand of the card that the status shows."""
    card = payer.status["card"]
    return str(card["brand"]) if card else None


def adopted(stack: ServiceWithSandbox, **order: Any) -> Payer:
    """Return a user whose customer and subscription were created elsewhere."""
    payer = stack.user()
    customer = stack.wire.post("customers", metadata={"user_id": payer.id})["id"]
    card = attached(payer, GOOD)
    stack.wire.post(
        "subscriptions",
        customer=customer,
        items=[{"price": stack.basic}],
        default_payment_method=card,
        **order,
    )
    stack.settle()
    email = f"{payer.id}@example.com"
    payer.call(
        "PUT",
        f"/users/{payer.id}",
        {"email": email, "customer_id": customer},
        token=stack.world.admin(),
    ).raise_for_status()
    stack.settle()
    return payer


def test_another_default_card_is_shown(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    It was attached and made the default in the portal.
    """
    ada.give_card(GOOD)
    stack.settle()

    made_default(ada, attached(ada))
    stack.settle()

    assert brand(ada) == "mastercard"


def test_a_first_card_that_was_given_elsewhere_is_shown(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    No card was shown before.
    """
    ada.call("POST", "card-setup").raise_for_status()

    made_default(ada, attached(ada))
    stack.settle()

    assert brand(ada) == "mastercard"


@pytest.mark.parametrize("has_other", [False, True])
def test_a_detached_card_is_shown_no_more(
    stack: ServiceWithSandbox, ada: Payer, *, has_other: bool
) -> None:
    """
    A card that is attached but is not the default pays nothing.
    """
    ada.give_card(GOOD)
    if has_other:
        attached(ada)
    stack.settle()

    stack.wire.post(f"payment_methods/{ada.card}/detach")
    stack.settle()

    assert ada.status["card"] is None


def test_another_expiry_is_shown(stack: ServiceWithSandbox, ada: Payer) -> None:
    """
    It was corrected in the dashboard.
    """
    ada.give_card(GOOD)
    stack.settle()

    stack.wire.post(
        f"payment_methods/{ada.card}", card={"exp_month": 3, "exp_year": 2099}
    )
    stack.settle()

    card = ada.status["card"]
    assert (card["exp_month"], card["exp_year"]) == (3, 2099)


def test_a_card_that_the_bank_replaced_is_shown(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The card network reported to Stripe that the same card has another expiry.
    """
    ada.give_card(GOOD)
    stack.settle()
    before = ada.status["card"]

    stack.sandbox.engine.reissue_card(ada.card)
    stack.settle()

    card = ada.status["card"]
    assert card["exp_year"] > before["exp_year"]
    assert card == before | {"exp_year": card["exp_year"]}


def test_the_card_of_a_subscription_is_shown_where_there_is_no_other(
    ada: Payer,
) -> None:
    """
    It came with the order, and no default card exists.
    """
    ada.subscribed_without_card(payment_method=GOOD)

    assert brand(ada) == "visa"


def test_the_subscriptions_card_of_an_adopted_customer_is_shown(
    stack: ServiceWithSandbox,
) -> None:
    """
    The customer has no default of their own.
    """
    assert brand(adopted(stack)) == "visa"


def test_another_card_of_a_subscription_is_shown(stack: ServiceWithSandbox) -> None:
    """
    Changed, detached, and set again, in the dashboard.
    """
    payer = adopted(stack)

    card = attached(payer)
    pinned(payer, card)
    stack.settle()
    assert brand(payer) == "mastercard"

    stack.wire.post(f"payment_methods/{card}/detach")
    stack.settle()
    assert payer.status["card"] is None

    pinned(payer, attached(payer, GOOD))
    stack.settle()
    assert brand(payer) == "visa"


def charged(payer: Payer) -> str:
    """Let a month pass; return the brand of the card that paid the next one."""
    payer.stack.pass_by("32 days")
    newest = max(payer.charges, key=lambda it: it["created"])
    return str(newest["payment_method_details"]["card"]["brand"])


def test_the_card_of_a_subscription_goes_before_the_default(
    stack: ServiceWithSandbox,
) -> None:
    """
    The subscription's card is charged; the default is charged once the subscription has
    none.
    """
    payer = adopted(stack)
    made_default(payer, attached(payer))
    stack.settle()
    assert brand(payer) == "visa"
    assert charged(payer) == "visa"

    own = stack.wire.get(subscription_of(payer))["default_payment_method"]
    stack.wire.post(f"payment_methods/{own}/detach")
    stack.settle()
    assert brand(payer) == "mastercard"
    assert charged(payer) == "mastercard"


@pytest.mark.parametrize("has_default", [False, True])
def test_the_card_of_a_subscription_goes_with_it(
    stack: ServiceWithSandbox, *, has_default: bool
) -> None:
    """
    A subscription that has ended is no longer paid by any card.
    """
    payer = adopted(stack)
    if has_default:
        made_default(payer, attached(payer))
        stack.settle()

    stack.wire.delete(subscription_of(payer))
    stack.settle()

    assert brand(payer) == ("mastercard" if has_default else None)


def test_our_own_changes_of_a_card_are_not_asked_about(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Their events report what the service knows, or is about to know: they cost no call.
    """
    ada.subscribed(GOOD)
    [customer] = ada.customers

    with asked(stack) as calls:
        ada.give_card(OTHER).raise_for_status()
        stack.settle()

    theirs = f"/v1/customers/{customer['id']}"
    assert calls == [
        f"POST /v1/payment_methods/{OTHER}/attach",
        "GET /v1/subscriptions",
        f"POST {theirs}",
    ]
    assert brand(ada) == "mastercard"


def test_the_card_of_an_order_is_not_asked_about(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    It pays the subscription that was created with it, and was shown with the answer.
    """
    with asked(stack) as calls:
        ada.subscribed_without_card(payment_method=GOOD)

    assert calls.count("GET /v1/subscriptions") == 1
    assert not [it for it in calls if it.startswith("GET /v1/customers/")]
    assert brand(ada) == "visa"


def test_a_change_elsewhere_is_asked_about_once(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    However many events report it.
    """
    ada.give_card(GOOD)
    stack.settle()
    old = ada.card
    [customer] = ada.customers

    made_default(ada, attached(ada))
    stack.wire.post(f"payment_methods/{old}/detach")
    with asked(stack) as calls:
        stack.settle()

    assert calls == [f"GET /v1/customers/{customer['id']}", "GET /v1/subscriptions"]
    assert brand(ada) == "mastercard"


def test_what_is_no_card_of_a_customer_is_not_asked_about(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    Customers change often: another name, another balance; and not all are users.
    """
    ada.give_card(GOOD)
    stack.settle()
    [customer] = ada.customers
    stranger = stack.wire.post("customers", name="Eve")["id"]
    stack.wire.post(f"customers/{customer['id']}", name="Ada", balance=-500)
    card = stack.wire.post(f"payment_methods/{OTHER}/attach", customer=stranger)["id"]
    settings = {"default_payment_method": card}
    stack.wire.post(f"customers/{stranger}", invoice_settings=settings)

    with asked(stack) as calls:
        stack.settle()

    assert calls == []


def test_the_cards_of_a_deleted_customer_are_shown_no_more(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    The cards were detached with it.
    """
    ada.give_card(GOOD)
    stack.settle()
    [customer] = ada.customers

    stack.wire.delete(f"customers/{customer['id']}")
    stack.settle()

    assert ada.status["card"] is None


def test_the_triggers_of_the_sandbox_change_the_card_that_is_shown(
    stack: ServiceWithSandbox, ada: Payer
) -> None:
    """
    By hand, as in the portal, the dashboard and the bank.
    """
    ada.give_card(GOOD)
    years = list[int]()
    for type_ in (
        "customer.updated",
        "payment_method.updated",
        "payment_method.automatically_updated",
    ):
        stack.sandbox.trigger(type_, user=ada.id)
        stack.settle()
        assert brand(ada) == "mastercard"
        years.append(ada.status["card"]["exp_year"])
    assert years == sorted(set(years))

    stack.sandbox.trigger("payment_method.detached", user=ada.id)
    stack.settle()
    assert ada.status["card"] is None
