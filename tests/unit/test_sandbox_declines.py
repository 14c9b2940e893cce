"""Cards that the sandbox declines, and each code that it says: Stripe's."""

import inspect
import json
from collections.abc import Iterator
from typing import Any, Final, ForwardRef, get_args

import pytest
import stripe

from support.sandbox import Api, Refused
from support.sandbox_refusals import REFUSALS
from support.sdk_types import resolve
from support.watched import FAILING

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
