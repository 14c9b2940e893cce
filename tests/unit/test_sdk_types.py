"""The checker of what we serve and send, shown on the smallest valid things."""

import copy
from typing import Any, Final

import pytest

from support.sdk_requests import problems_of_request, shape_of_request
from support.sdk_types import JSON, class_of, problems_of_object, shape_of

Fields = dict[str, Any]
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
    Its path leads to the very value; what is said names the very type.
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
    Also within a union: nothing is taken for "any type will do".
    """
    with pytest.raises(NameError, match="Nowhere"):
        shape_of("Nowhere", "stripe._customer", JSON)
    with pytest.raises(NameError, match="Nowhere"):
        shape_of("Optional[List['Nowhere']]", "stripe._subscription", JSON)
    with pytest.raises(TypeError, match="no shape for <class 'bytes'>"):
        shape_of("Optional[bytes]", "stripe._customer", JSON)


SUBSCRIBE: Final = ("POST", "/v1/subscriptions")
ADD_PRICE: Final = ("POST", "/v1/prices")
METHODS: Final = "'charge_automatically', 'send_invoice'"
BUY: Final[Fields] = {
    "customer": "cus_1",
    "items": [
        {"price": "price_1", "quantity": "2"},
        {
            "price_data": {
                "currency": "eur",
                "product": "prod_1",
                "recurring": {"interval": "month"},
                "unit_amount_decimal": "12.5",
            }
        },
    ],
    "expand": ["latest_invoice"],
    "cancel_at_period_end": "false",
    "metadata": {"user_id": "ada", "forgotten": ""},
    "payment_behavior": "default_incomplete",
    "trial_end": "now",
}


@pytest.mark.parametrize(
    ("request_", "params"),
    [
        (SUBSCRIBE, BUY),
        (SUBSCRIBE, BUY | {"trial_end": "1700000000"}),
        (SUBSCRIBE, BUY | {"metadata": "", "default_tax_rates": ""}),
        (SUBSCRIBE, BUY | {"cancel_at": "max_period_end"}),
        (SUBSCRIBE, BUY | {"application_fee_percent": "2.5"}),
        (("POST", "/v1/customers/cus_1"), {"email": "ada@example.com", "address": ""}),
        (("POST", "/v1/subscriptions/sub_1"), {"description": ""}),
        (("GET", "/v1/charges"), {"created": {"gte": "1", "lt": "2"}, "limit": "3"}),
        (("GET", "/v1/charges"), {"created": "1"}),
        (("GET", "/v1/customers/search"), {"query": "email:'ada@example.com'"}),
        (("DELETE", "/v1/subscriptions/sub_1"), {"prorate": "true"}),
        (("GET", "/v1/account"), {}),
    ],
)
def test_a_valid_request_has_no_problems(
    request_: tuple[str, str], params: Fields
) -> None:
    """
    Text stands for numbers and truth; an empty one clears.
    """
    assert problems_of_request(*request_, params) == []


@pytest.mark.parametrize(
    ("request_", "params", "problem"),
    [
        (
            SUBSCRIBE,
            BUY | {"coupon_code": "x"},
            "coupon_code: is not a field of SubscriptionCreateParams",
        ),
        (
            SUBSCRIBE,
            BUY | {"idempotency_key": "x"},
            "idempotency_key: is not a field of SubscriptionCreateParams",
        ),
        (
            SUBSCRIBE,
            BUY | {"items": [{"price": "price_1", "count": "2"}]},
            "items[0].count: is not a field of SubscriptionCreateParamsItem",
        ),
        (
            SUBSCRIBE,
            BUY | {"items": [{"quantity": "two"}]},
            "items[0].quantity: 'two' is not int",
        ),
        (
            SUBSCRIBE,
            BUY | {"items": [{"quantity": 2}]},
            "items[0].quantity: 2 is not int",
        ),
        (
            SUBSCRIBE,
            BUY | {"items": {"price": "p"}},
            "items: {'price': 'p'} is not a list",
        ),
        (
            SUBSCRIBE,
            BUY | {"cancel_at_period_end": "yes"},
            "cancel_at_period_end: 'yes' is not bool",
        ),
        (
            SUBSCRIBE,
            BUY | {"collection_method": "by_hand"},
            f"collection_method: 'by_hand' is not one of {METHODS}",
        ),
        (
            SUBSCRIBE,
            BUY | {"trial_end": "later"},
            "trial_end: 'later' is not 'now' or int",
        ),
        (
            SUBSCRIBE,
            BUY | {"customer": ""},
            "customer: '' is not str that is not empty",
        ),
        (SUBSCRIBE, BUY | {"expand": "x"}, "expand: 'x' is not a list"),
        (SUBSCRIBE, BUY | {"metadata": {"a": ["b"]}}, "metadata.a: ['b'] is not str"),
        (
            ADD_PRICE,
            {"currency": "eur", "recurring": {"interval_count": "1"}},
            "recurring.interval: is missing from PriceCreateParamsRecurring",
        ),
        (ADD_PRICE, {}, "currency: is missing from PriceCreateParams"),
        (
            ("GET", "/v1/subscription_items"),
            {},
            "subscription: is missing from SubscriptionItemListParams",
        ),
        (
            ("GET", "/v1/charges"),
            {"created": {"since": "1"}},
            "created.since: is not a field of ChargeListParamsCreated",
        ),
        (
            ("GET", "/v1/charges"),
            {"created": "x"},
            "created: 'x' is not int",
        ),
        (
            ("GET", "/v1/customers/search"),
            {},
            "query: is missing from CustomerSearchParams",
        ),
        (
            ("PUT", "/v1/customers"),
            {},
            "PUT /v1/customers: is not a request that the SDK knows",
        ),
        (
            ("GET", "/v1/customers/cus_1/pets"),
            {},
            "GET /v1/customers/cus_1/pets: is not a request that the SDK knows",
        ),
    ],
)
def test_one_wrong_parameter_is_one_problem(
    request_: tuple[str, str], params: Fields, problem: str
) -> None:
    """
    What no SDK would send is found before Stripe would have refused it.
    """
    assert problems_of_request(*request_, params) == [problem]


def test_no_customer_is_no_problem_of_types() -> None:
    """
    Stripe refuses it, the SDK does not: an account may stand for the customer.
    """
    assert problems_of_request(*SUBSCRIBE, {"items": [{"price": "price_1"}]}) == []


REQUESTS: Final = """
GET POST         /v1/customers
GET              /v1/customers/search
GET POST DELETE  /v1/customers/x
GET              /v1/customers/x/payment_methods
GET              /v1/customers/x/payment_methods/y
GET POST         /v1/payment_methods
GET POST         /v1/payment_methods/x
POST             /v1/payment_methods/x/attach
POST             /v1/payment_methods/x/detach
GET POST         /v1/setup_intents
GET POST         /v1/setup_intents/x
POST             /v1/setup_intents/x/confirm
POST             /v1/setup_intents/x/cancel
GET POST         /v1/products
GET POST DELETE  /v1/products/x
GET POST         /v1/prices
GET POST         /v1/prices/x
GET POST         /v1/subscriptions
GET POST DELETE  /v1/subscriptions/x
POST             /v1/subscriptions/x/resume
GET              /v1/subscription_items
GET              /v1/subscription_items/x
GET              /v1/invoices
GET              /v1/invoices/x
GET              /v1/invoices/x/lines
POST             /v1/invoices/x/pay
POST             /v1/invoices/x/void
POST             /v1/invoices/x/finalize
POST             /v1/invoices/create_preview
GET              /v1/invoice_payments
GET              /v1/invoice_payments/x
GET POST         /v1/invoiceitems
GET DELETE       /v1/invoiceitems/x
GET POST         /v1/payment_intents
GET POST         /v1/payment_intents/x
POST             /v1/payment_intents/x/confirm
POST             /v1/payment_intents/x/cancel
GET              /v1/charges
GET POST         /v1/charges/x
GET POST         /v1/refunds
GET POST         /v1/refunds/x
GET              /v1/disputes
GET POST         /v1/disputes/x
POST             /v1/disputes/x/close
GET              /v1/events
GET              /v1/events/x
GET POST         /v1/webhook_endpoints
GET POST DELETE  /v1/webhook_endpoints/x
GET              /v1/account
GET POST         /v1/test_helpers/test_clocks
GET DELETE       /v1/test_helpers/test_clocks/x
POST             /v1/test_helpers/test_clocks/x/advance
"""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, line.split()[-1])
        for line in REQUESTS.strip().splitlines()
        for method in line.split()[:-1]
    ],
)
def test_the_sdk_knows_every_request_that_we_answer(method: str, path: str) -> None:
    """
    It is found in the SDK's services, and all names in its types can be resolved.
    """
    shape = shape_of_request(method, path)
    assert shape is not None
    found = problems_of_request(method, path, {"nonsense": "x"})
    assert f"nonsense: is not a field of {shape.title}" in found
