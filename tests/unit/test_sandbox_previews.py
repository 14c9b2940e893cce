"""A preview of the sandbox agrees with the later charge."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_sandbox.periods import DAY, HOUR
from support.sandbox import Api
from support.sandbox_changes import MONTH, amounts, begin, change, charged, item
from support.watched import count, latest, watched

prices = st.integers(0, 99_999)
quantities = st.integers(0, 50)
moments = st.integers(0, MONTH - 1)


@given(
    prices,
    prices,
    quantities,
    quantities,
    moments,
    st.none() | moments,
    st.sampled_from(["always_invoice", "create_prorations", "none"]),
    st.integers(-200_000, 200_000),
)
@example(1, 2, 1, 1, MONTH // 2, None, "always_invoice", 0)
@example(99_999, 1, 50, 1, 1, None, "create_prorations", 7)
def test_a_preview_is_what_is_charged(  # noqa: PLR0913, PLR0917  # drawn one by one
    old: int,
    new: int,
    before: int,
    after: int,
    moment: int,
    date: int | None,
    behavior: str,
    credit: int,
) -> None:
    """Line by line and to the minor unit, whatever the balance is."""
    with watched() as api:
        start, customer = api.now, api.customer()["id"]
        subscription = api.post(
            "subscriptions",
            customer=customer,
            items=[{"price": api.price(old)["id"], "quantity": before}],
        )
        api.post(f"customers/{customer}", balance=credit)
        api.advance(start + moment)
        changed = {
            "items": item(subscription, price=api.price(new)["id"], quantity=after),
            "proration_behavior": behavior,
            "proration_date": api.now if date is None else start + date,
        }
        preview = api.post(
            "invoices/create_preview",
            subscription=subscription["id"],
            subscription_details=changed,
        )
        took = sum(charged(api))
        change(api, subscription, **changed)
        if behavior != "always_invoice":
            api.advance(start + MONTH + HOUR)
        invoice = latest(api, subscription)
        sums = ("total", "starting_balance", "amount_due", "currency")
        assert {it: preview[it] for it in sums} == {it: invoice[it] for it in sums}
        assert amounts(preview) == amounts(invoice)
        assert sum(charged(api)) - took == preview["amount_due"]


@given(prices, quantities, st.booleans(), st.integers(-200_000, 200_000))
def test_a_preview_of_a_new_subscription_is_what_it_costs(
    amount: int,
    quantity: int,
    is_trial: bool,  # noqa: FBT001  # drawn
    credit: int,
) -> None:
    """A trial costs nothing, except what is owed from before."""
    with watched() as api:
        customer = api.customer(balance=credit)["id"]
        items = [{"price": api.price(amount)["id"], "quantity": quantity}]
        trial = {"trial_end": api.now + 10 * DAY} if is_trial else {}
        preview = api.post(
            "invoices/create_preview",
            customer=customer,
            subscription_details={"items": items, **trial},
        )
        assert api.get("invoices")["data"] == []
        api.post("subscriptions", customer=customer, items=items, **trial)
        assert sum(charged(api)) == preview["amount_due"]


@pytest.mark.parametrize(
    ("details", "is_now"),
    [
        ({"billing_cycle_anchor": {"type": "now"}}, True),
        ({"trial_end": "now"}, False),
        ({}, False),
    ],
)
def test_a_preview_without_items_is_of_the_next_invoice(
    api: Api, details: dict[str, Any], *, is_now: bool
) -> None:
    """Or of the invoice that a new anchor makes at once; nothing is stored."""
    subscription = begin(api)
    api.advance("10 days")
    before = count(api), len(api.get("invoices")["data"])
    preview = api.post(
        "invoices/create_preview",
        subscription=subscription["id"],
        subscription_details=details,
    )
    assert (count(api), len(api.get("invoices")["data"])) == before
    assert preview["id"].startswith("upcoming_in_")
    assert (len(amounts(preview)) == 2) is is_now
    if is_now:
        change(api, subscription, billing_cycle_anchor={"type": "now"})
        assert charged(api)[-1] == preview["amount_due"]
    else:
        assert amounts(preview) == [1_000]
