"""Stripe objects from elsewhere are imported into a sandbox, and live on there."""

import copy
from pathlib import Path
from typing import Any, Final

import pytest

from payments_sandbox.engine import Engine
from payments_sandbox.errors import ApiError
from payments_sandbox.journal import Journal, Reset
from payments_sandbox.periods import DAY
from support.sandbox import Api
from support.watched import again, count, latest, period

START: Final = 1_767_225_600
PERIOD: Final = {
    "current_period_start": START - 10 * DAY,
    "current_period_end": START + 20 * DAY,
}
PRICE: Final = {
    "id": "price_far",
    "object": "price",
    "currency": "eur",
    "product": "prod_far",
    "recurring": {"interval": "month", "interval_count": 1},
    "unit_amount": 1_200,
}
OBJECTS: Final[list[dict[str, Any]]] = [
    {
        "id": "sub_far",
        "object": "subscription",
        "billing_cycle_anchor": START - 10 * DAY,
        "created": START - 40 * DAY,
        "customer": "cus_far",
        "default_payment_method": "pm_far",
        "items": {
            "object": "list",
            "data": [
                {
                    "id": "si_far",
                    "object": "subscription_item",
                    "price": PRICE,
                    "quantity": 2,
                    **PERIOD,
                }
            ],
        },
        "latest_invoice": "in_far",
        "metadata": {"user_id": "ada"},
        "status": "active",
    },
    {
        "id": "in_far",
        "object": "invoice",
        "currency": "eur",
        "customer": "cus_far",
        "status": "paid",
        "subscription": "sub_far",
        "total": 2_400,
    },
    {
        "id": "ch_far",
        "object": "charge",
        "amount": 2_400,
        "currency": "eur",
        "customer": "cus_far",
        "payment_intent": "pi_far",
        "payment_method": "pm_far",
        "status": "succeeded",
    },
    {
        "id": "pi_far",
        "object": "payment_intent",
        "amount": 2_400,
        "amount_received": 2_400,
        "currency": "eur",
        "customer": "cus_far",
        "latest_charge": "ch_far",
        "status": "succeeded",
    },
    {
        "id": "inpay_far",
        "object": "invoice_payment",
        "invoice": "in_far",
        "payment": {"payment_intent": "pi_far", "type": "payment_intent"},
        "status": "paid",
    },
    {
        "id": "pm_far",
        "object": "payment_method",
        "card": {"brand": "mastercard", "last4": "1234"},
        "customer": "cus_far",
    },
    {"id": "prod_far", "object": "product", "name": "Far"},
    {"id": "cus_far", "object": "customer", "email": "ada@example.com"},
]


def with_field(number: int, field: str, value: Any) -> list[dict[str, Any]]:
    changed = copy.deepcopy(OBJECTS)
    changed[number][field] = value
    return changed


def test_foreign_objects_are_served_with_their_ids(api: Api) -> None:
    """In any order; all of them conform, and no event is sent."""
    api.engine.import_objects(OBJECTS)
    assert count(api) == 0
    subscription = api.get("subscriptions/sub_far", expand=["latest_invoice.payments"])
    assert subscription["metadata"] == {"user_id": "ada"}
    assert subscription["created"] == START - 40 * DAY
    assert period(subscription) == (START - 10 * DAY, START + 20 * DAY)
    invoice = subscription["latest_invoice"]
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", 2_400)
    (payment,) = invoice["payments"]["data"]
    assert payment["payment"]["payment_intent"] == "pi_far"
    assert api.get("charges/ch_far")["paid"] is True
    assert api.get("prices/price_far")["unit_amount"] == 1_200
    (card,) = api.get("customers/cus_far/payment_methods")["data"]
    assert (card["id"], card["card"]["last4"]) == ("pm_far", "1234")
    assert api.get("products/prod_far")["name"] == "Far"
    old = api.call("GET", "charges/ch_far", {}, stripe_version="2024-09-30.acacia")
    assert old["invoice"] == "in_far"


def test_a_foreign_subscription_is_renewed_charged_and_refunded(api: Api) -> None:
    """It lives on like one that was made here."""
    api.engine.import_objects(OBJECTS)
    subscription = api.get("subscriptions/sub_far")
    api.advance(START + 20 * DAY + 3_600)
    assert latest(api, subscription)["status"] == "paid"
    assert again(api, subscription)["status"] == "active"
    assert api.get("charges")["data"][0]["amount"] == 2_400
    assert api.post("refunds", charge="ch_far")["amount"] == 2_400
    api.post("subscriptions/sub_far", cancel_at_period_end=True)
    api.advance("1 month")
    assert again(api, subscription)["status"] == "canceled"


def test_what_is_over_already_is_not_made_up(api: Api) -> None:
    """A period that ended before, as in recorded objects, stays as it is."""
    past = copy.deepcopy(OBJECTS)
    past[0]["items"]["data"][0]["current_period_end"] = START - DAY
    api.engine.import_objects(past)
    api.advance("2 months")
    assert count(api) == 0


def test_older_shapes_events_and_expanded_objects_are_taken(api: Api) -> None:
    """The period on the subscription; a customer in place of its id; an event."""
    objects = copy.deepcopy(OBJECTS)
    subscription, customer = objects[0], objects.pop()
    for name in PERIOD:
        del subscription["items"]["data"][0][name]
    old = {**subscription, **PERIOD, "customer": customer, "plan": {"id": "x"}}
    event = {"id": "evt_1", "object": "event", "data": {"object": old}}
    api.engine.import_objects([event, *objects[1:]])
    found = api.get("subscriptions/sub_far")
    assert (found["customer"], period(found)[1]) == ("cus_far", START + 20 * DAY)
    assert api.get("customers/cus_far")["email"] == "ada@example.com"


def test_what_is_imported_again_is_replaced(api: Api) -> None:
    """As its next event reports."""
    api.engine.import_objects(OBJECTS)
    api.engine.import_objects([{**OBJECTS[0], "status": "past_due"}])
    assert api.get("subscriptions/sub_far")["status"] == "past_due"
    (listed,) = api.get("subscriptions", customer="cus_far")["data"]
    assert listed["status"] == "past_due"


@pytest.mark.parametrize(
    ("number", "field", "value", "sentence"),
    [
        (0, "customer", None, "subscription sub_far: `customer` is missing"),
        (0, "customer", "cus_no", "subscription sub_far: `customer` names no ex"),
        (0, "status", "lively", "subscription sub_far: `status` is not one of active"),
        (0, "cancel_at", "soon", "subscription sub_far: `cancel_at` must be an int"),
        (0, "items", {"data": []}, r"subscription sub_far: `items\[data\]` must be"),
        (0, "latest_invoice", "in_no", "subscription sub_far: `latest_invoice` names"),
        (2, "amount", "12", "charge ch_far: `amount` must be an integer"),
        (2, "amount", True, "charge ch_far: `amount` must be an integer"),
        (2, "metadata", [], "charge ch_far: `metadata` must be an object"),
        (3, "object", "spaceship", r"objects\[3\]: `object` is not one of product"),
        (4, "invoice", "in_no", "invoice_payment inpay_far: `invoice` names no ex"),
        (5, "card", None, "payment_method pm_far: `card` is missing"),
        (6, "id", "", r"objects\[6\]: a product without `id`"),
    ],
)
def test_a_wrong_object_is_named_with_its_field(
    api: Api, number: int, field: str, value: Any, sentence: str
) -> None:
    """Nothing of the others is imported either."""
    with pytest.raises(ApiError, match=sentence):
        api.engine.import_objects(with_field(number, field, value))
    assert not any(api.engine.world.objects.values())


@pytest.mark.parametrize("value", [None, "x", 7, True, [], {}, [{}], {"id": 1}])
@pytest.mark.parametrize("number", range(len(OBJECTS)))
def test_any_value_of_any_field_is_taken_or_refused(number: int, value: Any) -> None:
    """Never anything else; and what was accepted can still be listed and live on."""
    api = Api.begin()
    api.engine.import_objects(OBJECTS)
    kind = OBJECTS[number]["object"]
    fields = set(api.engine.world.all(kind)[0]) | set(OBJECTS[number])
    for field in sorted(fields):
        api = Api.begin()
        api.engine.watch = lambda _, __: None
        try:
            api.engine.import_objects(with_field(number, field, value))
        except ApiError:
            continue
        for folder, made in (("subscriptions", "subscription"), ("charges", "charge")):
            status = {"status": "all"} if made == "subscription" else {}
            listed = api.get(folder, **status)["data"]
            assert {it["object"] for it in listed} <= {made}
        before = api.now
        api.advance("21 days")
        assert api.now > before


def test_an_import_is_in_the_journal(tmp_path: Path) -> None:
    """A refused one as well: the following ids are the same."""
    path = tmp_path / "journal"
    journal = Journal(path)
    api = Api(Engine(seed=3))
    journal.note(Reset(at=api.now, seed=3))
    api.engine.record = journal.note
    with pytest.raises(ApiError):
        api.engine.import_objects(with_field(0, "customer", "cus_no"))
    api.engine.import_objects(OBJECTS)
    made = api.customer()["id"]
    journal.close()

    second = Journal(path)
    back = Api(Engine(seed=3))
    back.engine.replay(second.entries())
    second.close()
    assert back.engine.world.objects == api.engine.world.objects
    assert back.get(f"customers/{made}")["id"] == made
