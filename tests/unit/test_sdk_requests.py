"""The checker of the requests that we send, tested on the smallest valid requests."""

from typing import Final

import pytest

from support.sdk_requests import problems_of_request, shape_of_request
from support.sdk_types import Fields

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
    Text is accepted for numbers and booleans; an empty text clears.
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
    Stripe refuses it, the SDK does not: an account can replace the customer.
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
