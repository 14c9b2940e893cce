"""The types of Stripe's events that are known but not followed, each with the reason.

Rule 1: a type is here only if nothing that is stored would become wrong without it:
        another event reports the same, or nothing of it is stored.
Rule 2: a type that Stripe has and this release does not know is stored and counted as
        unknown: a later release may follow it, and a replay applies it then.

Source: docs.stripe.com/api/events/types, and the list that the SDK has of them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

UNKNOWN_TYPE: Final = "its type is not known"
NOT_FOLLOWED: Final = "its type asks for nothing"

_CHARGES_TELL: Final = "`charge.*` reports the money."
_SUBSCRIPTIONS_TELL: Final = (
    "`customer.subscription.*` reports what it does to a subscription."
)
_NOTHING_PAID: Final = "Nothing was paid or taken back."
_NOT_KEPT: Final = "Nothing of it is stored."
_READ_WHEN_ORDERED: Final = "Prices and products are read when something is ordered."
_OWN_BINDING: Final = "Only a registration binds a customer."
_NOT_A_CARD_YET: Final = (
    "It pays nothing yet; if it becomes the default, `customer.updated` reports it."
)
_NOT_SET_UP: Final = "Only a card that was set up replaces another."
_A_WARNING: Final = (
    "It moves no money; `charge.dispute.*` and `charge.refunded` report the result."
)
_RETURNS_TELL: Final = "If money is returned, `charge.refunded` reports it."
_INVOICE_PAID_TELLS: Final = "`invoice.paid` reports when it is paid."

IGNORED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cash_balance.funds_available": _CHARGES_TELL,
        "checkout.session.async_payment_failed": _CHARGES_TELL,
        "checkout.session.async_payment_succeeded": _CHARGES_TELL,
        "checkout.session.completed": "Its charge and its subscription have events.",
        "checkout.session.expired": _NOTHING_PAID,
        "coupon.created": _NOT_KEPT,
        "coupon.deleted": _NOT_KEPT,
        "coupon.updated": _NOT_KEPT,
        "credit_note.created": _RETURNS_TELL,
        "credit_note.updated": _RETURNS_TELL,
        "credit_note.voided": _RETURNS_TELL,
        "customer.created": _OWN_BINDING,
        "customer.discount.created": _NOT_KEPT,
        "customer.discount.deleted": _NOT_KEPT,
        "customer.discount.updated": _NOT_KEPT,
        "customer.source.created": _NOT_A_CARD_YET,
        "customer.source.expiring": "The card is unchanged: its date is stored.",
        "customer.tax_id.created": _NOT_KEPT,
        "customer.tax_id.deleted": _NOT_KEPT,
        "customer.tax_id.updated": _NOT_KEPT,
        "customer_cash_balance_transaction.created": _CHARGES_TELL,
        "invoice.created": _INVOICE_PAID_TELLS,
        "invoice.deleted": "Only a draft is deleted: it was never owed.",
        "invoice.finalization_failed": _NOTHING_PAID,
        "invoice.finalized": _INVOICE_PAID_TELLS,
        "invoice.marked_uncollectible": _SUBSCRIPTIONS_TELL,
        "invoice.overdue": _SUBSCRIPTIONS_TELL,
        "invoice.overpaid": _CHARGES_TELL,
        "invoice.payment_attempt_required": _INVOICE_PAID_TELLS,
        "invoice.payment_succeeded": "`invoice.paid` reports the same, and more.",
        "invoice.sent": _NOTHING_PAID,
        "invoice.upcoming": _NOTHING_PAID,
        "invoice.updated": _INVOICE_PAID_TELLS,
        "invoice.voided": _SUBSCRIPTIONS_TELL,
        "invoice.will_be_due": _NOTHING_PAID,
        "invoice_payment.paid": (
            "`invoice.paid` reports what was bought; which charge paid it is fetched "
            "from Stripe if it matters."
        ),
        "invoiceitem.created": _INVOICE_PAID_TELLS,
        "invoiceitem.deleted": _INVOICE_PAID_TELLS,
        "mandate.updated": "If a payment fails because of it, that is reported.",
        "payment_intent.amount_capturable_updated": _CHARGES_TELL,
        "payment_intent.canceled": _CHARGES_TELL,
        "payment_intent.created": _NOTHING_PAID,
        "payment_intent.partially_funded": _CHARGES_TELL,
        "payment_intent.payment_failed": _CHARGES_TELL,
        "payment_intent.processing": _CHARGES_TELL,
        "payment_intent.requires_action": (
            "`invoice.payment_action_required` reports it for a subscription."
        ),
        "payment_intent.succeeded": _CHARGES_TELL,
        "payment_link.created": _NOTHING_PAID,
        "payment_link.updated": _NOTHING_PAID,
        "plan.created": _READ_WHEN_ORDERED,
        "plan.deleted": _READ_WHEN_ORDERED,
        "plan.updated": _READ_WHEN_ORDERED,
        "price.created": _READ_WHEN_ORDERED,
        "price.deleted": _READ_WHEN_ORDERED,
        "price.updated": _READ_WHEN_ORDERED,
        "product.created": _READ_WHEN_ORDERED,
        "product.deleted": _READ_WHEN_ORDERED,
        "product.updated": _READ_WHEN_ORDERED,
        "promotion_code.created": _NOT_KEPT,
        "promotion_code.updated": _NOT_KEPT,
        "quote.accepted": _SUBSCRIPTIONS_TELL,
        "quote.canceled": _NOTHING_PAID,
        "quote.created": _NOTHING_PAID,
        "quote.finalized": _NOTHING_PAID,
        "radar.early_fraud_warning.created": _A_WARNING,
        "radar.early_fraud_warning.updated": _A_WARNING,
        "refund.created": (
            "`charge.refunded` has the amounts, and `refund.failed` reports a failure."
        ),
        "review.closed": _A_WARNING,
        "review.opened": _A_WARNING,
        "setup_intent.canceled": _NOT_SET_UP,
        "setup_intent.created": _NOT_SET_UP,
        "setup_intent.requires_action": _NOT_SET_UP,
        "setup_intent.setup_failed": _NOT_SET_UP,
        "source.canceled": _NOT_A_CARD_YET,
        "source.chargeable": _NOT_A_CARD_YET,
        "source.failed": _NOT_A_CARD_YET,
        "source.mandate_notification": _NOTHING_PAID,
        "source.refund_attributes_required": _RETURNS_TELL,
        "source.transaction.created": _CHARGES_TELL,
        "source.transaction.updated": _CHARGES_TELL,
        "subscription_schedule.aborted": _SUBSCRIPTIONS_TELL,
        "subscription_schedule.canceled": _SUBSCRIPTIONS_TELL,
        "subscription_schedule.completed": _SUBSCRIPTIONS_TELL,
        "subscription_schedule.created": _SUBSCRIPTIONS_TELL,
        "subscription_schedule.expiring": _SUBSCRIPTIONS_TELL,
        "subscription_schedule.released": _SUBSCRIPTIONS_TELL,
        "subscription_schedule.updated": _SUBSCRIPTIONS_TELL,
    }
)
# The first words of types that concern no user's payment or subscription.
OTHER_GROUPS: Final = frozenset(
    {
        "account",
        "application_fee",
        "apps",
        "balance",
        "balance_settings",
        "billing",
        "billing_portal",
        "capability",
        "climate",
        "entitlements",
        "file",
        "financial_connections",
        "identity",
        "issuing_authorization",
        "issuing_card",
        "issuing_cardholder",
        "issuing_dispute",
        "issuing_personalization_design",
        "issuing_token",
        "issuing_transaction",
        "payout",
        "person",
        "reporting",
        "reserve",
        "sigma",
        "tax",
        "tax_rate",
        "terminal",
        "test_helpers",
        "three_d_secure",
        "topup",
        "transfer",
        "treasury",
    }
)


def why_ignored(type_: str) -> str:
    """Return why a type is not followed: one of two reasons."""
    is_known = type_ in IGNORED or type_.partition(".")[0] in OTHER_GROUPS
    return NOT_FOLLOWED if is_known else UNKNOWN_TYPE
