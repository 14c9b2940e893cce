"""`expand[]=latest_invoice.payments`: an id becomes the object that it names.

Source: docs.stripe.com/api/expanding_objects.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs

from payments_sandbox import shapes
from payments_sandbox.api_versions import BASIL, render
from payments_sandbox.errors import ApiError, invalid
from payments_sandbox.state import Object, World, listed

DEPTH_MAX: Final = 4
EXPANSIONS_MAX: Final = 20

_KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ch": "charge",
        "clock": "test_helpers.test_clock",
        "cus": "customer",
        "in": "invoice",
        "pi": "payment_intent",
        "pm": "payment_method",
        "price": "price",
        "prod": "product",
        "seti": "setup_intent",
        "sub": "subscription",
    }
)


def _payments(world: World, invoice: Object) -> Object:
    payments = world.by("invoice_payment", "invoice", invoice["id"])
    return listed(f"/v1/invoice_payments?invoice={invoice['id']}", payments[::-1])


def _secret(world: World, invoice: Object) -> Object | None:
    intent = world.intent_of(invoice)
    return intent and {
        "client_secret": intent["client_secret"],
        "type": "payment_intent",
    }


def _subscriptions(world: World, customer: Object) -> Object:
    live = [
        it
        for it in world.by("subscription", "customer", customer["id"])
        if it["status"] not in ("canceled", "incomplete_expired")
    ]
    return listed(f"/v1/customers/{customer['id']}/subscriptions", live[::-1])


def _refunds(world: World, charge: Object) -> Object:
    refunds = world.by("refund", "charge", charge["id"])
    return listed(f"/v1/charges/{charge['id']}/refunds", refunds[::-1])


# Fields that are included only on request.
_INCLUDED: Final[Mapping[tuple[str, str], Callable[[World, Object], Any]]] = (
    MappingProxyType(
        {
            ("charge", "refunds"): _refunds,
            ("customer", "subscriptions"): _subscriptions,
            ("invoice", "confirmation_secret"): _secret,
            ("invoice", "payments"): _payments,
        }
    )
)

# Of the older API: an imported card, and objects that the sandbox does not have.
_SOURCES: Final = frozenset({"ba", "card", "src"})

# Fields of a customer that can be expanded, also for a deleted one.
_OF_CUSTOMER: Final = frozenset(
    {
        "cash_balance",
        "default_source",
        "discount",
        "invoice_credit_balance",
        "invoice_settings",
        "sources",
        "subscriptions",
        "tax",
        "tax_ids",
        "test_clock",
    }
)
_SINCE_BASIL: Final = frozenset(
    {("invoice", "confirmation_secret"), ("invoice", "payments")}
)


def expanded(world: World, it: Object, paths: Sequence[str], version: str) -> Object:
    """Return an answer, rendered in this version, with these paths expanded.

    Raises:
        ApiError: a path cannot be expanded, or is too deep.
    """
    if len(paths) > EXPANSIONS_MAX:
        raise invalid(f"You can expand up to {EXPANSIONS_MAX} properties.", "expand")
    for path in paths:
        names = path.split(".")
        # The `data` of a list counts as a level.
        if len(names) > DEPTH_MAX:
            raise invalid(
                f"You cannot expand more than {DEPTH_MAX} levels of a property. "
                f"Property: {path[:200]}",
                "expand",
            )
        it = _Expansion(world, version, path).at(it, names)
    return it


@attrs.frozen
class _Expansion:
    """One path, and the version in which its objects are rendered."""

    world: World
    version: str
    path: str

    def at(self, it: Any, names: Sequence[str]) -> Any:
        """Return a value with the field at this path expanded."""
        it = self._whole(it) if not names or not isinstance(it, Mapping) else it
        if it is None or not names:
            return it
        if isinstance(it, str):
            raise self._refused()
        if it.get("deleted") is True and names[0] in _OF_CUSTOMER:
            # A deleted object's stub stays: it has nothing to expand.
            return it
        name, rest = names[0], names[1:]
        if name == "data" and isinstance(it.get("data"), list):
            return {**it, "data": [self.at(item, rest) for item in it["data"]]}
        include = self._include(it.get("object", ""), name)
        if include and name not in it:
            included = include(self.world, it)
            shown = included and render(self.world, included, self.version)
            return {**it, name: self.at(shown, rest) if rest else shown}
        # An object's own id looks like a reference.
        if name not in it or name == "id":
            raise self._refused()
        return {**it, name: self.at(it[name], rest)}

    def _include(self, kind: str, name: str) -> Callable[[World, Object], Any] | None:
        is_unknown = (kind, name) in _SINCE_BASIL and self.version < BASIL
        return None if is_unknown else _INCLUDED.get((kind, name))

    def _whole(self, it: Any) -> Any:
        """Return the object that an id names; an object stays as it is."""
        if it is None or isinstance(it, Mapping):
            return it
        if isinstance(it, str):
            if it.partition("_")[0] in _SOURCES:
                method = self.world.find("payment_method", it)
                # Another source stays an id, so that a list is not refused because of
                # it.
                return shapes.source(method) if method else it
            kind = _KINDS.get(it.partition("_")[0])
            found = kind and self.world.find(kind, it)
            if found:
                return render(self.world, found, self.version)
            if self.world.find("deleted_customer", it):
                return {"id": it, "object": "customer", "deleted": True}
        raise self._refused()

    def _refused(self) -> ApiError:
        return invalid(
            f"This property cannot be expanded ({self.path[:200]}). You may want to "
            "try expanding another one.",
            "expand",
        )
