"""The cards of the test mode: what each does when saved, charged or authenticated.

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
    """When the bank requires authentication (3-D Secure)."""

    NEVER = "never"
    # Once, through a setup intent; then off-session payments succeed.
    ON_SETUP = "on_setup"
    ALWAYS = "always"


class Refunding(StrEnum):
    """The later outcome of a refund to a card."""

    NOTHING = "nothing"
    # It is `succeeded` at first.
    FAILS = "fails"
    # It is `pending` at first.
    SUCCEEDS_LATER = "succeeds_later"


@attrs.frozen
class Decline:
    """A refusal in Stripe's two codes and a sentence.

    It is the issuer's, or, if `is_blocked`, Stripe's own (Radar): then the issuer was
    not contacted.
    """

    code: str
    decline_code: str | None = None
    message: str = "Your card was declined."
    is_blocked: bool = False

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
# By the word given on the command line: `payments sandbox card pm_… --declines
# lost_card`.
DECLINES: Final[Mapping[str, Decline]] = MappingProxyType(
    {
        "card_velocity_exceeded": _declined("card_velocity_exceeded"),
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
    """The properties and the behaviour of a card."""

    brand: str = "visa"
    last4: str = "4242"
    country: str = "US"
    funding: str = "credit"
    keeping: Decline | None = None
    charging: Decline | None = None
    authentication: Authentication = Authentication.NEVER
    risk_level: str = "normal"
    refunding: Refunding = Refunding.NOTHING
    # The reason of the dispute that each charge leads to.
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
    "VelocityLimitExceeded": ("6975", "card_velocity_exceeded"),
}
_BLOCKED: Final = Decline("card_declined", "fraudulent", is_blocked=True)
_RADAR: Final = Card(last4="0019", charging=_BLOCKED, risk_level="highest")
# The last digits of the numbers on Stripe's page for these countries.
_LAST4_BY_COUNTRY: Final = {
    "AT": "0008",
    "AU": "0006",
    "BE": "0004",
    "BR": "0002",
    "CA": "0000",
    "CH": "0009",
    "DE": "0000",
    "ES": "0007",
    "FR": "0003",
    "GB": "0000",
    "IE": "0005",
    "IT": "0008",
    "JP": "0003",
    "NL": "0002",
    "PL": "0005",
    "PT": "0007",
    "SE": "0008",
    "US": "4242",
}
MAGIC: Final[Mapping[str, Card]] = MappingProxyType(
    {
        "pm_card_visa": Card(),
        "pm_card_visa_debit": Card(last4="5556", funding="debit"),
        "pm_card_mastercard": Card(brand="mastercard", last4="4444"),
        "pm_card_mastercard_debit": Card(
            brand="mastercard", last4="8210", funding="debit"
        ),
        "pm_card_mastercard_prepaid": Card(
            brand="mastercard", last4="5100", funding="prepaid"
        ),
        "pm_card_amex": Card(brand="amex", last4="8431"),
        "pm_card_diners": Card(brand="diners", last4="0004"),
        "pm_card_discover": Card(brand="discover", last4="9424"),
        "pm_card_jcb": Card(brand="jcb", last4="0505", country="JP"),
        "pm_card_unionpay": Card(brand="unionpay", last4="0005", country="CN"),
        **{
            f"pm_card_{country.lower()}": Card(last4=last4, country=country)
            for country, last4 in _LAST4_BY_COUNTRY.items()
        },
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
        "pm_card_threeDSecureRequired": Card(
            last4="3220", authentication=Authentication.ALWAYS
        ),
        "pm_card_threeDSecureRequiredChargeDeclined": Card(
            last4="1629", authentication=Authentication.ALWAYS, charging=_GENERIC
        ),
        # Its bank supports it; Stripe's own rules request it only if it is required.
        "pm_card_threeDSecureOptional": Card(last4="3055"),
        "pm_card_radarBlock": _RADAR,
        "pm_card_riskLevelHighest": attrs.evolve(_RADAR, last4="4954"),
        "pm_card_riskLevelElevated": Card(last4="9235", risk_level="elevated"),
        "pm_card_refundFail": Card(last4="5126", refunding=Refunding.FAILS),
        "pm_card_pendingRefund": Card(last4="7726", refunding=Refunding.SUCCEEDS_LATER),
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
        **{
            f"pm_card{brand}_chargeDeclinedFraudulent": attrs.evolve(
                _RADAR, keeping=_BLOCKED
            )
            for brand in ("", "_visa")
        },
    }
)


def of_token(token: str) -> str:
    """Return the magic payment method that a token such as `tok_visa` stands for."""
    return f"pm_card_{token.removeprefix('tok_')}"
