"""Cards that the sandbox declines, and each of its codes: Stripe's."""

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
    (
        "chargeDeclinedVelocityLimitExceeded",
        "card_declined",
        "card_velocity_exceeded",
    ),
]


def declined(refused: Refused) -> tuple[int, str, str | None, str | None]:
    return refused.status, refused.type, refused.code, refused.decline_code


@pytest.mark.parametrize("prefix", ["pm_card_", "pm_card_visa_"])
@pytest.mark.parametrize(("name", "code", "decline_code"), DECLINES)
def test_a_card_that_declines_can_neither_be_charged_nor_attached(
    api: Api, prefix: str, name: str, code: str, decline_code: str | None
) -> None:
    """402, `card_error`, and the two codes of the issuer; the charge exists."""
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
    """It is for renewals that fail: the charge is declined, attaching is not."""
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


@pytest.mark.parametrize(
    "card",
    [
        "pm_card_chargeDeclinedFraudulent",
        "pm_card_radarBlock",
        "pm_card_riskLevelHighest",
    ],
)
def test_a_card_that_radar_blocks_is_not_sent_to_its_bank(api: Api, card: str) -> None:
    """To the client it is a decline like any other; the charge has the reason."""
    with pytest.raises(Refused) as refused:
        api.post(
            "payment_intents",
            amount=500,
            currency="eur",
            payment_method=card,
            confirm=True,
        )
    assert declined(refused.value) == (402, "card_error", "card_declined", "fraudulent")
    (charge,) = api.get("charges")["data"]
    outcome = charge["outcome"]
    assert (outcome["type"], outcome["network_status"]) == (
        "blocked",
        "not_sent_to_network",
    )
    assert (outcome["risk_level"], outcome["reason"]) == (
        "highest",
        "highest_risk_level",
    )


def test_a_card_that_declines_as_fraudulent_cannot_be_attached(api: Api) -> None:
    """As all that decline; one that Radar blocks can, for renewals that it stops."""
    customer = api.customer(None)["id"]
    with pytest.raises(Refused) as refused:
        api.post(
            "payment_methods/pm_card_chargeDeclinedFraudulent/attach", customer=customer
        )
    assert declined(refused.value) == (402, "card_error", "card_declined", "fraudulent")
    api.give_card(customer, "pm_card_radarBlock")
    subscription = api.subscribe(customer, api.price()["id"])
    assert subscription["status"] == "incomplete"


def test_a_payment_of_elevated_risk_is_taken(api: Api) -> None:
    """The charge has its risk level."""
    api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        payment_method="pm_card_riskLevelElevated",
        confirm=True,
    )
    (charge,) = api.get("charges")["data"]
    assert (charge["status"], charge["outcome"]["risk_level"]) == (
        "succeeded",
        "elevated",
    )


@pytest.mark.parametrize(
    ("card", "status"),
    [
        ("pm_card_threeDSecureRequired", "requires_action"),
        ("pm_card_threeDSecureRequiredChargeDeclined", "requires_action"),
        ("pm_card_threeDSecureOptional", "succeeded"),
    ],
)
def test_3d_secure_is_asked_for_where_it_is_required(
    api: Api, card: str, status: str
) -> None:
    """A bank that supports it, and does not require it, is not asked."""
    intent = api.post(
        "payment_intents",
        amount=500,
        currency="eur",
        payment_method=card,
        confirm=True,
    )
    assert intent["status"] == status


@pytest.mark.parametrize(
    ("card", "shown"),
    [
        ("pm_card_us", ("visa", "4242", "US", "credit")),
        ("pm_card_de", ("visa", "0000", "DE", "credit")),
        ("pm_card_discover", ("discover", "9424", "US", "credit")),
        ("pm_card_jcb", ("jcb", "0505", "JP", "credit")),
        ("pm_card_mastercard_debit", ("mastercard", "8210", "US", "debit")),
        ("pm_card_mastercard_prepaid", ("mastercard", "5100", "US", "prepaid")),
    ],
)
def test_a_card_is_of_its_brand_and_country(
    api: Api, card: str, shown: tuple[str, str, str, str]
) -> None:
    """By its magic name and by its token; it pays."""
    customer = api.customer(card)["id"]
    assert api.subscribe(customer, api.price()["id"])["status"] == "active"
    token = card.replace("pm_card_", "tok_")
    made = api.post("payment_methods", type="card", card={"token": token})
    (attached,) = api.get(f"customers/{customer}/payment_methods")["data"]
    for method in (made, attached):
        it = method["card"]
        assert (it["brand"], it["last4"], it["country"], it["funding"]) == shown


def test_a_payment_that_needs_the_holder_is_said_to(api: Api) -> None:
    """402 with a code of its own, so that the client can ask the holder."""
    customer = api.customer("pm_card_authenticationRequired")["id"]
    with pytest.raises(Refused) as refused:
        api.subscribe(
            customer, api.price()["id"], payment_behavior="error_if_incomplete"
        )
    assert declined(refused.value)[:2] == (402, "card_error")
    assert "action" in str(refused.value.code)


def test_a_decline_says_what_was_declined(api: Api) -> None:
    """The error has the intent, the charge and the card."""
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
    """Those that the SDK knows; if it knows none, none is invented."""
    error = stripe.PaymentIntent.LastPaymentError
    code = inspect.get_annotations(error)["code"]
    known = set(words_of(code, error.__module__))
    used = {refusal[3] for refusal in REFUSALS} | {it[1] for it in DECLINES}
    assert len(known) > len(used)
    # The SDK lists the codes of an intent; an invoice has none.
    assert used - {None, "invoice_already_paid"} <= known
