"""The cost of a change of plan in the sandbox, and the credit that it leaves."""

from typing import Any

import pytest

from payments_sandbox.periods import DAY, HOUR
from support.sandbox import Api
from support.sandbox_changes import (
    MONTH,
    amounts,
    begin,
    change,
    charged,
    item,
    to_price,
)
from support.watched import FAILING, count, latest, period


def balance(api: Api, it: Any) -> Any:
    return api.get(f"customers/{it['customer']}")["balance"]


# The plan


def test_prorations_wait_for_the_next_invoice(api: Api) -> None:
    """Half of the old price back, half of the new one added, then the whole period."""
    subscription = begin(api)
    api.advance(api.now + MONTH // 2)
    before = count(api)
    changed = change(api, subscription, items=to_price(api, subscription, 3_000))

    assert changed["items"]["data"][0]["price"]["unit_amount"] == 3_000
    assert period(changed) == period(subscription)
    assert changed["latest_invoice"] == subscription["latest_invoice"]
    assert charged(api) == [1_000]
    assert [it for it in api.types(before) if not it.startswith("pr")] == [
        "invoiceitem.created",
        "invoiceitem.created",
        "customer.subscription.updated",
    ]
    waiting = api.get("invoiceitems", pending=True)["data"]
    assert [it["amount"] for it in waiting] == [1_500, -500]
    assert all(it["proration"] for it in waiting)

    api.advance(period(subscription)[1] + HOUR)
    invoice = latest(api, subscription)
    assert amounts(invoice) == [-500, 1_500, 3_000]
    assert charged(api) == [1_000, 4_000]
    assert api.get("invoiceitems", pending=True)["data"] == []


def test_always_invoice_bills_the_change_at_once(api: Api) -> None:
    """The difference for the rest of the period, and the period stays."""
    subscription = begin(api)
    api.advance(api.now + MONTH // 2)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        proration_behavior="always_invoice",
    )
    invoice = latest(api, subscription)
    assert amounts(invoice) == [-500, 1_500]
    assert invoice["billing_reason"] == "subscription_update"
    assert period(changed) == period(subscription)
    assert charged(api) == [1_000, 1_000]
    api.advance(period(subscription)[1] + HOUR)
    assert charged(api) == [1_000, 1_000, 3_000]


def test_no_proration_bills_nothing(api: Api) -> None:
    """The new price counts from the next period."""
    subscription = begin(api)
    api.advance(api.now + MONTH // 2)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        proration_behavior="none",
    )
    assert changed["latest_invoice"] == subscription["latest_invoice"]
    assert api.get("invoiceitems")["data"] == []
    api.advance(period(subscription)[1] + HOUR)
    assert charged(api) == [1_000, 3_000]


@pytest.mark.parametrize("behavior", ["create_prorations", "always_invoice", "none"])
def test_another_interval_starts_a_new_period_now(api: Api, behavior: str) -> None:
    """It is charged in full, with the rest of the old one credited unless `none`."""
    subscription = begin(api)
    api.advance(api.now + MONTH // 2)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 9_000, interval="year"),
        proration_behavior=behavior,
    )
    assert period(changed) == (api.now, api.now + 365 * DAY)
    assert changed["billing_cycle_anchor"] == api.now
    credited = [] if behavior == "none" else [-500]
    assert amounts(latest(api, subscription)) == [*credited, 9_000]
    assert charged(api) == [1_000, 9_000 + sum(credited)]


def test_resetting_the_anchor_starts_a_new_period_now(api: Api) -> None:
    """At the same price, with the rest of the old one credited."""
    subscription = begin(api)
    api.advance(api.now + MONTH // 2)
    changed = change(api, subscription, billing_cycle_anchor={"type": "now"})
    assert period(changed)[0] == api.now
    assert charged(api) == [1_000, 500]


def test_a_quantity_is_prorated_like_a_price(api: Api) -> None:
    """The old quantity is credited, the new one charged; the item stays."""
    subscription = begin(api)
    api.advance(api.now + MONTH // 2)
    changed = change(api, subscription, items=item(subscription, quantity=3))
    assert [it["id"] for it in changed["items"]["data"]] == [
        it["id"] for it in subscription["items"]["data"]
    ]
    api.advance(period(subscription)[1] + HOUR)
    assert charged(api) == [1_000, 1_500 - 500 + 3_000]


def test_a_change_that_changes_nothing_costs_nothing(api: Api) -> None:
    """The same price and the same quantity make no prorations."""
    subscription = begin(api)
    api.advance("3 days")
    before = count(api)
    price = subscription["items"]["data"][0]["price"]["id"]
    change(
        api,
        subscription,
        items=item(subscription, price=price, quantity=1),
        proration_behavior="always_invoice",
    )
    assert api.types(before) == []


def test_the_moment_of_a_proration_can_be_given(api: Api) -> None:
    """So that a preview and the change after it agree."""
    subscription = begin(api)
    date = api.now + MONTH // 4
    api.advance(api.now + MONTH // 2)
    change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        proration_behavior="always_invoice",
        proration_date=date,
    )
    assert amounts(latest(api, subscription)) == [-750, 2_250]
    periods = [it["period"] for it in latest(api, subscription)["lines"]["data"]]
    assert [(it["start"], it["end"]) for it in periods] == [
        (date, period(subscription)[1])
    ] * 2


def test_items_are_added_and_deleted_each_with_its_proration(api: Api) -> None:
    """All share one period, and one invoice."""
    subscription = begin(api)
    other = api.price(400)["id"]
    api.advance(api.now + MONTH // 2)
    both = change(
        api,
        subscription,
        items=[{"price": other, "quantity": 2}],
        proration_behavior="always_invoice",
    )
    assert len(both["items"]["data"]) == 2
    assert len({period({"items": {"data": [it]}}) for it in both["items"]["data"]}) == 1
    assert charged(api) == [1_000, 400]

    first = both["items"]["data"][0]["id"]
    one = change(api, subscription, items=[{"id": first, "deleted": True}])
    assert [it["price"]["id"] for it in one["items"]["data"]] == [other]
    api.advance(period(subscription)[1] + HOUR)
    assert charged(api) == [1_000, 400, 800 - 500]
    assert amounts(latest(api, subscription)) == [-500, 800]


def test_a_change_during_a_trial_costs_nothing(api: Api) -> None:
    """The trial continues, and then the new price is charged."""
    subscription = begin(api, trial_period_days=14)
    api.advance("3 days")
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        proration_behavior="always_invoice",
    )
    assert (changed["status"], changed["trial_end"]) == (
        "trialing",
        subscription["trial_end"],
    )
    api.advance(subscription["trial_end"] + HOUR)
    assert charged(api) == [3_000]


# Credit


def test_a_downgrade_leaves_credit_that_the_next_invoice_uses(api: Api) -> None:
    """It is the customer's balance: negative until it is used up."""
    subscription = begin(api, 3_000)
    api.advance(api.now + MONTH // 2)
    change(
        api,
        subscription,
        items=to_price(api, subscription, 1_000),
        proration_behavior="always_invoice",
    )
    invoice = latest(api, subscription)
    assert (invoice["total"], invoice["amount_due"]) == (-1_000, 0)
    assert (invoice["status"], invoice["ending_balance"]) == ("paid", -1_000)
    assert balance(api, subscription) == -1_000
    assert charged(api) == [3_000]

    api.advance(period(subscription)[1] + HOUR)
    renewal = latest(api, subscription)
    assert (renewal["total"], renewal["amount_due"]) == (1_000, 0)
    assert (renewal["starting_balance"], renewal["ending_balance"]) == (-1_000, 0)
    assert (renewal["status"], renewal["attempt_count"]) == ("paid", 0)
    assert balance(api, subscription) == 0
    api.advance("1 month")
    assert charged(api) == [3_000, 1_000]


def test_credit_is_used_in_part(api: Api) -> None:
    """The rest of it remains; the rest of the invoice is charged."""
    customer = api.customer(balance=-1_500)["id"]
    price = api.price(1_000)["id"]
    subscription = api.subscribe(customer, price)
    assert balance(api, subscription) == -500
    assert charged(api) == []
    api.advance(period(subscription)[1] + HOUR)
    assert balance(api, subscription) == 0
    assert charged(api) == [500]


def test_a_void_invoice_gives_its_credit_back(api: Api) -> None:
    """Like that of an incomplete subscription that expires."""
    customer = api.customer(FAILING, balance=-300)["id"]
    subscription = api.subscribe(customer, api.price(1_000)["id"])
    assert latest(api, subscription)["amount_due"] == 700
    assert balance(api, subscription) == 0
    api.advance("23 hours")
    assert latest(api, subscription)["status"] == "void"
    assert balance(api, subscription) == -300
