"""The cards of the test mode: what each does when it is kept, charged, authenticated.

Source: docs.stripe.com/testing. A card that declines when it is charged cannot be
attached to a customer; `pm_card_chargeCustomerFail` can, and fails afterwards.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import attrs

from payments_sandbox.errors import CardError


class Authentication(StrEnum):
    """When the bank wants to see the cardholder (3-D Secure)."""

    NEVER = "never"
    # Once, through a setup intent; then off-session payments pass.
    ON_SETUP = "on_setup"
    ALWAYS = "always"


@attrs.frozen
class Decline:
    """A refusal by the issuer, in Stripe's two codes and a sentence."""

    code: str
    decline_code: str | None = None
    message: str = "Your card was declined."

    @property
    def is_hard(self) -> bool:
        """Whether only another card helps (docs: Smart Retries, hard declines)."""
        return (self.decline_code or self.code) in _HARD

    def error(self, **more: Any) -> CardError:
        return CardError(
            402,
            self.message,
            type_="card_error",
            code=self.code,
            decline_code=self.decline_code,
            **more,
        )


_HARD: Final = frozenset(
    {
        "authentication_required",
        "highest_risk_level",
        "incorrect_number",
        "lost_card",
        "pickup_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "transaction_not_allowed",
    }
)


def _declined(reason: str) -> Decline:
    return Decline("card_declined", reason)


_NO_FUNDS: Final = Decline(
    "card_declined", "insufficient_funds", "Your card has insufficient funds."
)
# By the word that a person gives: `payments sandbox card pm_… --declines lost_card`.
DECLINES: Final[Mapping[str, Decline]] = MappingProxyType(
    {
        "expired_card": Decline("expired_card", None, "Your card has expired."),
        "fraudulent": _declined("fraudulent"),
        "generic_decline": _declined("generic_decline"),
        "incorrect_cvc": Decline(
            "incorrect_cvc", None, "Your card's security code is incorrect."
        ),
        "insufficient_funds": _NO_FUNDS,
        "lost_card": _declined("lost_card"),
        "processing_error": Decline(
            "processing_error", None, "An error occurred while processing your card."
        ),
        "stolen_card": _declined("stolen_card"),
    }
)


@attrs.frozen(kw_only=True)
class Card:
    """What a card is, and how it behaves."""

    brand: str = "visa"
    last4: str = "4242"
    country: str = "US"
    funding: str = "credit"
    keeping: Decline | None = None
    charging: Decline | None = None
    authentication: Authentication = Authentication.NEVER
    # The reason of the dispute that each charge ends in.
    disputed_as: str | None = None
    inquiry: bool = False


_GENERIC: Final = DECLINES["generic_decline"]


def _unusable(last4: str, reason: str) -> Card:
    decline = DECLINES[reason]
    return Card(last4=last4, keeping=decline, charging=decline)


_DECLINED: Final = {
    "": ("0002", "generic_decline"),
    "InsufficientFunds": ("9995", "insufficient_funds"),
    "LostCard": ("9987", "lost_card"),
    "StolenCard": ("9979", "stolen_card"),
    "ExpiredCard": ("0069", "expired_card"),
    "IncorrectCvc": ("0127", "incorrect_cvc"),
    "ProcessingError": ("0119", "processing_error"),
}
MAGIC: Final[Mapping[str, Card]] = MappingProxyType(
    {
        "pm_card_visa": Card(),
        "pm_card_visa_debit": Card(last4="5556", funding="debit"),
        "pm_card_mastercard": Card(brand="mastercard", last4="4444"),
        "pm_card_amex": Card(brand="amex", last4="8431"),
        "pm_card_chargeCustomerFail": Card(last4="0341", charging=_GENERIC),
        "pm_card_authenticationRequired": Card(
            last4="3184", authentication=Authentication.ALWAYS
        ),
        "pm_card_authenticationRequiredOnSetup": Card(
            last4="3155", authentication=Authentication.ON_SETUP
        ),
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Card(
            last4="3178", authentication=Authentication.ALWAYS, charging=_NO_FUNDS
        ),
        "pm_card_createDispute": Card(last4="0259", disputed_as="fraudulent"),
        "pm_card_createDisputeProductNotReceived": Card(
            last4="2685", disputed_as="product_not_received"
        ),
        "pm_card_createDisputeInquiry": Card(
            last4="1976", disputed_as="fraudulent", inquiry=True
        ),
        # Stripe's pages name these with and without the brand.
        **{
            f"pm_card{brand}_chargeDeclined{suffix}": _unusable(last4, reason)
            for brand in ("", "_visa")
            for suffix, (last4, reason) in _DECLINED.items()
        },
    }
)


def of_token(token: str) -> str:
    """Return the magic payment method that `tok_visa` and its like stand for."""
    return f"pm_card_{token.removeprefix('tok_')}"
