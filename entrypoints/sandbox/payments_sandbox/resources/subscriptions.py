"""`/v1/subscriptions` and `/v1/subscription_items`."""

from typing import Final

from payments_sandbox import charging, proration, shapes
from payments_sandbox import subscriptions as life
from payments_sandbox.errors import ApiError, invalid
from payments_sandbox.forms import (
    Params,
    merged,
)
from payments_sandbox.listing import Test, equal, page
from payments_sandbox.periods import DAY, next_boundary
from payments_sandbox.resources.subscription_params import (
    TRIAL_DAYS_MAX,
    BillingMode,
    Cancel,
    Create,
    List,
    ListItems,
    Resume,
    resets,
)
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import Object, World

# Created


def create(world: World, params: Create) -> Object:
    customer = world.get("customer", params.customer, "customer")
    new = draft(world, customer, params)
    if params.payment_behavior == "error_if_incomplete":
        with world.atomic():
            return life.begin(world, new, customer, behavior=params.payment_behavior)
    new = life.begin(world, new, customer, behavior=params.payment_behavior)
    _require_card(world, new, params)
    return new


def _require_card(world: World, subscription: Object, params: Create) -> None:
    """Refuse to start with a charge if there is no card."""
    invoice = world.get("invoice", subscription["latest_invoice"])
    intent = world.intent_of(invoice)
    if params.payment_behavior == "default_incomplete" or intent is None:
        return
    never_tried = not intent["payment_method"] and not intent["last_payment_error"]
    if invoice["status"] == "open" and never_tried:
        raise invalid(
            "This customer has no attached payment source or default payment "
            "method. Please consider adding a default payment method.",
            None,
            "resource_missing",
        )


def draft(world: World, customer: Object, params: Create) -> Object:
    """Return the requested subscription, not stored yet.

    Raises:
        ApiError: a parameter is invalid.
    """
    if params.payment_behavior == "pending_if_incomplete":
        raise invalid(
            "`pending_if_incomplete` is for updates of a subscription.",
            "payment_behavior",
        )
    require_mode(params.billing_mode, "billing_mode")
    trial_end = _trial_end(world, params)
    id_ = world.new_id("sub")
    items = [
        shapes.subscription_item(
            world,
            id_,
            recurring_price(world, item.price, f"items[{number}][price]"),
            metadata=merged({}, item.metadata),
            quantity=item.quantity,
        )
        for number, item in enumerate(params.items)
    ]
    proration.require_one_kind(items, "items")
    price = items[0]["price"]
    _require_currency(customer, price, params.currency)
    end = trial_end or next_boundary(world.now, price["recurring"], world.now)
    if params.cancel_at is not None and params.cancel_at_period_end:
        raise invalid(
            "`cancel_at` and `cancel_at_period_end` cannot be given together.",
            "cancel_at",
        )
    if isinstance(params.cancel_at, int) and params.cancel_at <= world.now:
        raise invalid("`cancel_at` must be in the future.", "cancel_at")
    at_end = params.cancel_at_period_end or isinstance(params.cancel_at, str)
    cancel_at = end if at_end else params.cancel_at
    items = proration.with_period(items, world.now, end)
    method = params.default_payment_method
    if method:
        charging.own_method(world, method, customer, "default_payment_method")
    settings = (
        {"trial_settings": params.trial_settings.shown()}
        if params.trial_settings
        else {}
    )
    return shapes.subscription(
        world,
        id_,
        billing_cycle_anchor=trial_end or world.now,
        billing_mode=params.billing_mode.shown(),
        cancel_at=cancel_at,
        cancel_at_period_end=params.cancel_at_period_end,
        canceled_at=world.now if cancel_at else None,
        currency=price["currency"],
        customer=customer["id"],
        default_payment_method=method,
        description=params.description,
        items=shapes.items_of(id_, items),
        metadata=merged({}, params.metadata),
        payment_settings=params.payment_settings.shown(),
        status="incomplete",
        test_clock=customer["test_clock"],
        trial_end=trial_end,
        trial_start=world.now if trial_end else None,
        **settings,
    )


def require_mode(mode: BillingMode, param: str) -> None:
    """Refuse parameters that a mode does not have.

    Raises:
        ApiError: a classic mode with `flexible`.
    """
    if mode.type == "classic" and mode.flexible is not None:
        raise invalid(
            "`flexible` is for `billing_mode[type]=flexible` only.",
            f"{param}[flexible]",
        )


def _trial_end(world: World, params: Create) -> int | None:
    if params.trial_end is not None and params.trial_period_days is not None:
        raise invalid(
            "`trial_end` and `trial_period_days` cannot be given together.",
            "trial_period_days",
        )
    if params.trial_period_days is not None:
        return world.now + params.trial_period_days * DAY
    if params.trial_end in (None, "now"):
        return None
    return future_trial_end(world, params.trial_end)


def future_trial_end(world: World, wanted: object) -> int:
    """Return the end of a trial, which must be in the future.

    Raises:
        ApiError: the end is in the past, or too far away.
    """
    assert isinstance(wanted, int)  # noqa: S101  # the caller checked it
    if not world.now < wanted <= world.now + TRIAL_DAYS_MAX * DAY:
        raise invalid(
            "`trial_end` must be in the future, within two years.", "trial_end"
        )
    return wanted


def recurring_price(world: World, id_: str, param: str) -> Object:
    """Return a price that a subscription may have.

    Raises:
        ApiError: the price does not exist, is inactive, or is for one payment only.
    """
    price = world.get("price", id_, param)
    if not price["active"]:
        raise invalid("The price specified is inactive.", param)
    if price["recurring"] is None:
        raise invalid(
            "The price specified is set to `type=one_time` but this field only accepts "
            "prices with `type=recurring`.",
            param,
        )
    return price


def _require_currency(customer: Object, price: Object, wanted: str | None) -> None:
    if wanted is not None and wanted.lower() != price["currency"]:
        raise invalid("The price is in another currency.", "currency")
    if customer["currency"] not in (None, price["currency"]):
        raise invalid(
            f"You cannot combine currencies on a single customer. This customer has "
            f"had items in {customer['currency']}.",
            "items[0][price]",
        )


# Ended, resumed, read


def cancel(world: World, params: Cancel, id_: str) -> Object:
    subscription = world.get("subscription", id_)
    if subscription["status"] in life.ENDED:
        raise ApiError(
            404, f"No such subscription: '{id_}'", code="resource_missing", param="id"
        )
    details = {
        **subscription["cancellation_details"],
        **params.cancellation_details.shown(),
    }
    subscription = world.change(subscription, None, cancellation_details=details)
    prorates = params.prorate and subscription["status"] in ("active", "past_due")
    if prorates:
        for item in proration.unused(world, subscription):
            world.create(item, "invoiceitem.created")
    if params.invoice_now:
        life.bill_waiting(world, subscription)
    return life.end(world, world.get("subscription", id_), "cancellation_requested")


def resume(world: World, params: Resume, id_: str) -> Object:
    subscription = world.get("subscription", id_)
    if subscription["status"] != "paused":
        raise invalid("The subscription is not paused, so it cannot be resumed.")
    restart = resets(params.billing_cycle_anchor)
    return life.resume(world, subscription, restart=restart)


def list_(world: World, params: List) -> Object:
    if params.customer:
        found = world.by("subscription", "customer", params.customer)
    else:
        found = world.all("subscription")
    return page(
        "/v1/subscriptions",
        found,
        params,
        lambda it: _has_status(it, params.status),
        lambda it: (
            params.price is None
            or any(item["price"]["id"] == params.price for item in it["items"]["data"])
        ),
        equal("collection_method", params.collection_method),
        _by_clock(params),
    )


def _by_clock(params: List) -> Test:
    """Leave out subscriptions on a test clock unless it or the customer is named."""
    if params.customer and params.test_clock is None:
        return lambda _: True
    return lambda it: it["test_clock"] == params.test_clock


def _has_status(subscription: Object, wanted: str | None) -> bool:
    status = subscription["status"]
    match wanted:
        case "all":
            return True
        case "ended":
            return status in life.ENDED
        # By default all that are not canceled.
        case None:
            return bool(status != "canceled")
        case _:
            return bool(status == wanted)


def list_items(world: World, params: ListItems) -> Object:
    subscription = world.get("subscription", params.subscription, "subscription")
    return page("/v1/subscription_items", subscription["items"]["data"][::-1], params)


def retrieve_item(world: World, _: Params, id_: str) -> Object:
    for subscription in world.all("subscription"):
        for item in subscription["items"]["data"]:
            if item["id"] == id_:
                found: Object = item
                return found
    return world.get("subscription_item", id_)


_ONE: Final = "/v1/subscriptions/{subscription}"
_KIND: Final = "subscription"
ROUTES: Final = (
    Route("POST", "/v1/subscriptions", Create, create),
    Route("GET", "/v1/subscriptions", List, list_),
    Route("GET", _ONE, Params, retrieving("subscription"), _KIND),
    Route("DELETE", _ONE, Cancel, cancel, _KIND),
    Route("POST", f"{_ONE}/resume", Resume, resume, _KIND),
    Route("GET", "/v1/subscription_items", ListItems, list_items),
    Route("GET", "/v1/subscription_items/{item}", Params, retrieve_item),
)
