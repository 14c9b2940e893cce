"""What an error of the SDK means: refused, not attempted, or an unknown outcome.

Sources: docs.stripe.com/api/errors, docs.stripe.com/error-low-level.
"""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import stripe

from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    GatewayRefused,
    GatewayUnavailable,
)

MISSING: Final = "resource_missing"
CODE_LENGTH_MAX: Final = 64
# Stripe's parameters, in our words.
FIELDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "invoice_settings[default_payment_method]": "payment_method",
        "items[0][price]": "price",
        "items[0][quantity]": "quantity",
        "payment_method": "payment_method",
        "price": "price",
        "product": "product",
        "proration_date": "proration_date",
        "subscription_details[items][0][price]": "price",
        "subscription_details[items][0][quantity]": "quantity",
        "subscription_details[proration_date]": "proration_date",
        "trial_period_days": "trial_days",
        "url": "url",
        "webhook_endpoint[url]": "url",
    }
)
_REFUSES_US: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NOT_NOW: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS})
# Whatever their status: another request uses the key or the object, or too many do.
_NOT_NOW_CODES: Final = frozenset(
    {"idempotency_key_in_use", "lock_timeout", "rate_limit"}
)


def failure_of(error: Exception) -> GatewayRefused | GatewayUnavailable:
    """Return our error for a failed call, with no text of Stripe's in it."""
    if not isinstance(error, stripe.StripeError):
        # An error of Stripe's in an unexpected shape, at which the SDK fails: it may be
        # a 500, and then its key can no longer be used.
        return GatewayOutcomeUnknown(
            "an error of an unexpected shape", server_error_cached=True
        )
    if isinstance(error, stripe.APIConnectionError):
        return GatewayOutcomeUnknown(str(error.user_message))
    status = error.http_status
    if status is None:
        return GatewayOutcomeUnknown(type(error).__name__)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return GatewayOutcomeUnknown(f"it answers {status}", server_error_cached=True)
    if status in _REFUSES_US:
        return _of_key(status)
    return _of_request(status, _said(error))


def _of_key(status: int) -> GatewayMisconfigured:
    if status == HTTPStatus.FORBIDDEN:
        return GatewayMisconfigured("the key lacks a permission", permission=True)
    return GatewayMisconfigured()


def _said(error: stripe.StripeError) -> Mapping[str, Any]:
    said = error.json_body.get("error") if isinstance(error.json_body, dict) else None
    return said if isinstance(said, dict) else {}


def _of_request(
    status: int, said: Mapping[str, Any]
) -> GatewayRefused | GatewayUnavailable:
    code, type_ = _word(said.get("code")), _word(said.get("type"))
    if code in _NOT_NOW_CODES:
        return GatewayNotAttempted(code)
    if type_ == "idempotency_error":
        # This call was not done; but what was, under the same key, is unknown.
        return GatewayOutcomeUnknown("the key was used for something else")
    if status in _NOT_NOW:
        return GatewayNotAttempted(f"it answers {status}")
    if status < HTTPStatus.BAD_REQUEST or not said:
        return GatewayOutcomeUnknown(f"an answer of {status} that is none")
    field = FIELDS.get(str(said.get("param")))
    code = code or type_ or "refused"
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return GatewayRefused(
            code,
            "the bank declined the card",
            field=field or "payment_method",
            decline_code=_word(said.get("decline_code")) or code,
            declined=True,
        )
    return GatewayRefused(code, "Stripe refused it", field=field)


def _word(value: object) -> str | None:
    """Return a code of Stripe's; None if it does not look like one."""
    # No digits: a card number must not pass.
    is_word = (
        isinstance(value, str)
        and len(value) <= CODE_LENGTH_MAX
        and value.isascii()
        and value.replace("_", "").isalpha()
    )
    return str(value) if is_word else None
