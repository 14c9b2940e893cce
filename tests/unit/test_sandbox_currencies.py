"""Which currencies and amounts the sandbox accepts: those that Stripe does."""

from typing import Any

import pytest

from support.sandbox import Api, Refused
from support.watched import again, begin, latest

CARD = "pm_card_visa"


def pay(api: Api, amount: int, currency: str) -> Any:
    return api.post(
        "payment_intents",
        amount=amount,
        currency=currency,
        payment_method=CARD,
        confirm=True,
    )


def refused_amount(api: Api, amount: int, currency: str) -> tuple[Any, ...]:
    with pytest.raises(Refused) as refused:
        pay(api, amount, currency)
    assert api.get("payment_intents")["data"] == []
    return refused.value.status, refused.value.code, refused.value.param


@pytest.mark.parametrize("currency", ["xxq", "xxx", "btc", "eu", "euro", "e1r"])
def test_a_currency_that_is_none_is_refused_everywhere(api: Api, currency: str) -> None:
    """In a payment, a price, an invoice item and a subscription, in any case."""
    customer, price = api.customer()["id"], api.price()["id"]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("payment_intents", {"amount": 1_000}),
        ("prices", {"unit_amount": 1_000, "product_data": {"name": "Basic"}}),
        ("invoiceitems", {"customer": customer, "amount": 1_000}),
        ("subscriptions", {"customer": customer, "items": [{"price": price}]}),
    ]
    for path, params in asked:
        for spelled in (currency, currency.upper()):
            with pytest.raises(
                Refused, match=f"Invalid currency: {spelled}"
            ) as refused:
                api.post(path, **params, currency=spelled)
            assert (refused.value.status, refused.value.code) == (400, None)
            assert refused.value.type == "invalid_request_error"
            assert refused.value.param == "currency"
    assert pay(api, 1_000, "EUR")["currency"] == "eur"


@pytest.mark.parametrize(
    ("currency", "least"),
    [
        ("usd", 50),
        ("eur", 50),
        ("gbp", 30),
        ("chf", 50),
        ("dkk", 250),
        ("sek", 300),
        ("mxn", 1_000),
        ("huf", 17_500),
        ("jpy", 50),
    ],
)
def test_what_is_less_than_the_least_is_not_taken(
    api: Api, currency: str, least: int
) -> None:
    """`amount_too_small`, for a new payment and for a changed one."""
    too_small = (400, "amount_too_small", "amount")
    assert refused_amount(api, 10, currency) == too_small
    assert refused_amount(api, least - 1, currency) == too_small
    assert pay(api, least, currency)["status"] == "succeeded"

    intent = api.post("payment_intents", amount=least, currency=currency)
    with pytest.raises(Refused) as refused:
        api.post(f"payment_intents/{intent['id']}", amount=least - 1)
    assert (refused.value.code, refused.value.param) == ("amount_too_small", "amount")


@pytest.mark.parametrize(
    ("currency", "inexact", "exact"),
    [("kwd", 1_005, 1_010), ("bhd", 999, 1_000), ("isk", 10_050, 10_100)],
)
def test_an_amount_is_as_exact_as_the_currency(
    api: Api, currency: str, inexact: int, exact: int
) -> None:
    """With three decimals the last one is 0; krona have no fractions."""
    assert refused_amount(api, inexact, currency) == (400, None, "amount")
    assert pay(api, exact, currency)["status"] == "succeeded"


def test_an_invoice_of_less_waits_in_the_balance(api: Api) -> None:
    """It is paid without a charge; the next one includes it."""
    customer = api.customer()["id"]
    subscription = api.subscribe(customer, api.price(30)["id"])
    first = latest(api, subscription)
    assert (first["status"], first["amount_due"], first["total"]) == ("paid", 0, 30)
    assert api.get(f"customers/{customer}")["balance"] == 30
    assert again(api, subscription)["status"] == "active"
    api.advance("1 month")
    api.advance("1 hour")
    assert latest(api, subscription)["amount_due"] == 60
    assert [it["amount"] for it in api.get("charges")["data"]] == [60]
    assert api.get(f"customers/{customer}")["balance"] == 0


def test_an_invoice_of_the_least_is_charged(api: Api) -> None:
    """To the cent."""
    subscription = api.subscribe(api.customer()["id"], api.price(50)["id"])
    assert latest(api, subscription)["amount_due"] == 50
    assert begin(api)["status"] == "active"
