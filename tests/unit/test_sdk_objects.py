"""The checker of the objects that we serve, tested on the smallest valid objects."""

import copy
from typing import Any, Final

import pytest

from support.sdk_types import JSON, Fields, class_of, problems_of_object, shape_of

ABSENT: Final = object()

CUSTOMER: Final[Fields] = {
    "id": "cus_1",
    "object": "customer",
    "created": 1,
    "livemode": False,
    "email": None,
    "metadata": {"user_id": "ada"},
}
PRICE: Final[Fields] = {
    "id": "price_1",
    "object": "price",
    "active": True,
    "billing_scheme": "per_unit",
    "created": 1,
    "currency": "eur",
    "livemode": False,
    "metadata": {},
    "product": "prod_1",
    "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    "type": "recurring",
    "unit_amount": 900,
    "unit_amount_decimal": "900",
}
PLAN: Final[Fields] = {
    "id": "price_1",
    "object": "plan",
    "active": True,
    "amount": 900,
    "amount_decimal": "900",
    "billing_scheme": "per_unit",
    "created": 1,
    "currency": "eur",
    "interval": "month",
    "interval_count": 1,
    "livemode": False,
    "product": "prod_1",
    "usage_type": "licensed",
}
ITEM: Final[Fields] = {
    "id": "si_1",
    "object": "subscription_item",
    "created": 1,
    "current_period_end": 2,
    "current_period_start": 1,
    "discounts": [],
    "metadata": {},
    "plan": PLAN,
    "price": PRICE,
    "quantity": 1,
    "subscription": "sub_1",
    "tax_rates": [],
}
SUBSCRIPTION: Final[Fields] = {
    "id": "sub_1",
    "object": "subscription",
    "automatic_tax": {"enabled": False, "liability": None},
    "billing_cycle_anchor": 1,
    "billing_mode": {"type": "classic"},
    "billing_schedules": [],
    "cancel_at_period_end": False,
    "collection_method": "charge_automatically",
    "created": 1,
    "currency": "eur",
    "customer": "cus_1",
    "default_source": None,
    "discounts": [],
    "invoice_settings": {"issuer": {"type": "self"}},
    "items": {
        "object": "list",
        "data": [ITEM],
        "has_more": False,
        "url": "/v1/subscription_items?subscription=sub_1",
    },
    "latest_invoice": "in_1",
    "livemode": False,
    "metadata": {},
    "start_date": 1,
    "status": "active",
}
EVENT: Final[Fields] = {
    "id": "evt_1",
    "object": "event",
    "api_version": "2026-10-28.endive",
    "created": 1,
    "data": {"object": CUSTOMER, "previous_attributes": {"email": "old@example.com"}},
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": None, "idempotency_key": None},
    "type": "customer.updated",
}
FOUND: Final[Fields] = {
    "object": "search_result",
    "data": [CUSTOMER],
    "has_more": False,
    "next_page": None,
    "url": "/v1/customers/search",
}
PAGE: Final[Fields] = {
    "object": "list",
    "data": [CUSTOMER, PRICE],
    "has_more": False,
    "url": "/v1/anything",
}
EXAMPLES: Final = [CUSTOMER, PRICE, PLAN, ITEM, SUBSCRIPTION, EVENT, FOUND, PAGE]


def changed(example: Fields, path: str, value: object) -> Fields:
    """Return a copy with another value, or none, at a path: `items.data.0.id`."""
    whole = copy.deepcopy(example)
    *steps, last = path.split(".")
    place: Any = whole
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    if value is ABSENT:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return whole


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda it: it["object"])
def test_a_valid_object_has_no_problems(example: Fields) -> None:
    """
    The examples that all others change in one place are valid.
    """
    assert problems_of_object(example) == []


@pytest.mark.parametrize(
    ("example", "path", "value"),
    [
        (CUSTOMER, "email", "ada@example.com"),
        (CUSTOMER, "email", ABSENT),
        (CUSTOMER, "address", None),
        (CUSTOMER, "metadata", {}),
        (PRICE, "unit_amount_decimal", "12.5"),
        (PRICE, "unit_amount", None),
        (SUBSCRIPTION, "customer", CUSTOMER),
        (SUBSCRIPTION, "customer", {"id": "c", "object": "customer", "deleted": True}),
        (SUBSCRIPTION, "default_source", "card_1"),
        (SUBSCRIPTION, "application_fee_percent", 10),
        (SUBSCRIPTION, "application_fee_percent", 10.5),
        (SUBSCRIPTION, "items.data", []),
        (EVENT, "data", {"object": SUBSCRIPTION}),
        (EVENT, "data", {"object": SUBSCRIPTION, "previous_attributes": {"items": {}}}),
        (EVENT, "request", None),
        (FOUND, "next_page", "more"),
        (FOUND, "next_page", ABSENT),
    ],
)
def test_what_the_sdk_allows_is_no_problem(
    example: Fields, path: str, value: object
) -> None:
    """
    Null and absence where it says Optional, ids for objects, stubs, digits.
    """
    assert problems_of_object(changed(example, path, value)) == []


STUB: Final[Fields] = {"id": "cus_1", "object": "customer", "deleted": True}
SOURCES: Final = "'account', 'bank_account', 'card', 'source'"


@pytest.mark.parametrize(
    ("example", "path", "value", "problem"),
    [
        (CUSTOMER, "mail", "x", "mail: is not a field of Customer"),
        (CUSTOMER, "created", ABSENT, "created: is missing from Customer"),
        (CUSTOMER, "created", None, "created: None is not int"),
        (CUSTOMER, "created", True, "created: True is not int"),
        (CUSTOMER, "created", 1.5, "created: 1.5 is not int"),
        (CUSTOMER, "livemode", 0, "livemode: 0 is not bool"),
        (CUSTOMER, "email", 5, "email: 5 is not str"),
        (CUSTOMER, "email", ("x",), "email: ('x',) is not str"),
        (CUSTOMER, "address", "x", "address: 'x' is not Customer.Address"),
        (CUSTOMER, "metadata.age", 5, "metadata.age: 5 is not str"),
        (CUSTOMER, "metadata", [], "metadata: [] is not a map"),
        (PRICE, "type", "x", "type: 'x' is not one of 'one_time', 'recurring'"),
        (PRICE, "unit_amount", "x", "unit_amount: 'x' is not int"),
        (
            PRICE,
            "unit_amount_decimal",
            900,
            "unit_amount_decimal: 900 is not str of digits",
        ),
        (
            PRICE,
            "unit_amount_decimal",
            "9e2",
            "unit_amount_decimal: '9e2' is not str of digits",
        ),
        (
            SUBSCRIPTION,
            "items.data.0.price.unit_amount",
            "x",
            "items.data[0].price.unit_amount: 'x' is not int",
        ),
        (
            SUBSCRIPTION,
            "items",
            [],
            "items: [] is not ListObject",
        ),
        (SUBSCRIPTION, "items.object", "x", "items.object: 'x' is not 'list'"),
        (SUBSCRIPTION, "items.url", ABSENT, "items.url: is missing from ListObject"),
        (SUBSCRIPTION, "items.total", 1, "items.total: is not a field of ListObject"),
        (
            SUBSCRIPTION,
            "items.data.0",
            "si_1",
            "items.data[0]: 'si_1' is not SubscriptionItem",
        ),
        (SUBSCRIPTION, "customer", 5, "customer: 5 is not str or Customer"),
        (
            SUBSCRIPTION,
            "customer",
            {"id": "cus_1", "object": "customer"} | {"created": 1},
            "customer.livemode: is missing from Customer",
        ),
        (
            SUBSCRIPTION,
            "customer",
            STUB | {"object": "card"},
            "customer.object: 'card' is not 'customer'",
        ),
        (
            SUBSCRIPTION,
            "customer",
            {"object": "customer", "deleted": True},
            "customer.id: is missing from Customer",
        ),
        (
            SUBSCRIPTION,
            "default_source",
            {"object": "price"},
            f"default_source.object: 'price' is not one of {SOURCES}",
        ),
        (
            SUBSCRIPTION,
            "automatic_tax.enabled",
            "x",
            "automatic_tax.enabled: 'x' is not bool",
        ),
        (
            SUBSCRIPTION,
            "application_fee_percent",
            float("nan"),
            "application_fee_percent: nan is not a finite float",
        ),
        (
            EVENT,
            "data.object.created",
            "x",
            "data.object.created: 'x' is not int",
        ),
        (
            EVENT,
            "data.object.object",
            "x",
            "data.object.object: 'x' is not a kind that the SDK knows",
        ),
        (EVENT, "data.object", "cus_1", "data.object: 'cus_1' is not an object"),
        (
            EVENT,
            "data.previous_attributes.mail",
            "x",
            "data.previous_attributes.mail: is not a field of Customer",
        ),
        (
            EVENT,
            "data.previous_attributes.email",
            {1, 2},
            "data.previous_attributes.email: {1, 2} is not JSON",
        ),
        (FOUND, "url", ABSENT, "url: is missing from SearchResultObject"),
        (FOUND, "next_page", 2, "next_page: 2 is not str"),
        (PAGE, "has_more", "no", "has_more: 'no' is not bool"),
        (
            PAGE,
            "data.1.object",
            "x",
            "data[1].object: 'x' is not a kind that the SDK knows",
        ),
        (PAGE, "data.1.currency", 5, "data[1].currency: 5 is not str"),
        (PAGE, "object", "x", "object: 'x' is not a kind that the SDK knows"),
        (PAGE, "object", ABSENT, "object: None is not a kind that the SDK knows"),
    ],
)
def test_one_wrong_thing_is_one_problem(
    example: Fields, path: str, value: object, problem: str
) -> None:
    """
    Its path leads to exactly that value; the message names exactly the type.
    """
    assert problems_of_object(changed(example, path, value)) == [problem]


def test_an_event_has_a_type_of_the_sdks() -> None:
    """
    The list is long: only its beginning is shown.
    """
    [problem] = problems_of_object(changed(EVENT, "type", "customer.renamed"))
    assert problem.startswith("type: 'customer.renamed' is not one of 'account.")
    assert problem.endswith(", ...")


def test_only_what_can_be_deleted_has_a_stub() -> None:
    """
    A charge is never deleted: its stub is a charge with nearly everything missing.
    """
    problems = problems_of_object({"id": "ch_1", "object": "charge", "deleted": True})
    assert "deleted: is not a field of Charge" in problems
    assert "amount: is missing from Charge" in problems
    assert problems_of_object(STUB) == []


@pytest.mark.parametrize(
    "kind",
    [
        "account",
        "charge",
        "customer",
        "dispute",
        "event",
        "invoice",
        "invoice_payment",
        "invoiceitem",
        "line_item",
        "list",
        "payment_intent",
        "payment_method",
        "plan",
        "price",
        "product",
        "refund",
        "search_result",
        "setup_intent",
        "subscription",
        "subscription_item",
        "test_helpers.test_clock",
        "webhook_endpoint",
    ],
)
def test_the_sdk_knows_every_kind_that_we_serve(kind: str) -> None:
    """
    It has a class, and all names in the annotations of that can be resolved.
    """
    cls = class_of(kind)
    assert cls is not None
    missing = f"is missing from {cls.__name__}"
    problems = problems_of_object({"object": kind})
    assert problems
    assert all(problem.endswith(missing) for problem in problems)


def test_a_name_that_cannot_be_resolved_is_an_error() -> None:
    """
    Also within a union: it never counts as "any type is valid".
    """
    with pytest.raises(NameError, match="Nowhere"):
        shape_of("Nowhere", "stripe._customer", JSON)
    with pytest.raises(NameError, match="Nowhere"):
        shape_of("Optional[List['Nowhere']]", "stripe._subscription", JSON)
    with pytest.raises(TypeError, match="no shape for <class 'bytes'>"):
        shape_of("Optional[bytes]", "stripe._customer", JSON)
