"""What the sandbox returns to clients of older API versions."""

import json
from email.utils import parsedate_to_datetime
from typing import Any, Final

import pytest

from payments_sandbox.api_versions import ACACIA, BASIL, NEWEST
from payments_sandbox.periods import DAY
from support.sandbox import Api, Refused

CLOVER: Final = "2025-09-30.clover"
PERIOD: Final = {"current_period_start", "current_period_end"}


def seen(api: Api, version: str, path: str, **params: Any) -> Any:
    """Return what a client of this version sees."""
    return api.call("GET", path, params, stripe_version=version)


def subscribed(api: Api) -> Any:
    return api.subscribe(api.customer()["id"], api.price()["id"])


def same(left: Any, right: Any) -> dict[str, Any]:
    """Return the shared fields of two objects that differ."""
    names = left.keys() & right.keys()
    return {it: (left[it], right[it]) for it in names if left[it] != right[it]}


# Subscriptions


def test_the_period_was_the_subscriptions_before_basil(api: Api) -> None:
    """In acacia on the subscription, from basil on its items, never on both."""
    path = f"subscriptions/{subscribed(api)['id']}"
    old, new = seen(api, ACACIA, path), seen(api, BASIL, path)
    (old_item,), (new_item,) = old["items"]["data"], new["items"]["data"]

    assert old.keys() >= PERIOD
    assert not old_item.keys() & PERIOD
    assert not new.keys() & PERIOD
    assert new_item.keys() >= PERIOD
    assert {it: old[it] for it in PERIOD} == {it: new_item[it] for it in PERIOD}


def test_an_acacia_subscription_has_what_basil_took_away(api: Api) -> None:
    """One discount, and the plan and the quantity of its only item."""
    subscription = subscribed(api)
    path = f"subscriptions/{subscription['id']}"
    old = seen(api, ACACIA, path)
    assert old["discount"] is None
    assert (old["plan"]["id"], old["quantity"]) == (
        subscription["items"]["data"][0]["price"]["id"],
        1,
    )
    for version in (BASIL, CLOVER, NEWEST):
        assert not seen(api, version, path).keys() & {"discount", "plan", "quantity"}


def test_several_items_have_no_common_plan(api: Api) -> None:
    """Acacia has null for both; the period remains."""
    items = [{"price": api.price()["id"]}, {"price": api.price(5)["id"]}]
    subscription = api.post("subscriptions", customer=api.customer()["id"], items=items)
    old = seen(api, ACACIA, f"subscriptions/{subscription['id']}")
    assert old["plan"] is old["quantity"] is None
    assert old.keys() >= PERIOD


def test_the_billing_mode_is_shown_from_clover_on(api: Api) -> None:
    """Older clients do not know it."""
    path = f"subscriptions/{subscribed(api)['id']}"
    for version, shown in [(ACACIA, 0), (BASIL, 0), (CLOVER, 1), (NEWEST, 1)]:
        assert ("billing_mode" in seen(api, version, path)) is bool(shown)


# Invoices


def test_an_acacia_invoice_says_what_paid_it_and_what_for(api: Api) -> None:
    """Subscription, payment intent, charge and `paid`; from basil on none of these."""
    subscription = subscribed(api)
    path = f"invoices/{subscription['latest_invoice']}"
    old, new = seen(api, ACACIA, path), seen(api, BASIL, path)
    (charge,) = api.get("charges")["data"]

    assert old["subscription"] == subscription["id"]
    assert (old["payment_intent"], old["charge"]) == (
        charge["payment_intent"],
        charge["id"],
    )
    assert (old["paid"], old["paid_out_of_band"]) == (True, False)
    gone = {
        "application_fee_amount",
        "charge",
        "discount",
        "paid",
        "paid_out_of_band",
        "payment_intent",
        "quote",
        "subscription",
        "subscription_details",
        "tax",
        "total_tax_amounts",
        "transfer_data",
    }
    assert old.keys() >= gone
    assert not new.keys() & gone
    assert "parent" not in old
    details = new["parent"]["subscription_details"]
    assert details["subscription"] == subscription["id"]
    assert same(old, new).keys() <= {"lines"}


def test_an_invoice_paid_elsewhere_says_so_in_acacia(api: Api) -> None:
    """`paid_out_of_band`; it has a payment intent, and no charge."""
    customer, price = api.customer()["id"], api.price()["id"]
    subscription = api.subscribe(customer, price, payment_behavior="default_incomplete")
    path = f"invoices/{subscription['latest_invoice']}"
    unpaid = seen(api, ACACIA, path)
    assert (unpaid["paid"], unpaid["paid_out_of_band"]) == (False, False)
    api.post(f"{path}/pay", paid_out_of_band=True)
    paid = seen(api, ACACIA, path)
    assert (paid["paid"], paid["paid_out_of_band"]) == (True, True)
    assert paid["charge"] is None


def test_the_lines_of_an_acacia_invoice_have_price_and_type(api: Api) -> None:
    """From basil on they have a parent and their pricing."""
    subscription = subscribed(api)
    path = f"subscriptions/{subscription['id']}"
    item = subscription["items"]["data"][0]
    api.advance("10 days")
    change = {"items": [{"id": item["id"], "quantity": 2}]}
    api.post(path, **change, proration_behavior="always_invoice")
    first = f"invoices/{subscription['latest_invoice']}"
    later = f"invoices/{api.get(path)['latest_invoice']}"

    (whole,) = seen(api, ACACIA, first)["lines"]["data"]
    prorated = seen(api, ACACIA, later)["lines"]["data"]
    assert (whole["type"], whole["proration"]) == ("subscription", False)
    assert {(it["type"], it["proration"]) for it in prorated} == {("invoiceitem", True)}
    assert all(it["invoice_item"].startswith("ii_") for it in prorated)
    for line in (whole, *prorated):
        assert line["price"]["id"] == line["plan"]["id"] == item["price"]["id"]
        assert line["subscription"] == subscription["id"]
        assert line["subscription_item"] == item["id"]
        assert not line.keys() & {"parent", "pricing", "taxes"}

    (new,) = seen(api, BASIL, first)["lines"]["data"]
    assert not new.keys() & {"price", "plan", "type", "proration", "invoice_item"}
    assert new["parent"]["type"] == "subscription_item_details"
    assert new["pricing"]["price_details"]["price"] == item["price"]["id"]
    (listed,) = seen(api, ACACIA, f"{first}/lines")["data"]
    assert listed == whole


def test_an_acacia_invoice_item_has_its_price_and_subscription(api: Api) -> None:
    """From basil on they are in its parent and its pricing."""
    subscription = subscribed(api)
    item = subscription["items"]["data"][0]
    api.advance("10 days")
    change = {"items": [{"id": item["id"], "quantity": 2}]}
    api.post(f"subscriptions/{subscription['id']}", **change)
    waiting = api.get("invoiceitems")["data"][0]["id"]

    old = seen(api, ACACIA, f"invoiceitems/{waiting}")
    assert old["price"]["id"] == old["plan"]["id"] == item["price"]["id"]
    assert old["subscription"] == subscription["id"]
    assert old["subscription_item"] == item["id"]
    assert old["unit_amount"] == 900
    assert not old.keys() & {"parent", "pricing"}
    new = seen(api, BASIL, f"invoiceitems/{waiting}")
    assert not new.keys() & {"price", "plan", "subscription", "unit_amount"}
    assert new["parent"]["subscription_details"]["subscription"] == subscription["id"]


# Charges and payment intents


def test_a_charge_lost_its_invoice_with_basil(api: Api) -> None:
    """So did the payment intent; without an invoice it is null in acacia."""
    subscription = subscribed(api)
    (charge,) = api.get("charges")["data"]
    paths = [f"charges/{charge['id']}", f"payment_intents/{charge['payment_intent']}"]
    for path in paths:
        assert seen(api, ACACIA, path)["invoice"] == subscription["latest_invoice"]
        assert "invoice" not in seen(api, BASIL, path)
        assert "invoice" not in seen(api, NEWEST, path)

    alone = api.post(
        "payment_intents",
        amount=100,
        currency="eur",
        payment_method="pm_card_visa",
        confirm=True,
    )
    assert seen(api, ACACIA, f"charges/{alone['latest_charge']}")["invoice"] is None


# Lists, expanded and nested objects


@pytest.mark.parametrize("kind", ["subscriptions", "invoices", "charges"])
def test_a_list_shows_each_as_it_is_shown_alone(api: Api, kind: str) -> None:
    """In every version."""
    subscribed(api)
    for version in (ACACIA, BASIL, CLOVER, NEWEST):
        (listed,) = seen(api, version, kind)["data"]
        assert listed == seen(api, version, f"{kind}/{listed['id']}")


def test_what_is_expanded_is_shown_in_the_version_as_well(api: Api) -> None:
    """With both the old and the new field names, to any depth."""
    subscription = subscribed(api)
    path = f"subscriptions/{subscription['id']}"
    ways = ["latest_invoice.payment_intent.latest_charge.invoice"]
    old = seen(api, ACACIA, path, expand=ways)
    invoice = old["latest_invoice"]
    charge = invoice["payment_intent"]["latest_charge"]
    assert invoice["subscription"] == subscription["id"]
    assert charge["object"] == "charge"
    assert charge["invoice"]["id"] == invoice["id"]
    assert "parent" not in charge["invoice"]

    new = seen(api, BASIL, path, expand=["latest_invoice.payments"])
    (payment,) = new["latest_invoice"]["payments"]["data"]
    assert payment["object"] == "invoice_payment"
    assert "subscription" not in new["latest_invoice"]
    path = f"charges/{charge['id']}"
    included = seen(api, ACACIA, path, expand=["customer.subscriptions"])
    assert included["customer"]["subscriptions"]["data"][0].keys() >= PERIOD
    path = f"customers/{subscription['customer']}"
    (nested,) = seen(api, BASIL, path, expand=["subscriptions"])["subscriptions"][
        "data"
    ]
    assert not nested.keys() & PERIOD


@pytest.mark.parametrize(
    ("version", "way"),
    [
        (BASIL, "latest_invoice.payment_intent"),
        (NEWEST, "latest_invoice.payment_intent"),
        (NEWEST, "latest_invoice.charge"),
        (ACACIA, "latest_invoice.payments"),
        (ACACIA, "latest_invoice.confirmation_secret"),
    ],
)
def test_what_a_version_does_not_have_cannot_be_expanded(
    api: Api, version: str, way: str
) -> None:
    """It is refused as any other word."""
    path = f"subscriptions/{subscribed(api)['id']}"
    with pytest.raises(Refused) as refused:
        seen(api, version, path, expand=[way])
    assert (refused.value.status, refused.value.param) == (400, "expand")


def test_a_decline_shows_its_intent_in_the_version(api: Api) -> None:
    """The object in the error is rendered too."""
    failing = api.customer("pm_card_chargeCustomerFail")["id"]
    subscription = api.subscribe(failing, api.price()["id"])
    path = f"invoices/{subscription['latest_invoice']}/pay"
    for version, shown in ((ACACIA, True), (BASIL, False), (NEWEST, False)):
        response = api.raw("POST", path, stripe_version=version)
        intent = json.loads(response.body)["error"]["payment_intent"]
        assert response.status == 402
        assert ("invoice" in intent) is shown


def test_a_create_answers_in_the_version_that_asked(api: Api) -> None:
    """What is stored is the same for all versions."""
    customer, price = api.customer()["id"], api.price()["id"]
    params = {"customer": customer, "items": [{"price": price}]}
    made = api.call("POST", "subscriptions", params, stripe_version=ACACIA)
    assert made.keys() >= PERIOD
    assert not api.get(f"subscriptions/{made['id']}").keys() & PERIOD


# Versions


@pytest.mark.parametrize(
    "version",
    [
        "nix",
        "2024-06-20",
        "2099-01-01.endive",
        "2024-09-30.shoe",
        "2024-09-30.ACACIA",
        "2024-09-30.acacia ",
        "acacia",
    ],
)
def test_a_version_that_is_not_known_is_refused(api: Api, version: str) -> None:
    """The error lists the known versions."""
    with pytest.raises(Refused) as refused:
        seen(api, version, "customers")
    assert (refused.value.status, refused.value.type) == (400, "invalid_request_error")
    assert NEWEST in refused.value.message


@pytest.mark.parametrize("version", [ACACIA, BASIL, CLOVER, NEWEST, ""])
def test_the_version_is_echoed(api: Api, version: str) -> None:
    """A request without a version gets the newest."""
    response = api.raw("GET", "customers", stripe_version=version)
    assert response.headers["Stripe-Version"] == (version or NEWEST)


def test_each_request_has_an_id(api: Api) -> None:
    """Refused or not, each has its own."""
    answers = [
        api.raw("GET", "customers"),
        api.raw("GET", "customers"),
        api.raw("GET", "shoes"),
        api.raw("GET", "customers", authorization=""),
    ]
    ids = [answer.headers["Request-Id"] for answer in answers]
    assert len(set(ids)) == 4
    assert all(id_.startswith("req_") for id_ in ids)


# The time of an answer


def date(api: Api, path: str, **headers: str) -> int:
    response = api.raw("GET", path, None, **headers)
    return int(parsedate_to_datetime(response.headers["Date"]).timestamp())


def test_the_date_is_the_virtual_time(api: Api) -> None:
    """Of a refusal, too."""
    api.advance("40 days")
    assert date(api, "customers") == api.now
    assert date(api, "shoes") == api.now
    assert date(api, "customers", authorization="") == api.now
    assert date(api, "customers", stripe_version="nix") == api.now


def test_the_date_of_a_customer_on_a_test_clock_is_its_own(api: Api) -> None:
    """For every request about the customer, also a refused one; not for others."""
    clock = api.post("test_helpers/test_clocks", frozen_time=api.now)["id"]
    customer = api.customer(test_clock=clock)["id"]
    subscription = api.subscribe(customer, api.price()["id"])
    target = api.now + 40 * DAY
    api.post(f"test_helpers/test_clocks/{clock}/advance", frozen_time=target)

    for path in (
        f"customers/{customer}",
        f"subscriptions/{subscription['id']}",
        f"invoices/{subscription['latest_invoice']}",
        f"charges/{api.get('charges')['data'][-1]['id']}",
        f"invoices/{subscription['latest_invoice']}/lines",
    ):
        assert date(api, path) == target
    refused = api.raw("POST", f"invoices/{subscription['latest_invoice']}/pay")
    assert refused.status == 400
    at = parsedate_to_datetime(refused.headers["Date"]).timestamp()
    assert at == target
    assert date(api, "customers") == api.now
    assert date(api, f"customers/{api.customer()['id']}") == api.now
