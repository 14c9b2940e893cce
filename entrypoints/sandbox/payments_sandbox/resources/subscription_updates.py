"""`POST /v1/subscriptions/{id}`: changes of items, periods, cards, or a planned end."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from payments_sandbox import charging, proration, shapes
from payments_sandbox import subscriptions as life
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    UNSET,
    given,
    merged,
)
from payments_sandbox.proration import Change, period_of
from payments_sandbox.resources.subscription_params import (
    Item,
    PauseCollection,
    PaymentSettings,
    TrialSettings,
    Update,
    resets,
)
from payments_sandbox.resources.subscriptions import (
    future_trial_end,
    recurring_price,
)
from payments_sandbox.routing import Route
from payments_sandbox.state import Object, World

# Parameters that may be changed with `pending_if_incomplete`
# (docs.stripe.com/billing/subscriptions/pending-updates-reference).
_HOLDABLE: Final = frozenset(
    {
        "billing_cycle_anchor",
        "expand",
        "items",
        "off_session",
        "payment_behavior",
        "proration_behavior",
        "proration_date",
        "trial_end",
    }
)


# Updated


def update(world: World, params: Update, id_: str) -> Object:
    subscription = world.get("subscription", id_)
    _require_changeable(subscription, params)
    fields = _fields(world, subscription, params)
    _plan_resumption(world, subscription, params)
    change = planned(world, subscription, params)
    if change is None:
        return _with_end(world, subscription, fields)
    if params.payment_behavior == "pending_if_incomplete":
        _require_holdable(params)
    if change.restarts or params.proration_behavior == "always_invoice":
        if not change.lines and not change.prorations:
            return life.apply(world, subscription, change, fields)
        return _billed(world, subscription, change, fields, params)
    for item in change.prorations:
        world.create(item, "invoiceitem.created")
    return life.apply(world, subscription, change, fields)


def _billed(
    world: World,
    subscription: Object,
    change: Change,
    fields: dict[str, Any],
    params: Update,
) -> Object:
    behavior = params.payment_behavior
    if behavior == "error_if_incomplete":
        with world.atomic():
            return life.change_billed(world, subscription, change, fields, behavior)
    return life.change_billed(world, subscription, change, fields, behavior)


def planned(world: World, subscription: Object, params: Update) -> Change | None:
    """Return the changes to items and periods; None if there are none.

    Raises:
        ApiError: the change is not possible.
    """
    restart = resets(params.billing_cycle_anchor) or params.trial_end == "now"
    trial = (
        future_trial_end(world, params.trial_end)
        if isinstance(params.trial_end, int)
        else None
    )
    if not params.items and not restart and trial is None:
        return None
    if subscription["status"] in ("incomplete", "paused"):
        raise invalid(
            f"The items and periods of a subscription that is "
            f"{subscription['status']} cannot be changed.",
            "items",
        )
    items = changed_items(world, subscription, params.items)
    proration.require_one_kind(items, "items")
    _require_same_currency(subscription, items)
    ends_trial = params.trial_end == "now" and subscription["status"] != "trialing"
    return proration.plan(
        world,
        subscription,
        items,
        at=_proration_date(world, subscription, params.proration_date),
        prorate=params.proration_behavior != "none",
        restart=restart and not ends_trial,
        trial_end=trial,
    )


def _require_same_currency(subscription: Object, items: Sequence[Object]) -> None:
    if items[0]["price"]["currency"] != subscription["currency"]:
        raise invalid(
            f"The price is not in {subscription['currency']}, the subscription's "
            "currency.",
            "items[0][price]",
        )


def _proration_date(world: World, subscription: Object, wanted: int | None) -> int:
    start, end = period_of(subscription)
    if wanted is None:
        return min(world.now, end)
    if not start <= wanted <= end:
        raise invalid(
            "Invalid `proration_date`: it must be within the current period.",
            "proration_date",
        )
    return wanted


def changed_items(
    world: World, subscription: Object, changes: Sequence[Item]
) -> list[Object]:
    """Return the items after these changes; periods are not considered.

    Raises:
        ApiError: an item or a price does not exist.
    """
    items = {item["id"]: item for item in subscription["items"]["data"]}
    for number, wanted in enumerate(changes):
        where = f"items[{number}]"
        if wanted.id is None:
            new = _added(world, subscription, wanted, where)
            items[new["id"]] = new
        elif wanted.id not in items:
            raise invalid(
                f"No such subscription_item: '{wanted.id}'",
                f"{where}[id]",
                "resource_missing",
            )
        elif wanted.deleted:
            del items[wanted.id]
        else:
            items[wanted.id] = _changed(world, items[wanted.id], wanted, where)
    return list(items.values())


def _added(world: World, subscription: Object, wanted: Item, where: str) -> Object:
    if wanted.price is None:
        raise invalid(
            f"Missing required param: {where}[price].",
            f"{where}[price]",
            "parameter_missing",
        )
    return shapes.subscription_item(
        world,
        subscription["id"],
        recurring_price(world, wanted.price, f"{where}[price]"),
        metadata=merged({}, wanted.metadata),
        quantity=1 if wanted.quantity is None else wanted.quantity,
    )


def _changed(world: World, item: Object, wanted: Item, where: str) -> Object:
    price = item["price"]
    if wanted.price is not None:
        price = recurring_price(world, wanted.price, f"{where}[price]")
    return {
        **item,
        "metadata": merged(item["metadata"], wanted.metadata),
        "plan": shapes.plan_of(price),
        "price": price,
        "quantity": item["quantity"] if wanted.quantity is None else wanted.quantity,
    }


def _require_changeable(subscription: Object, params: Update) -> None:
    if subscription["status"] in life.ENDED:
        kept = {"cancellation_details", "expand", "metadata"}
        if any(getattr(params, name) != default for name, default in _defaults(kept)):
            raise invalid(
                "A canceled subscription can only update its cancellation_details and "
                "metadata."
            )


def _defaults(but: frozenset[str] | set[str]) -> list[tuple[str, Any]]:
    return [
        (field.name, field.default)
        for field in msgspec.structs.fields(Update)
        if field.name not in but
    ]


def _require_holdable(params: Update) -> None:
    for name, default in _defaults(_HOLDABLE):
        if getattr(params, name) != default:
            raise invalid(
                f"`{name}` cannot be changed with "
                "`payment_behavior=pending_if_incomplete`.",
                name,
            )


def _fields(world: World, subscription: Object, params: Update) -> dict[str, Any]:
    """Return the plain fields that the update changes."""
    if isinstance(params.default_payment_method, str):
        charging.own_method(
            world,
            params.default_payment_method,
            world.get("customer", subscription["customer"]),
            "default_payment_method",
        )
    pause = params.pause_collection
    settings, trial = params.payment_settings, params.trial_settings
    return {
        "cancellation_details": {
            **subscription["cancellation_details"],
            **params.cancellation_details.shown(),
        },
        "metadata": merged(subscription["metadata"], params.metadata),
        **given(
            default_payment_method=params.default_payment_method,
            description=params.description,
            pause_collection=pause.shown()
            if isinstance(pause, PauseCollection)
            else pause,
            payment_settings=settings.shown()
            if isinstance(settings, PaymentSettings)
            else UNSET,
            trial_settings=trial.shown() if isinstance(trial, TrialSettings) else UNSET,
        ),
        **_planned_end(world, subscription, params),
    }


def _plan_resumption(world: World, subscription: Object, params: Update) -> None:
    """Schedule the end of paused collection, if the update sets one."""
    pause = params.pause_collection
    if not isinstance(pause, PauseCollection) or pause.resumes_at is None:
        return
    if pause.resumes_at <= world.now:
        raise invalid(
            "`resumes_at` must be in the future.", "pause_collection[resumes_at]"
        )
    world.later(pause.resumes_at, "collect_again", subscription["id"])


def _planned_end(world: World, subscription: Object, params: Update) -> dict[str, Any]:
    at, at_period_end = params.cancel_at, params.cancel_at_period_end
    if at and at_period_end is True:
        raise invalid(
            "`cancel_at` and `cancel_at_period_end` cannot be given together.",
            "cancel_at",
        )
    if at_period_end is True:
        ends: int | None = period_of(subscription)[1]
    elif isinstance(at, int):
        ends = at
    elif isinstance(at, str):
        ends = period_of(subscription)[1]
    elif _is_taken_back(subscription, params):
        ends = None
    else:
        return {}
    if ends is not None and ends <= world.now:
        # Also the end of a past period: an incomplete subscription has no next one.
        field = "cancel_at_period_end" if at_period_end is True else "cancel_at"
        raise invalid(f"`{field}` must be in the future.", field)
    asked = subscription["canceled_at"] or world.now
    reason = "cancellation_requested" if ends else None
    return {
        "cancel_at": ends,
        "cancel_at_period_end": at_period_end is True,
        "canceled_at": asked if ends else None,
        "cancellation_details": {
            **subscription["cancellation_details"],
            **params.cancellation_details.shown(),
            "reason": reason,
        },
    }


def _is_taken_back(subscription: Object, params: Update) -> bool:
    """Return whether the update unsets the parameter that planned the end.

    `cancel_at_period_end=false` leaves a `cancel_at` that was set by itself: the
    portal plans ends that way (docs.stripe.com/changelog/clover/2025-09-30).
    """
    if subscription["cancel_at_period_end"]:
        return params.cancel_at_period_end is False
    return params.cancel_at is None


def _with_end(world: World, subscription: Object, fields: dict[str, Any]) -> Object:
    subscription = world.change(subscription, life.UPDATED, **fields)
    if fields.get("cancel_at") and not subscription["cancel_at_period_end"]:
        world.later(subscription["cancel_at"], "cancel", subscription["id"])
    return subscription


ROUTES: Final = (
    Route("POST", "/v1/subscriptions/{subscription}", Update, update, "subscription"),
)
