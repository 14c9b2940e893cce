"""What a restricted key may do: a permission for each resource, to read or to write.

Source: docs.stripe.com/keys/restricted-api-keys and
docs.stripe.com/stripe-apps/reference/permissions.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from payments_sandbox.errors import ApiError

# By the first part of a path after the version.
_RESOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "account": "accounts_kyc_basic",
        "charges": "charge",
        "core": "webhook",
        "customers": "customer",
        "disputes": "dispute",
        "events": "event",
        "invoice_payments": "invoice",
        "invoiceitems": "invoice",
        "invoices": "invoice",
        "payment_intents": "payment_intent",
        "payment_methods": "payment_method",
        "prices": "plan",
        "products": "product",
        "refunds": "charge",
        "setup_intents": "setup_intent",
        "subscriptions": "subscription",
        "test_helpers": "billing_clock",
        "webhook_endpoints": "webhook",
    }
)
_WRITE: Final = "_write"
PERMISSIONS: Final = frozenset(
    f"{resource}{what}"
    for resource in _RESOURCES.values()
    for what in ("_read", _WRITE)
)


def require(permissions: frozenset[str], method: str, path: str) -> None:
    """Refuse a call that needs other permissions. A write permission includes reading.

    Raises:
        ApiError: 403, the key lacks a permission.
    """
    _, _, resource, *_ = *path.split("/"), "", ""
    name = _RESOURCES.get(resource, resource)
    lacks = f"{name}_read" if method == "GET" else f"{name}{_WRITE}"
    if not permissions & {lacks, f"{name}{_WRITE}"}:
        raise ApiError(
            403,
            "The provided key does not have the required permissions for this "
            f"endpoint. Having the 'rak_{lacks}' permission would allow this request "
            "to continue.",
        )
