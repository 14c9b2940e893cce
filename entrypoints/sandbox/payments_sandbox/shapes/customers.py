"""Customers, their cards, and how cards are set up."""

from collections.abc import Mapping
from typing import Any, Final

from payments_sandbox.cards import Card
from payments_sandbox.shapes.parts import NO_ADDRESS, new_object
from payments_sandbox.state import Object, World

EXPIRY_YEARS: Final = 8
_SECONDS_OF_A_YEAR: Final = 31_556_952


def customer(world: World, **fields: Any) -> Object:
    return {
        **new_object(world, "cus", "customer"),
        "address": None,
        "balance": 0,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": world.secret(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
        **fields,
    }


def payment_method(world: World, card: Card, **fields: Any) -> Object:
    year = 1970 + world.now // _SECONDS_OF_A_YEAR + EXPIRY_YEARS
    return {
        **new_object(world, "pm", "payment_method"),
        "allow_redisplay": "unspecified",
        "billing_details": billing_details({}),
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": "pass",
            },
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": 12,
            "exp_year": year,
            "fingerprint": f"{card.brand}{card.last4}".ljust(16, "0"),
            "funding": card.funding,
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "customer": None,
        "type": "card",
        **fields,
    }


# The names of brands in the older API, if not the newer word in title case.
_OLDER_NAMES: Final = {
    "amex": "American Express",
    "diners": "Diners Club",
    "jcb": "JCB",
    "mastercard": "MasterCard",
    "unionpay": "UnionPay",
}


def source(method: Object) -> Object:
    """Return a card in the shape of the older API: a customer's source."""
    card = method["card"]
    brand = card["brand"]
    return {
        "id": method["id"],
        "object": "card",
        "address_city": None,
        "address_country": None,
        "address_state": None,
        "address_zip": None,
        "address_zip_check": None,
        "brand": _OLDER_NAMES.get(brand, brand.title()),
        "country": card["country"],
        "customer": method["customer"],
        "cvc_check": card["checks"]["cvc_check"],
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "last4": card["last4"],
        "metadata": method["metadata"],
        "name": method["billing_details"]["name"],
        "regulated_status": card["regulated_status"],
        "tokenization_method": None,
    }


def billing_details(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "address": NO_ADDRESS,
        "email": None,
        "name": None,
        "phone": None,
        "tax_id": None,
        **given,
    }


def setup_intent(world: World, **fields: Any) -> Object:
    new = new_object(world, "seti", "setup_intent")
    return {
        **new,
        "allowed_payment_method_types": None,
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{new['id']}_secret_{world.secret()}",
        "customer": None,
        "description": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "mandate": None,
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
        **fields,
    }
