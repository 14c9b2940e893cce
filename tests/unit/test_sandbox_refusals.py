"""What the sandbox refuses, as Stripe does; and what an idempotency key remembers."""

import base64
import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, ForwardRef, get_args

import attrs
import pytest
import stripe

from payments_service.sandbox.api import ApiRequest, ApiResponse
from payments_service.sandbox.errors import ApiError
from payments_service.sandbox.periods import DAY
from support.sandbox import Api, Refused
from support.sdk_types import resolve

FAILING: Final = "pm_card_chargeCustomerFail"
INVALID: Final = "invalid_request_error"
MISSING: Final = "resource_missing"
UNEXPECTED: Final = "payment_intent_unexpected_state"


def ask(
    api: Api, method: str, path: str, body: str = "", **headers: str
) -> ApiResponse:
    """Ask as a client without habits: no key unless it is given."""
    return api.engine.answer(
        ApiRequest(
            method=method,
            path=path,
            body=body.encode(),
            headers={name.replace("_", "-"): text for name, text in headers.items()},
        )
    )


# 401


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer sk_test_wrong", basic("sk_test_wrong:"), "Basic é", "x y"],
)
def test_who_has_no_key_is_asked_for_it(api: Api, authorization: str) -> None:
    """401 whatever is asked, and the key that was given is not repeated."""
    for path in ("/v1/customers", "/v1/nothing"):
        answer = ask(api, "GET", path, authorization=authorization)
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"]) == (401, INVALID)
        assert "sk_test_wrong" not in error["message"]


def test_the_key_may_be_a_bearers_or_a_users_name(api: Api) -> None:
    """As curl's `-u key:` sends it."""
    key = api.engine.api.api_key
    for authorization in (f"Bearer {key}", basic(f"{key}:"), basic(key)):
        answer = ask(api, "GET", "/v1/account", authorization=authorization)
        assert answer.status == 200


# 402: each magic card


DECLINES: Final = [
    ("chargeDeclined", "card_declined", "generic_decline"),
    ("chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
    ("chargeDeclinedLostCard", "card_declined", "lost_card"),
    ("chargeDeclinedStolenCard", "card_declined", "stolen_card"),
    ("chargeDeclinedExpiredCard", "expired_card", None),
    ("chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
    ("chargeDeclinedProcessingError", "processing_error", None),
]


def declined(refused: Refused) -> tuple[int, str, str | None, str | None]:
    return refused.status, refused.type, refused.code, refused.decline_code


@pytest.mark.parametrize("prefix", ["pm_card_", "pm_card_visa_"])
@pytest.mark.parametrize(("name", "code", "decline_code"), DECLINES)
def test_a_card_that_declines_can_neither_be_charged_nor_attached(
    api: Api, prefix: str, name: str, code: str, decline_code: str | None
) -> None:
    """402, `card_error`, and the two codes of the issuer; the charge is there."""
    card, expected = f"{prefix}{name}", (402, "card_error", code, decline_code)
    customer = api.customer(None)["id"]
    with pytest.raises(Refused) as refused:
        api.post(
            "payment_intents",
            amount=500,
            currency="eur",
            payment_method=card,
            confirm=True,
        )
    assert declined(refused.value) == expected
    (charge,) = api.get("charges")["data"]
    assert (charge["status"], charge["failure_code"]) == ("failed", code)
    assert charge["outcome"]["reason"] == (decline_code or code)

    with pytest.raises(Refused) as refused:
        api.post(f"payment_methods/{card}/attach", customer=customer)
    assert declined(refused.value) == expected
    with pytest.raises(Refused) as refused:
        api.post("setup_intents", customer=customer, payment_method=card, confirm=True)
    assert declined(refused.value) == expected
    assert api.get(f"customers/{customer}/payment_methods")["data"] == []


def test_a_card_that_fails_later_can_be_attached(api: Api) -> None:
    """It is for renewals that fail: the charge is declined, the keeping is not."""
    customer = api.customer(FAILING)["id"]
    subscription = api.subscribe(customer, api.price()["id"])
    assert subscription["status"] == "incomplete"
    with pytest.raises(Refused) as refused:
        api.post(f"invoices/{subscription['latest_invoice']}/pay")
    assert declined(refused.value) == (
        402,
        "card_error",
        "card_declined",
        "generic_decline",
    )


def test_a_payment_that_needs_the_holder_is_said_to(api: Api) -> None:
    """402 with a code of its own, so that the client can ask."""
    customer = api.customer("pm_card_authenticationRequired")["id"]
    with pytest.raises(Refused) as refused:
        api.subscribe(
            customer, api.price()["id"], payment_behavior="error_if_incomplete"
        )
    assert declined(refused.value)[:2] == (402, "card_error")
    assert "action" in str(refused.value.code)


def test_a_decline_says_what_was_declined(api: Api) -> None:
    """The intent, the charge and the card are in the error."""
    params = {
        "amount": 500,
        "currency": "eur",
        "payment_method": FAILING,
        "confirm": True,
    }
    answer = api.raw("POST", "payment_intents", params)
    error = json.loads(answer.body)["error"]
    (charge,) = api.get("charges")["data"]
    assert error["charge"] == charge["id"]
    assert error["payment_intent"]["id"] == charge["payment_intent"]
    assert error["payment_intent"]["status"] == "requires_payment_method"
    assert error["payment_method"]["id"] == charge["payment_method"]
    assert error["doc_url"].endswith("#card-declined")


# 400 and 404


@attrs.frozen
class Shop:
    """A sandbox with something of everything; what is here are ids."""

    api: Api
    customer: str
    other: str
    card: str
    foreign: str
    nobodys: str
    price: str
    yearly: str
    dollars: str
    inactive: str
    once: str
    product: str
    subscription: str
    item: str
    trialing: str
    ended: str
    invoice: str
    void: str
    charge: str
    intent: str
    failed: str

    def filled(self, value: Any) -> Any:
        """Put ids in the places of their names: `{card}`."""
        if isinstance(value, str):
            return value.format_map(attrs.asdict(self, recurse=False))
        if isinstance(value, Mapping):
            return {name: self.filled(item) for name, item in value.items()}
        return [self.filled(it) for it in value] if isinstance(value, list) else value


@pytest.fixture
def shop(api: Api) -> Shop:
    customer, other = api.customer(), api.customer()
    price = api.price()["id"]
    product = api.post("products", name="Plan", id="prod_plan")["id"]
    priced = {"unit_amount": 500, "product": product}
    dollars = api.post(
        "prices", currency="usd", recurring={"interval": "month"}, **priced
    )["id"]
    inactive = api.post(
        "prices",
        currency="eur",
        recurring={"interval": "month"},
        active=False,
        lookup_key="old",
        **priced,
    )["id"]
    subscription = api.subscribe(customer["id"], price)
    trialing = api.subscribe(customer["id"], price, trial_period_days=10)
    ended = api.subscribe(customer["id"], price)
    api.delete(f"subscriptions/{ended['id']}")
    failing = api.subscribe(api.customer(FAILING)["id"], price)
    api.post(f"invoices/{failing['latest_invoice']}/void")
    charge = api.get("charges", customer=customer["id"])["data"][-1]
    (bad,) = api.get("charges", customer=failing["customer"])["data"]
    return Shop(
        api,
        customer=customer["id"],
        other=other["id"],
        card=customer["invoice_settings"]["default_payment_method"],
        foreign=other["invoice_settings"]["default_payment_method"],
        nobodys=api.get("payment_methods/pm_card_visa")["id"],
        price=price,
        yearly=api.price(9_900, interval="year")["id"],
        dollars=dollars,
        inactive=inactive,
        once=api.post("prices", currency="eur", **priced)["id"],
        product=product,
        subscription=subscription["id"],
        item=subscription["items"]["data"][0]["id"],
        trialing=trialing["id"],
        ended=ended["id"],
        invoice=subscription["latest_invoice"],
        void=failing["latest_invoice"],
        charge=charge["id"],
        intent=charge["payment_intent"],
        failed=bad["id"],
    )


NEW: Final = {"customer": "{customer}", "items": [{"price": "{price}"}]}
ONE: Final = "subscriptions/{subscription}"
START: Final = 1_767_225_600
# Method and path, parameters; status, code and parameter of the answer.
REFUSALS: Final[list[tuple[str, dict[str, Any], int, str | None, str | None]]] = [
    # Not there: 404 in the path, 400 in a parameter.
    ("GET nothing", {}, 404, None, None),
    ("PUT customers", {}, 404, None, None),
    ("GET customers/cus_x", {}, 404, MISSING, "id"),
    ("POST customers/cus_x", {}, 404, MISSING, "id"),
    ("DELETE customers/cus_x", {}, 404, MISSING, "id"),
    ("GET subscriptions/sub_x", {}, 404, MISSING, "id"),
    ("GET subscription_items/si_x", {}, 404, MISSING, "id"),
    ("GET invoices/in_x", {}, 404, MISSING, "id"),
    ("GET invoices/in_x/lines", {}, 404, MISSING, "id"),
    ("GET charges/ch_x", {}, 404, MISSING, "id"),
    ("GET events/evt_x", {}, 404, MISSING, "id"),
    ("GET webhook_endpoints/we_x", {}, 404, MISSING, "id"),
    ("GET customers/cus_x/payment_methods", {}, 404, MISSING, "id"),
    (
        "POST payment_methods/pm_x/attach",
        {"customer": "{customer}"},
        404,
        MISSING,
        "id",
    ),
    (
        "POST payment_methods/pm_card_visa/attach",
        {"customer": "cus_x"},
        400,
        MISSING,
        "customer",
    ),
    ("POST subscriptions", {**NEW, "customer": "cus_x"}, 400, MISSING, "customer"),
    (
        "POST subscriptions",
        {**NEW, "items": [{"price": "{price}"}, {"price": "price_x"}]},
        400,
        MISSING,
        "items[1][price]",
    ),
    ("POST " + ONE, {"items": [{"id": "si_x"}]}, 400, MISSING, "items[0][id]"),
    ("POST refunds", {"charge": "ch_x"}, 400, MISSING, "charge"),
    ("POST customers", {"test_clock": "clock_x"}, 400, MISSING, "test_clock"),
    (
        "GET subscription_items",
        {"subscription": "sub_x"},
        400,
        MISSING,
        "subscription",
    ),
    (
        "POST payment_methods",
        {"type": "card", "card": {"token": "tok_x"}},
        400,
        MISSING,
        "card[token]",
    ),
    # Cards.
    (
        "POST subscriptions",
        {**NEW, "default_payment_method": "{foreign}"},
        400,
        MISSING,
        "default_payment_method",
    ),
    (
        "POST subscriptions",
        {**NEW, "default_payment_method": "{nobodys}"},
        400,
        MISSING,
        "default_payment_method",
    ),
    (
        "POST " + ONE,
        {"default_payment_method": "{foreign}"},
        400,
        MISSING,
        "default_payment_method",
    ),
    (
        "POST customers/{customer}",
        {"invoice_settings": {"default_payment_method": "{foreign}"}},
        400,
        MISSING,
        "invoice_settings[default_payment_method]",
    ),
    (
        "POST payment_methods/{foreign}/attach",
        {"customer": "{customer}"},
        400,
        "payment_method_unexpected_state",
        None,
    ),
    (
        "POST payment_methods/{nobodys}/detach",
        {},
        400,
        "payment_method_unexpected_state",
        "payment_method",
    ),
    (
        "POST payment_methods/{nobodys}",
        {"metadata": {"a": "b"}},
        400,
        "payment_method_unexpected_state",
        None,
    ),
    # Prices and products.
    (
        "POST subscriptions",
        {**NEW, "items": [{"price": "{inactive}"}]},
        400,
        None,
        "items[0][price]",
    ),
    (
        "POST subscriptions",
        {**NEW, "items": [{"price": "{once}"}]},
        400,
        None,
        "items[0][price]",
    ),
    (
        "POST subscriptions",
        {**NEW, "items": [{"price": "{price}"}, {"price": "{yearly}"}]},
        400,
        None,
        "items",
    ),
    (
        "POST subscriptions",
        {**NEW, "items": [{"price": "{price}"}, {"price": "{price}"}]},
        400,
        None,
        "items",
    ),
    (
        "POST subscriptions",
        {**NEW, "items": [{"price": "{dollars}"}]},
        400,
        None,
        "items[0][price]",
    ),
    ("POST subscriptions", {**NEW, "currency": "usd"}, 400, None, "currency"),
    (
        "POST " + ONE,
        {"items": [{"id": "{item}", "price": "{dollars}"}]},
        400,
        None,
        "items[0][price]",
    ),
    (
        "POST invoiceitems",
        {"customer": "{customer}", "amount": 1, "currency": "usd"},
        400,
        None,
        "currency",
    ),
    (
        "POST subscriptions",
        {**NEW, "items": [{"price": "{price}", "quantity": 1_000_001}]},
        400,
        "parameter_invalid_integer",
        "items[0][quantity]",
    ),
    (
        "POST prices",
        {
            "currency": "eur",
            "unit_amount": 1,
            "product": "{product}",
            "lookup_key": "old",
        },
        400,
        "resource_already_exists",
        "lookup_key",
    ),
    (
        "POST prices",
        {
            "currency": "eur",
            "unit_amount": 1,
            "product": "{product}",
            "recurring": {"interval": "year", "interval_count": 4},
        },
        400,
        None,
        "recurring[interval_count]",
    ),
    (
        "POST prices",
        {"currency": "eur", "unit_amount": 1},
        400,
        "parameter_missing",
        "product",
    ),
    (
        "POST products",
        {"name": "x", "id": "{product}"},
        400,
        "resource_already_exists",
        "id",
    ),
    ("DELETE products/{product}", {}, 400, None, None),
    (
        "POST products/{product}",
        {"default_price": "{price}"},
        400,
        None,
        "default_price",
    ),
    # Times.
    (
        "POST subscriptions",
        {**NEW, "trial_end": START + 60, "trial_period_days": 1},
        400,
        None,
        "trial_period_days",
    ),
    ("POST subscriptions", {**NEW, "trial_end": START - 1}, 400, None, "trial_end"),
    (
        "POST subscriptions",
        {**NEW, "trial_end": START + 731 * DAY},
        400,
        None,
        "trial_end",
    ),
    (
        "POST subscriptions",
        {**NEW, "trial_period_days": 731},
        400,
        "parameter_invalid_integer",
        "trial_period_days",
    ),
    ("POST subscriptions", {**NEW, "cancel_at": START - 1}, 400, None, "cancel_at"),
    ("POST " + ONE, {"cancel_at": START}, 400, None, "cancel_at"),
    (
        "POST " + ONE,
        {"cancel_at": START + DAY, "cancel_at_period_end": True},
        400,
        None,
        "cancel_at",
    ),
    (
        "POST " + ONE,
        {"items": [{"id": "{item}", "quantity": 2}], "proration_date": START - 1},
        400,
        None,
        "proration_date",
    ),
    (
        "POST " + ONE,
        {
            "items": [{"id": "{item}", "quantity": 2}],
            "proration_date": START + 31 * DAY + 1,
        },
        400,
        None,
        "proration_date",
    ),
    # States.
    (
        "POST " + ONE,
        {
            "items": [{"id": "{item}", "quantity": 2}],
            "payment_behavior": "pending_if_incomplete",
            "description": "x",
        },
        400,
        None,
        "description",
    ),
    ("POST " + ONE, {"items": [{"id": "{item}", "deleted": True}]}, 400, None, "items"),
    (
        "POST " + ONE,
        {"items": [{"quantity": 1}]},
        400,
        "parameter_missing",
        "items[0][price]",
    ),
    ("POST " + ONE + "/resume", {}, 400, None, None),
    ("POST subscriptions/{ended}", {"cancel_at_period_end": True}, 400, None, None),
    ("POST subscriptions/{ended}", {"items": [{"price": "{price}"}]}, 400, None, None),
    ("DELETE subscriptions/{ended}", {}, 404, MISSING, "id"),
    ("POST invoices/{invoice}/pay", {}, 400, "invoice_already_paid", None),
    ("POST invoices/{void}/pay", {}, 400, None, None),
    ("POST invoices/{invoice}/void", {}, 400, None, None),
    ("POST invoices/{invoice}/finalize", {}, 400, "invoice_not_editable", None),
    ("POST payment_intents/{intent}/confirm", {}, 400, UNEXPECTED, None),
    ("POST payment_intents/{intent}/cancel", {}, 400, UNEXPECTED, None),
    ("POST payment_intents/{intent}", {"description": "x"}, 400, UNEXPECTED, None),
    (
        "POST payment_intents",
        {"amount": 1, "currency": "eur", "confirm": True},
        400,
        UNEXPECTED,
        None,
    ),
    (
        "POST payment_intents",
        {"amount": 1, "currency": "eur", "off_session": True},
        400,
        None,
        "off_session",
    ),
    (
        "POST payment_intents",
        {"amount": 0, "currency": "eur"},
        400,
        "parameter_invalid_integer",
        "amount",
    ),
    (
        "POST setup_intents",
        {"customer": "{customer}", "confirm": True},
        400,
        "setup_intent_unexpected_state",
        None,
    ),
    # Refunds.
    ("POST refunds", {}, 400, "parameter_missing", "charge"),
    (
        "POST refunds",
        {"charge": "{charge}", "payment_intent": "{intent}"},
        400,
        None,
        "charge",
    ),
    ("POST refunds", {"charge": "{charge}", "amount": 901}, 400, None, "amount"),
    ("POST refunds", {"charge": "{charge}", "amount": 0}, 400, None, "amount"),
    ("POST refunds", {"charge": "{charge}", "amount": -1}, 400, None, "amount"),
    ("POST refunds", {"charge": "{failed}"}, 400, None, "charge"),
    # Previews.
    ("POST invoices/create_preview", {}, 400, "parameter_missing", "subscription"),
    (
        "POST invoices/create_preview",
        {"subscription": "{ended}"},
        400,
        None,
        "subscription",
    ),
    (
        "POST invoices/create_preview",
        {"subscription": "{subscription}", "customer": "{other}"},
        400,
        None,
        "customer",
    ),
    (
        "POST invoices/create_preview",
        {
            "customer": "{customer}",
            "subscription_details": {"items": [{"quantity": 1}]},
        },
        400,
        "parameter_missing",
        "subscription_details[items][0][price]",
    ),
    # Lists.
    ("GET customers", {"limit": 0}, 400, "parameter_invalid_integer", "limit"),
    ("GET customers", {"limit": 101}, 400, "parameter_invalid_integer", "limit"),
    ("GET customers", {"starting_after": "cus_x"}, 400, MISSING, "starting_after"),
    ("GET customers", {"ending_before": "cus_x"}, 400, MISSING, "ending_before"),
    ("GET invoices", {"starting_after": "{customer}"}, 400, MISSING, "starting_after"),
    (
        "GET customers",
        {"starting_after": "{customer}", "ending_before": "{other}"},
        400,
        None,
        "ending_before",
    ),
    ("GET events", {"type": "a", "types": ["b"]}, 400, None, "types"),
    ("GET events", {"types": ["charge.failed"] * 21}, 400, None, "types"),
    # Searches.
    ("GET customers/search", {}, 400, "parameter_missing", "query"),
    ("GET customers/search", {"query": "x"}, 400, None, "query"),
    ("GET customers/search", {"query": "email"}, 400, None, "query"),
    ("GET customers/search", {"query": "email:'ada"}, 400, None, "query"),
    ("GET customers/search", {"query": "shoe:'1'"}, 400, None, "query"),
    ("GET customers/search", {"query": "created>now"}, 400, None, "query"),
    (
        "GET customers/search",
        {"query": "email:'a' AND name:'b' OR name:'c'"},
        400,
        None,
        "query",
    ),
    ("GET customers/search", {"query": "email:'a'" * 250}, 400, None, "query"),
    ("GET customers/search", {"query": "email:'a'", "page": "x"}, 400, None, "page"),
    (
        "GET customers/search",
        {"query": "email:'a'", "limit": 101},
        400,
        "parameter_invalid_integer",
        "limit",
    ),
    # Expansions.
    ("GET customers/{customer}", {"expand": ["shoe"]}, 400, None, "expand"),
    ("GET customers/{customer}", {"expand": ["id"]}, 400, None, "expand"),
    ("GET customers/{customer}", {"expand": ["created"]}, 400, None, "expand"),
    ("GET " + ONE, {"expand": ["a.b.c.d.e"]}, 400, None, "expand"),
    ("GET " + ONE, {"expand": ["customer"] * 21}, 400, None, "expand"),
    ("GET customers", {"expand": ["subscriptions"]}, 400, None, "expand"),
    # Customers and webhook endpoints.
    ("POST customers", {"email": "ada"}, 400, "email_invalid", "email"),
    ("POST customers", {"email": "a b@example.com"}, 400, "email_invalid", "email"),
    *(
        (
            "POST webhook_endpoints",
            {"url": url, "enabled_events": ["*"]},
            400,
            "url_invalid",
            "url",
        )
        for url in (
            "example.com",
            "ftp://example.com",
            "https://",
            "http://[::1",
            "http://example.com:99999",
            "javascript:alert(1)",
        )
    ),
    (
        "POST webhook_endpoints",
        {"url": "https://example.com"},
        400,
        "parameter_missing",
        "enabled_events",
    ),
]


@pytest.mark.parametrize(
    ("call", "params", "status", "code", "param"),
    REFUSALS,
    ids=[f"{at}-{refusal[0]}" for at, refusal in enumerate(REFUSALS)],
)
def test_a_bad_request_is_refused_as_stripe_does(  # noqa: PLR0913, PLR0917  # a row
    shop: Shop,
    call: str,
    params: dict[str, Any],
    status: int,
    code: str | None,
    param: str | None,
) -> None:
    """With status, type, code and parameter; nothing happens, and nothing is left."""
    method, _, path = shop.filled(call).partition(" ")
    world = shop.api.engine.world
    before = dict(world.events), {kind: dict(it) for kind, it in world.objects.items()}
    with pytest.raises(Refused) as refused:
        shop.api.call(method, path, shop.filled(params))

    error = refused.value
    assert (error.status, error.type) == (status, INVALID)
    assert (error.code, error.param) == (code, param)
    assert error.message
    assert (dict(world.events), {k: dict(it) for k, it in world.objects.items()}) == (
        before
    )


def words_of(annotation: Any, module: str) -> Iterator[str]:
    """Yield the words of an annotation's literals."""
    if isinstance(annotation, ForwardRef):
        annotation = resolve(annotation.__forward_arg__, module)
    for it in get_args(annotation):
        if isinstance(it, str):
            yield it
        else:
            yield from words_of(it, module)


def test_every_code_is_one_of_stripes() -> None:
    """Those that the SDK knows; where it knows none, none is made up."""
    error = stripe.PaymentIntent.LastPaymentError
    code = inspect.get_annotations(error)["code"]
    known = set(words_of(code, error.__module__))
    used = {refusal[3] for refusal in REFUSALS} | {it[1] for it in DECLINES}
    assert len(known) > len(used)
    # The SDK lists what an intent may say, and an invoice is none.
    assert used - {None, "invoice_already_paid"} <= known


def test_what_is_refunded_cannot_be_refunded_again(shop: Shop) -> None:
    """Not the whole, and not more than is left."""
    shop.api.post("refunds", charge=shop.charge, amount=500)
    with pytest.raises(Refused) as refused:
        shop.api.post("refunds", charge=shop.charge, amount=401)
    assert (refused.value.code, refused.value.param) == (None, "amount")
    shop.api.post("refunds", charge=shop.charge)
    with pytest.raises(Refused) as refused:
        shop.api.post("refunds", charge=shop.charge, amount=1)
    assert (refused.value.status, refused.value.code) == (
        400,
        "charge_already_refunded",
    )


def test_what_is_disputed_cannot_be_refunded(api: Api) -> None:
    """The bank has the money; of an inquiry it is still ours to give."""
    api.subscribe(api.customer("pm_card_createDispute")["id"], api.price()["id"])
    (charge,) = api.get("charges")["data"]
    with pytest.raises(Refused) as refused:
        api.post("refunds", charge=charge["id"])
    assert (refused.value.status, refused.value.code) == (400, "charge_disputed")

    asked = api.customer("pm_card_createDisputeInquiry")["id"]
    api.subscribe(asked, api.price()["id"])
    (charge,) = api.get("charges", customer=asked)["data"]
    assert api.post("refunds", charge=charge["id"])["status"] == "succeeded"


def test_a_dispute_is_closed_once(api: Api) -> None:
    """Neither evidence nor another end is taken afterwards."""
    api.subscribe(api.customer("pm_card_createDispute")["id"], api.price()["id"])
    path = f"disputes/{api.get('disputes')['data'][0]['id']}"
    api.post(f"{path}/close")
    for again in (path, f"{path}/close"):
        with pytest.raises(Refused) as refused:
            api.post(again)
        assert refused.value.status == 400


def test_there_are_up_to_sixteen_webhook_endpoints(api: Api) -> None:
    """The next one is refused, until one is deleted."""
    params: dict[str, Any] = {"url": "https://example.com", "enabled_events": ["*"]}
    made = [api.post("webhook_endpoints", **params)["id"] for _ in range(16)]
    with pytest.raises(Refused) as refused:
        api.post("webhook_endpoints", **params)
    assert (refused.value.status, refused.value.type) == (400, INVALID)
    api.delete(f"webhook_endpoints/{made[0]}")
    assert api.post("webhook_endpoints", **params)["secret"].startswith("whsec_")


def test_the_secret_of_an_endpoint_is_said_once(api: Api) -> None:
    """When it is made, and never again."""
    made = api.post(
        "webhook_endpoints", url="https://example.com", enabled_events=["*"]
    )
    assert "secret" not in api.get(f"webhook_endpoints/{made['id']}")


def test_an_ended_subscription_still_takes_notes(shop: Shop) -> None:
    """Its metadata, and why it was canceled."""
    path = f"subscriptions/{shop.ended}"
    changed = shop.api.post(
        path,
        metadata={"a": "b"},
        cancellation_details={"feedback": "too_expensive", "comment": "Adieu"},
    )
    assert changed["metadata"] == {"a": "b"}
    assert changed["cancellation_details"]["feedback"] == "too_expensive"


@pytest.mark.parametrize(
    "url",
    [
        "nowhere",
        "ftp://127.0.0.1/",
        "http://",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://[::1/",
        "http://127.0.0.1/a\nb",
    ],
)
def test_an_address_that_cannot_be_asked_is_refused(api: Api, url: str) -> None:
    """By the API, and by who adds an endpoint from outside: it would never answer."""
    with pytest.raises(Refused) as refused:
        api.post("webhook_endpoints", url=url, enabled_events=["*"])
    assert (refused.value.code, refused.value.param) == ("url_invalid", "url")
    with pytest.raises(ApiError, match="Invalid URL"):
        api.engine.add_endpoint(url, f"whsec_{'s' * 24}")
