"""Changes of subscriptions in the sandbox, and what they cost."""

from typing import Any, Final

from payments_sandbox.periods import DAY
from support.sandbox import Api

# January, where a sandbox begins.
MONTH: Final = 31 * DAY


def begin(api: Api, amount: int = 1_000, **params: Any) -> Any:
    return api.subscribe(api.customer()["id"], api.price(amount)["id"], **params)


def change(api: Api, subscription: Any, **params: Any) -> Any:
    return api.post(f"subscriptions/{subscription['id']}", **params)


def item(subscription: Any, **fields: Any) -> list[dict[str, Any]]:
    """Return the change of a subscription's only item."""
    return [{"id": subscription["items"]["data"][0]["id"], **fields}]


def to_price(api: Api, subscription: Any, amount: int, **recurring: Any) -> Any:
    """Return the change of a subscription's only item to a new price."""
    return item(subscription, price=api.price(amount, **recurring)["id"])


def amounts(invoice: Any) -> list[int]:
    return [line["amount"] for line in invoice["lines"]["data"]]


def charged(api: Api) -> list[int]:
    """Return the amounts that were charged, in order."""
    charges = api.get("charges", limit=100)["data"][::-1]
    return [it["amount"] for it in charges if it["paid"]]
