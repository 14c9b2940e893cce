"""`/v1/invoices/create_preview`: the next invoice, or the one after a change."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from payments_sandbox import invoicing, line_items
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    Id,
    Nested,
    Params,
    Seconds,
)
from payments_sandbox.periods import next_boundary
from payments_sandbox.proration import period_of
from payments_sandbox.resources import subscription_params as resource
from payments_sandbox.resources.subscription_updates import planned
from payments_sandbox.resources.subscriptions import draft as drafted
from payments_sandbox.resources.subscriptions import require_mode
from payments_sandbox.routing import Route
from payments_sandbox.state import Object, World
from payments_sandbox.subscriptions import (
    ENDED,
)


class Details(Nested, kw_only=True, frozen=True):
    """The subscription to preview: created, or changed."""

    billing_cycle_anchor: resource.Anchored = "unchanged"
    billing_mode: resource.BillingMode | None = None
    cancel_at_period_end: bool | None = None
    items: tuple[resource.Item, ...] = ()
    proration_behavior: resource.Prorations = "create_prorations"
    proration_date: Seconds | None = None
    trial_end: Seconds | Literal["now"] | None = None


class Preview(Params, kw_only=True, frozen=True):
    customer: Id | None = None
    subscription: Id | None = None
    subscription_details: Details | None = None
    preview_mode: Literal["next"] = "next"


def preview(world: World, params: Preview) -> Object:
    """Return the invoice of a creation, a change or the next renewal."""
    invoice = _previewed(world, params)
    return {**invoice, "id": f"upcoming_{invoice['id']}", "auto_advance": False}


def _previewed(world: World, params: Preview) -> Object:
    mode = params.subscription_details and params.subscription_details.billing_mode
    if mode:
        require_mode(mode, "subscription_details[billing_mode]")
    if params.subscription is None:
        return _of_new(world, params)
    subscription = world.get("subscription", params.subscription, "subscription")
    if params.customer not in (None, subscription["customer"]):
        raise invalid("The subscription is another customer's.", "customer")
    if subscription["status"] in ENDED:
        raise invalid("The subscription has ended.", "subscription")
    details = params.subscription_details or Details()
    wanted = resource.Update(
        billing_cycle_anchor=details.billing_cycle_anchor,
        items=details.items,
        proration_behavior=details.proration_behavior,
        proration_date=details.proration_date,
        trial_end=details.trial_end,
    )
    change = planned(world, subscription, wanted)
    if change is None:
        return _next(world, subscription, subscription["items"]["data"], [])
    prorations = [line_items.line_of(world, item) for item in change.prorations]
    bills_now = change.restarts or details.proration_behavior == "always_invoice"
    if bills_now and (change.lines or change.prorations):
        waiting = _waiting(world, subscription)
        return _invoice(
            world,
            subscription,
            [*waiting, *prorations, *change.lines],
            "subscription_update",
        )
    return _next(world, subscription, change.items, prorations)


def _of_new(world: World, params: Preview) -> Object:
    details = params.subscription_details
    if params.customer is None or details is None or not details.items:
        raise invalid(
            "A preview takes a `subscription`, or a `customer` and "
            "`subscription_details[items]`.",
            "subscription",
            "parameter_missing",
        )
    customer = world.get("customer", params.customer, "customer")
    items = [
        {
            "price": _price_of(item, f"subscription_details[items][{number}][price]"),
            "quantity": 1 if item.quantity is None else item.quantity,
        }
        for number, item in enumerate(details.items)
    ]
    wanted: dict[str, Any] = {"customer": customer["id"], "items": items}
    if details.trial_end is not None:
        wanted["trial_end"] = details.trial_end
    create = msgspec.convert(wanted, resource.Create)
    new = drafted(world, customer, create)
    free = new["trial_end"] is not None
    return _invoice(
        world,
        new,
        [
            *(
                line_items.period_line(world, item, *period_of(new), free=free)
                for item in new["items"]["data"]
            ),
            *_waiting(world, new),
        ],
        "subscription_create",
    )


def _price_of(item: resource.Item, param: str) -> str:
    if item.price is None:
        raise invalid(f"Missing required param: {param}.", param, "parameter_missing")
    return item.price


def _next(
    world: World,
    subscription: Object,
    items: Sequence[Object],
    prorations: Sequence[Object],
) -> Object:
    """Return the renewal at the end of the current period."""
    _, start = period_of(subscription)
    until = next_boundary(
        subscription["billing_cycle_anchor"], items[0]["price"]["recurring"], start
    )
    ends = subscription["cancel_at"]
    renewed = () if ends and ends <= start else items
    whole = [line_items.period_line(world, item, start, until) for item in renewed]
    return _invoice(
        world,
        subscription,
        [*_waiting(world, subscription), *prorations, *whole],
        "upcoming",
    )


def _waiting(world: World, subscription: Object) -> list[Object]:
    waiting = line_items.waiting_items(
        world, subscription["customer"], subscription["currency"], subscription["id"]
    )
    return [line_items.line_of(world, item) for item in waiting]


def _invoice(
    world: World, subscription: Object, lines: list[Object], reason: str
) -> Object:
    return invoicing.draft(
        world,
        world.get("customer", subscription["customer"]),
        lines,
        reason=reason,
        currency=subscription["currency"],
        subscription=subscription,
        period=period_of(subscription),
    )


ROUTES: Final = (Route("POST", "/v1/invoices/create_preview", Preview, preview),)
