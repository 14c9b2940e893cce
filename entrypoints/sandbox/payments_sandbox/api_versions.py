"""Renders objects as older API versions show them.

Rule 1: objects are stored in the newest version's shape; older ones are derived.
Rule 2: a nested or expanded object is rendered, too.
Rule 3: fields that only an older generation has come from `links`.
Rule 4: in every version an invoice comes with its first ten lines.

Source: docs.stripe.com/changelog/basil (2025-03-31: the period moved to the items, an
invoice's subscription to its parent, a charge lost its invoice) and /clover.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from payments_sandbox import shapes
from payments_sandbox.errors import invalid
from payments_sandbox.state import Object, World

NEWEST: Final = "2026-10-28.endive"
ACACIA: Final = "2024-09-30.acacia"
BASIL: Final = "2025-03-31.basil"
_NAMES: Final = ("acacia", "basil", "clover", "dahlia", "endive")
_VERSION: Final = re.compile(r"20\d\d-\d\d-\d\d\.([a-z]+)")
# Types that an endpoint of that generation never receives: they did not exist.
_NEW_TYPES: Final = MappingProxyType({"acacia": frozenset({"invoice_payment.paid"})})

# An invoice includes this many lines; the others are in a list.
LINES_MAX: Final = 10
# The fields in which an invoice can be expanded.
_INVOICES: Final = ("invoice", "latest_invoice")

Links = Mapping[str, str | None]


def generation_of(version: str) -> str:
    """Return the generation's name.

    Raises:
        ApiError: the sandbox does not support the version.
    """
    found = _VERSION.fullmatch(version)
    if found is None or found[1] not in _NAMES or version > NEWEST:
        raise invalid(
            f"Invalid Stripe API version: {version[:50]}. The sandbox speaks those "
            f"from {ACACIA} to {NEWEST}."
        )
    return found[1]


def knows(version: str, event_type: str) -> bool:
    """Return whether a version has this type of event."""
    return event_type not in _NEW_TYPES.get(generation_of(version), ())


def render(
    world: World, it: Object, version: str, links: Links | None = None
) -> Object:
    """Return an object as this version shows it; `links` are the object's own."""
    it = _with_first_lines(it)
    generation = generation_of(version)
    if generation in ("clover", "dahlia", "endive"):
        return it
    rendered = _walk(world, it, links, old=generation == "acacia")
    assert isinstance(rendered, Mapping)  # noqa: S101  # as it was stored
    return rendered


def _with_first_lines(it: Any) -> Any:
    """Return an object whose invoices include only their first lines, as a list.

    Invoices occur in lists, in events, and expanded: not deeper.
    """
    if not isinstance(it, Mapping):
        return it
    if it.get("object") == "list":
        data = [_with_first_lines(item) for item in it["data"]]
        same = all(new is old for new, old in zip(data, it["data"], strict=True))
        return it if same else {**it, "data": data}
    if it.get("object") != "invoice":
        inside = {
            name: shown
            for name in _INVOICES
            if (shown := _with_first_lines(it.get(name))) is not it.get(name)
        }
        return {**it, **inside} if inside else it
    lines = it["lines"]
    if len(lines["data"]) <= LINES_MAX:
        return it
    first = {**lines, "data": lines["data"][:LINES_MAX], "has_more": True}
    return {**it, "lines": first}


def _walk(world: World, it: Any, links: Links | None, *, old: bool) -> Any:
    if isinstance(it, list):
        return [_walk(world, item, None, old=old) for item in it]
    if not isinstance(it, Mapping):
        return it
    kind = it.get("object")
    if kind == "subscription":
        it = {name: it[name] for name in it if name not in _SINCE_CLOVER}
        if old:
            first = it["items"]["data"][0]
            it = {**it, **{name: first[name] for name in _PERIOD}}
    shown = {name: _walk(world, value, None, old=old) for name, value in it.items()}
    older = _ACACIA.get(kind) if old and isinstance(kind, str) else None
    if older is None or it.get("deleted"):
        return shown
    return older(world, shown, links if links is not None else world.links_of(it))


_SINCE_CLOVER: Final = frozenset({"billing_mode", "billing_schedules"})


def _without(it: Object, *names: str) -> dict[str, Any]:
    return {name: value for name, value in it.items() if name not in names}


_PERIOD: Final = ("current_period_end", "current_period_start")


def _subscription(_: World, it: Object, __: Links) -> Object:
    items = it["items"]["data"]
    only = items[0] if len(items) == 1 else None
    return {
        **it,
        "discount": None,
        "plan": only and only["plan"],
        "quantity": only and only["quantity"],
    }


def _subscription_item(_: World, it: Object, __: Links) -> Object:
    return _without(it, *_PERIOD)


def _invoice(_: World, it: Object, links: Links) -> Object:
    details = it["parent"] and it["parent"]["subscription_details"]
    subscription = details and details["subscription"]
    return {
        **_without(it, "amount_overpaid", "confirmation_secret", "parent", "payments"),
        "application_fee_amount": None,
        "charge": links.get("charge"),
        "discount": None,
        "paid": it["status"] == "paid",
        "paid_out_of_band": bool(it.get("amount_paid_off_stripe")),
        "payment_intent": links.get("payment_intent"),
        "quote": None,
        "subscription": subscription,
        "subscription_details": {"metadata": details["metadata"] if details else None},
        "tax": None,
        "total_tax_amounts": [],
        "transfer_data": None,
    }


def _line(world: World, it: Object, _: Links) -> Object:
    by_kind = it["parent"] or {}
    of_item = by_kind.get("invoice_item_details") or {}
    of_subscription = by_kind.get("subscription_item_details") or {}
    details = of_subscription or of_item
    invoice_item = details.get("invoice_item")
    return {
        **_without(it, "parent", "pricing", "subtotal", "taxes"),
        **_priced(world, it),
        "amount_excluding_tax": it["amount"],
        "proration": details.get("proration", False),
        "proration_details": {"credited_items": None},
        "subscription": details.get("subscription"),
        "subscription_item": of_subscription.get("subscription_item"),
        "tax_amounts": [],
        "tax_rates": [],
        "type": "invoiceitem" if invoice_item else "subscription",
        **({"invoice_item": invoice_item} if invoice_item else {}),
    }


def _priced(world: World, it: Object) -> Object:
    pricing = it["pricing"]
    price = pricing and world.find("price", pricing["price_details"]["price"])
    return {
        "plan": shapes.plan_of(price) if price and price["recurring"] else None,
        "price": price,
    }


def _invoice_item(world: World, it: Object, _: Links) -> Object:
    details = (it["parent"] or {}).get("subscription_details") or {}
    price = _priced(world, it)
    return {
        **_without(it, "parent", "pricing", "proration_details", "quantity_decimal"),
        **price,
        "subscription": details.get("subscription"),
        "subscription_item": details.get("subscription_item"),
        "unit_amount": price["price"] and price["price"]["unit_amount"],
    }


def _linked(_: World, it: Object, links: Links) -> Object:
    return {**it, **links}


_ACACIA: Final[Mapping[str, Callable[[World, Object, Links], Object]]] = (
    MappingProxyType(
        {
            "charge": _linked,
            "invoice": _invoice,
            "invoiceitem": _invoice_item,
            "line_item": _line,
            "payment_intent": _linked,
            "subscription": _subscription,
            "subscription_item": _subscription_item,
        }
    )
)
