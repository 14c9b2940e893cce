"""Triggers: one event is requested, and everything that leads to it is made."""

import pytest

from payments_sandbox.triggers import TRIGGERS, TriggerError, trigger
from support.sandbox import Api


@pytest.mark.parametrize("user", ["ada", "ada@example.com"])
@pytest.mark.parametrize("kind", TRIGGERS)
def test_every_trigger_makes_its_event(kind: str, user: str) -> None:
    """
    By id and by e-mail; an existing user gets no second customer.
    """
    api = Api.begin()

    first = trigger(api.engine, kind, user, {})
    again = trigger(api.engine, kind, user, {})

    assert kind in first
    assert "customer.created" in first
    if kind != "customer.created":
        assert kind in again
    assert "customer.created" not in again
    [customer] = api.get("customers")["data"]
    if "@" in user:
        assert customer["email"] == user
    else:
        assert customer["metadata"] == {"user_id": user}
    api.conformance.check_events(api.engine)
    assert api.conformance.problems == []


@pytest.mark.parametrize("user", ["ada", "ada@example.com"])
def test_a_charge_says_whose_it_is(user: str) -> None:
    """
    By metadata for an id, by the receipt and the card for an e-mail: our service finds
    its account by either.
    """
    api = Api.begin()

    trigger(api.engine, "charge.failed", user, {"amount": "555"})

    [charge] = api.get("charges")["data"]
    assert (charge["amount"], charge["status"]) == (555, "failed")
    if "@" in user:
        assert charge["receipt_email"] == user
        assert charge["billing_details"]["email"] == user
    else:
        assert charge["metadata"] == {"user_id": user}


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        ("charge.eaten", {}, "charge.eaten is not one of: charge.dispute.created"),
        ("charge.failed", {"color": "red"}, "Received unknown parameter: color"),
        ("charge.failed", {"amount": "much"}, "Invalid integer: much"),
    ],
)
def test_what_cannot_be_made_is_named(
    kind: str, values: dict[str, str], says: str
) -> None:
    """
    An unknown type lists the known ones; a refused value is reported as by Stripe.
    """
    with pytest.raises(TriggerError, match=says):
        trigger(Api.begin().engine, kind, "ada", values)
