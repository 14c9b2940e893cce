"""What the sandbox makes of changes: of plans, cards, customers, charges and clocks."""

from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_service.sandbox.periods import DAY, HOUR, MINUTE
from support.sandbox import Api, Refused
from support.watched import (
    again,
    count,
    fail_from_now_on,
    latest,
    period,
    watched,
)

FAILING: Final = "pm_card_chargeCustomerFail"
ASKING: Final = "pm_card_authenticationRequired"
# January, where a sandbox begins.
MONTH: Final = 31 * DAY


def begin(api: Api, amount: int = 1_000, **params: Any) -> Any:
    return api.subscribe(api.customer()["id"], api.price(amount)["id"], **params)


def change(api: Api, subscription: Any, **params: Any) -> Any:
    return api.post(f"subscriptions/{subscription['id']}", **params)


def item(subscription: Any, **fields: Any) -> list[dict[str, Any]]:
    """Return the change of a subscription's only item."""
    return [{"id": subscription["items"]["data"][0]["id"], **fields}]


def to_price(api: Api, subscription: Any, amount: int, **recurring: Any) -> Any:
    """Return the change of a subscription's only item to a new price."""
    return item(subscription, price=api.price(amount, **recurring)["id"])


def amounts(invoice: Any) -> list[int]:
    return [line["amount"] for line in invoice["lines"]["data"]]


def charged(api: Api) -> list[int]:
    """Return what was taken, in order."""
    charges = api.get("charges", limit=100)["data"][::-1]
    return [it["amount"] for it in charges if it["paid"]]


def balance(api: Api, it: Any) -> Any:
    return api.get(f"customers/{it['customer']}")["balance"]


def intent_of(api: Api, subscription: Any) -> str:
    """Return the id of the payment intent of the latest invoice."""
    invoice = again(api, subscription)["latest_invoice"]
    (payment,) = api.get("invoice_payments", invoice=invoice)["data"]
    return str(payment["payment"]["payment_intent"])


# The plan


def test_prorations_wait_for_the_next_invoice(api: Api) -> None:
    """Half of the old price back, half of the new one on top, then the whole period."""
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
    """The difference for what is left, and the period stays."""
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
    """At the same price, with what is left of the old one credited."""
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
    """The trial goes on, and then the new price is charged."""
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
    """It is the customer's balance: below nothing, until it is used up."""
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
    """What is left of it stays; what is left to pay is charged."""
    customer = api.customer(balance=-1_500)["id"]
    price = api.price(1_000)["id"]
    subscription = api.subscribe(customer, price)
    assert balance(api, subscription) == -500
    assert charged(api) == []
    api.advance(period(subscription)[1] + HOUR)
    assert balance(api, subscription) == 0
    assert charged(api) == [500]


def test_a_void_invoice_gives_its_credit_back(api: Api) -> None:
    """As an incomplete subscription that expires does."""
    customer = api.customer(FAILING, balance=-300)["id"]
    subscription = api.subscribe(customer, api.price(1_000)["id"])
    assert latest(api, subscription)["amount_due"] == 700
    assert balance(api, subscription) == 0
    api.advance("23 hours")
    assert latest(api, subscription)["status"] == "void"
    assert balance(api, subscription) == -300


# The preview

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
    """A trial costs nothing, but what is owed from before."""
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
    """Or of the one that a new anchor makes at once; it leaves no trace."""
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


# Changes that have to be paid


def hold(api: Api, **params: Any) -> Any:
    """Return a subscription whose change waits to be paid."""
    subscription = begin(api, **params)
    fail_from_now_on(api, subscription)
    api.advance(api.now + MONTH // 2)
    return change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        payment_behavior="pending_if_incomplete",
        proration_behavior="always_invoice",
    )


def test_a_change_that_has_to_be_paid_is_held(api: Api) -> None:
    """The old price stays until then, and `pending_update` says what is to come."""
    held = hold(api)
    assert held["status"] == "active"
    assert held["items"]["data"][0]["price"]["unit_amount"] == 1_000
    pending = held["pending_update"]
    assert pending["expires_at"] == api.now + 23 * HOUR
    assert pending["subscription_items"][0]["price"]["unit_amount"] == 3_000
    assert latest(api, held)["status"] == "open"


def test_a_held_change_is_applied_when_it_is_paid(api: Api) -> None:
    """By another card, within 23 hours."""
    held = hold(api)
    card = api.give_card(held["customer"], "pm_card_visa")
    api.advance("22 hours")
    before = count(api)
    api.post(f"invoices/{held['latest_invoice']}/pay", payment_method=card)
    applied = again(api, held)
    assert applied["pending_update"] is None
    assert applied["items"]["data"][0]["price"]["unit_amount"] == 3_000
    assert applied["status"] == "active"
    assert "customer.subscription.pending_update_applied" in api.types(before)
    before = count(api)
    api.advance("2 hours")
    assert api.types(before) == []


def test_a_held_change_that_is_not_paid_expires(api: Api) -> None:
    """After 23 hours, its invoice is void and the old price is renewed."""
    held = hold(api)
    api.advance(api.now + 23 * HOUR - MINUTE)
    assert again(api, held)["pending_update"]
    before = count(api)
    api.advance("1 minute")
    expired = again(api, held)
    assert expired["pending_update"] is None
    assert expired["status"] == "active"
    assert expired["items"]["data"][0]["price"]["unit_amount"] == 1_000
    assert latest(api, held)["status"] == "void"
    assert "customer.subscription.pending_update_expired" in api.types(before)
    assert "invoice.voided" in api.types(before)

    api.give_card(held["customer"], "pm_card_visa")
    api.advance(period(held)[1] + HOUR)
    assert latest(api, held)["total"] == 1_000


def test_a_change_that_is_paid_at_once_is_not_held(api: Api) -> None:
    """`pending_if_incomplete` holds only what fails."""
    subscription = begin(api)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        payment_behavior="pending_if_incomplete",
        proration_behavior="always_invoice",
    )
    assert changed["pending_update"] is None
    assert changed["items"]["data"][0]["price"]["unit_amount"] == 3_000


def test_a_change_that_fails_makes_it_past_due(api: Api) -> None:
    """With `allow_incomplete` it is applied all the same."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        proration_behavior="always_invoice",
    )
    assert changed["status"] == "past_due"
    assert changed["items"]["data"][0]["price"]["unit_amount"] == 3_000
    assert latest(api, subscription)["next_payment_attempt"]


def test_a_change_with_error_if_incomplete_is_refused_if_it_fails(api: Api) -> None:
    """402, and all is as it was."""
    subscription = begin(api)
    fail_from_now_on(api, subscription)
    items, before = to_price(api, subscription, 3_000), count(api)
    with pytest.raises(Refused) as refused:
        change(
            api,
            subscription,
            items=items,
            payment_behavior="error_if_incomplete",
            proration_behavior="always_invoice",
        )
    assert (refused.value.status, refused.value.code) == (402, "card_declined")
    assert again(api, subscription) == subscription
    assert count(api) == before
    assert api.get("invoiceitems")["data"] == []


def test_default_incomplete_is_confirmed_later(api: Api) -> None:
    """By the payment intent; the card that pays is kept where that was asked for."""
    settings = {"save_default_payment_method": "on_subscription"}
    customer = api.customer(None)["id"]
    subscription = api.subscribe(
        customer,
        api.price()["id"],
        payment_behavior="default_incomplete",
        payment_settings=settings,
        expand=["latest_invoice.confirmation_secret"],
    )
    invoice = subscription["latest_invoice"]
    secret = invoice["confirmation_secret"]["client_secret"]
    intent = secret.partition("_secret_")[0]
    assert subscription["status"] == "incomplete"
    confirmed = api.post(
        f"payment_intents/{intent}/confirm", payment_method="pm_card_visa"
    )
    assert confirmed["status"] == "succeeded"

    subscription = again(api, {"object": "subscription", "id": subscription["id"]})
    assert subscription["status"] == "active"
    card = subscription["default_payment_method"]
    assert card == confirmed["payment_method"]
    assert api.get(f"payment_methods/{card}")["customer"] == customer
    api.advance(period(subscription)[1] + HOUR)
    assert charged(api) == [900, 900]


def test_a_change_with_default_incomplete_is_confirmed_later(api: Api) -> None:
    """Past due until the payment intent of its invoice is."""
    subscription = begin(api)
    changed = change(
        api,
        subscription,
        items=to_price(api, subscription, 3_000),
        payment_behavior="default_incomplete",
        proration_behavior="always_invoice",
    )
    assert changed["status"] == "past_due"
    assert charged(api) == [1_000]
    api.post(f"payment_intents/{intent_of(api, subscription)}/confirm")
    assert again(api, subscription)["status"] == "active"
    assert charged(api) == [1_000, 2_000]


def test_the_card_that_pays_is_not_kept_unless_asked(api: Api) -> None:
    """It is the customer's, but not the subscription's."""
    customer = api.customer(None)["id"]
    subscription = api.subscribe(
        customer, api.price()["id"], payment_behavior="default_incomplete"
    )
    intent = intent_of(api, subscription)
    api.post(f"payment_intents/{intent}/confirm", payment_method="pm_card_visa")
    active = again(api, subscription)
    assert (active["status"], active["default_payment_method"]) == ("active", None)


# Customers and cards


def test_a_customer_whose_first_card_is_declined_is_not_made(api: Api) -> None:
    """402, and neither a customer nor an event is left."""
    before = count(api)
    with pytest.raises(Refused) as refused:
        api.post("customers", payment_method="pm_card_chargeDeclined")
    assert (refused.value.status, refused.value.code) == (402, "card_declined")
    assert api.get("customers")["data"] == []
    assert count(api) == before
    assert api.post("customers", payment_method="pm_card_visa")["id"]


def test_a_deleted_customer_ends_everything(api: Api) -> None:
    """Subscriptions, cards and the customer; a stub is left."""
    subscription = begin(api)
    waiting = api.subscribe(
        subscription["customer"], api.price(500)["id"], trial_period_days=14
    )
    before, path = count(api), f"customers/{subscription['customer']}"
    stub = api.delete(path)
    assert stub == {
        "id": subscription["customer"],
        "object": "customer",
        "deleted": True,
    }
    assert api.get(path) == stub
    for it in (subscription, waiting):
        assert again(api, it)["status"] == "canceled"
    assert sorted(set(api.types(before))) == [
        "customer.deleted",
        "customer.subscription.deleted",
        "payment_method.detached",
    ]
    with pytest.raises(Refused) as refused:
        api.post(path, name="Ada")
    assert (refused.value.status, refused.value.code) == (404, "resource_missing")
    before = count(api)
    api.advance("2 months")
    assert api.types(before) == []


def test_a_customer_deleted_while_a_renewal_waits_is_not_charged(api: Api) -> None:
    """Neither for a draft nor by a retry."""
    drafted = begin(api)
    failing = begin(api)
    fail_from_now_on(api, failing)
    api.advance(period(drafted)[1])
    api.delete(f"customers/{drafted['customer']}")
    api.advance("1 day")
    api.delete(f"customers/{failing['customer']}")
    api.advance("1 month")
    assert charged(api) == [1_000, 1_000]
    assert again(api, {"object": "subscription", "id": failing["id"]})["ended_at"]


def test_a_detached_default_card_is_no_default_any_more(api: Api) -> None:
    """Of the customer nor of a subscription; the renewal then fails."""
    subscription = begin(api)
    customer = api.get(f"customers/{subscription['customer']}")
    card = customer["invoice_settings"]["default_payment_method"]
    change(api, subscription, default_payment_method=card)
    api.post(f"payment_methods/{card}/detach")

    customer = api.get(f"customers/{subscription['customer']}")
    assert customer["invoice_settings"]["default_payment_method"] is None
    assert again(api, subscription)["default_payment_method"] is None
    api.advance(period(subscription)[1] + HOUR)
    assert again(api, subscription)["status"] == "past_due"
    assert charged(api) == [1_000]
    # What the subscription has goes before what the customer has.
    other = api.post(
        "payment_methods/pm_card_visa/attach", customer=subscription["customer"]
    )
    change(api, subscription, default_payment_method=other["id"])
    api.give_card(subscription["customer"], FAILING)
    api.advance("1 day")
    assert again(api, subscription)["status"] == "active"


# Refunds and disputes


def pay(api: Api, card: str = "pm_card_visa", amount: int = 1_000) -> Any:
    """Charge a card once; return the charge."""
    intent = api.post(
        "payment_intents",
        amount=amount,
        currency="eur",
        payment_method=card,
        confirm=True,
    )
    return api.get(f"charges/{intent['latest_charge']}")


def test_a_charge_is_refunded_in_parts_and_then_whole(api: Api) -> None:
    """Only then it says `refunded`."""
    charge = pay(api)
    before = count(api)
    part = api.post("refunds", charge=charge["id"], amount=400)
    assert (part["status"], part["amount"]) == ("succeeded", 400)
    partly = again(api, charge)
    assert (partly["amount_refunded"], partly["refunded"]) == (400, False)
    assert api.types(before) == ["refund.created", "charge.refunded"]

    rest = api.post("refunds", payment_intent=charge["payment_intent"])
    assert rest["amount"] == 600
    whole = again(api, charge)
    assert (whole["amount_refunded"], whole["refunded"]) == (1_000, True)
    assert whole["status"] == "succeeded"


def test_a_refund_of_a_subscription_does_not_end_it(api: Api) -> None:
    """The invoice stays paid."""
    subscription = begin(api)
    (charge,) = api.get("charges")["data"]
    api.post("refunds", charge=charge["id"], reason="requested_by_customer")
    assert again(api, subscription)["status"] == "active"
    assert latest(api, subscription)["status"] == "paid"


def test_a_dispute_comes_right_after_its_charge(api: Api) -> None:
    """It waits for evidence, and the money cannot be refunded meanwhile."""
    before = count(api)
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    assert charge["disputed"] is True
    assert (dispute["status"], dispute["reason"]) == ("needs_response", "fraudulent")
    assert dispute["evidence_details"]["due_by"] > api.now
    assert api.types(before)[-2:] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ]
    with pytest.raises(Refused) as refused:
        api.post("refunds", charge=charge["id"])
    assert (refused.value.status, refused.value.code) == (400, "charge_disputed")


@pytest.mark.parametrize(
    ("evidence", "status", "returned"),
    [
        ("winning_evidence", "won", ["charge.dispute.funds_reinstated"]),
        ("losing_evidence", "lost", []),
    ],
)
def test_evidence_decides_a_dispute(
    api: Api, evidence: str, status: str, returned: list[str]
) -> None:
    """By the words that Stripe's test mode has for it; who wins gets the money back."""
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    path, before = f"disputes/{dispute['id']}", count(api)
    closed = api.post(path, evidence={"uncategorized_text": evidence})
    assert closed["status"] == status
    assert api.types(before) == [
        "charge.dispute.updated",
        "charge.dispute.closed",
        *returned,
    ]
    with pytest.raises(Refused) as refused:
        api.post(path, evidence={"uncategorized_text": "more"})
    assert refused.value.status == 400


def test_evidence_may_be_staged_before_it_is_submitted(api: Api) -> None:
    """Other words leave it under review."""
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    path = f"disputes/{dispute['id']}"
    staged = api.post(path, evidence={"customer_name": "Ada"}, submit=False)
    assert staged["status"] == "needs_response"
    assert staged["evidence_details"]["has_evidence"] is True
    assert staged["evidence_details"]["submission_count"] == 0
    submitted = api.post(path, evidence={"uncategorized_text": "She had it."})
    assert submitted["status"] == "under_review"
    assert submitted["evidence"]["customer_name"] == "Ada"
    assert submitted["evidence_details"]["submission_count"] == 1


def test_staged_evidence_can_be_submitted_alone(api: Api) -> None:
    """`submit` without more evidence sends what is there."""
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    path = f"disputes/{dispute['id']}"
    api.post(path, evidence={"uncategorized_text": "winning_evidence"}, submit=False)
    assert api.post(path, submit=True)["status"] == "won"


def test_a_dispute_can_be_given_up_and_an_inquiry_refunded(api: Api) -> None:
    """Closing one loses it; an inquiry has taken no money yet."""
    charge = pay(api, "pm_card_createDispute")
    (dispute,) = api.get("disputes", charge=charge["id"])["data"]
    assert api.post(f"disputes/{dispute['id']}/close")["status"] == "lost"

    charge = pay(api, "pm_card_createDisputeInquiry")
    (inquiry,) = api.get("disputes", charge=charge["id"])["data"]
    assert inquiry["status"] == "warning_needs_response"
    assert inquiry["is_charge_refundable"] is True
    assert api.post("refunds", charge=charge["id"])["amount"] == 1_000


# Test clocks


def on_clock(api: Api) -> tuple[str, Any]:
    """Return a test clock and a subscription of a customer on it."""
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    customer = api.customer(test_clock=clock)["id"]
    return clock, api.subscribe(customer, api.price(1_000)["id"])


def test_a_customer_on_its_own_clock_does_not_move_with_the_sandbox(api: Api) -> None:
    """Nor does the sandbox move with the customer."""
    clock, subscription = on_clock(api)
    other, start = begin(api), api.now
    assert subscription["test_clock"] == clock
    api.advance("2 months")
    assert period(again(api, subscription)) == period(subscription)
    assert period(again(api, other)) != period(other)

    now = api.now
    target = start + 3 * MONTH
    moved = api.post(f"test_helpers/test_clocks/{clock}/advance", frozen_time=target)
    assert moved["status"] == "advancing"
    ready = api.get(f"test_helpers/test_clocks/{clock}")
    assert (ready["status"], ready["frozen_time"]) == ("ready", target)
    assert api.now == now
    renewed = again(api, subscription)
    assert period(renewed)[0] <= target < period(renewed)[1]


def test_advancing_a_test_clock_does_all_that_falls_due(api: Api) -> None:
    """Renewals, retries and the end, each at its own time."""
    clock, subscription = on_clock(api)
    fail_from_now_on(api, subscription)
    path = f"test_helpers/test_clocks/{clock}/advance"
    api.post(path, frozen_time=period(subscription)[1] + HOUR)
    assert again(api, subscription)["status"] == "past_due"
    api.post(path, frozen_time=period(subscription)[1] + 15 * DAY)
    ended = again(api, subscription)
    assert ended["status"] == "canceled"
    assert ended["ended_at"] > api.now
    failed = [it for it in api.get("charges")["data"] if not it["paid"]]
    assert len(failed) == 9
    types = api.types()
    assert types[-1] == "test_helpers.test_clock.ready"
    with pytest.raises(Refused) as refused:
        api.post(path, frozen_time=period(subscription)[1])
    assert (refused.value.status, refused.value.param) == (400, "frozen_time")


def test_a_deleted_test_clock_takes_its_customers_along(api: Api) -> None:
    """And their subscriptions; others stay."""
    clock, subscription = on_clock(api)
    other = begin(api)
    stub = api.delete(f"test_helpers/test_clocks/{clock}")
    assert stub["deleted"] is True
    for path in (
        f"test_helpers/test_clocks/{clock}",
        f"customers/{subscription['customer']}",
        f"subscriptions/{subscription['id']}",
    ):
        with pytest.raises(Refused) as refused:
            api.get(path)
        assert (refused.value.status, refused.value.code) == (404, "resource_missing")
    api.advance("2 months")
    assert again(api, other)["status"] == "active"
