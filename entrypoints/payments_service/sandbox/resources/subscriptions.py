"""`/v1/subscriptions` and `/v1/subscription_items`."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from payments_service.sandbox import charging, proration, shapes
from payments_service.sandbox import subscriptions as life
from payments_service.sandbox.errors import ApiError, invalid
from payments_service.sandbox.forms import (
    UNSET,
    Dated,
    Id,
    Listing,
    Metadata,
    Nested,
    Params,
    Quantity,
    Seconds,
    Text,
    Unset,
    given,
    merged,
)
from payments_service.sandbox.listing import equal, page
from payments_service.sandbox.periods import DAY, next_boundary
from payments_service.sandbox.proration import Change, period_of
from payments_service.sandbox.routing import Route
from payments_service.sandbox.world import Object, World

Behavior = Literal[
    "allow_incomplete",
    "default_incomplete",
    "error_if_incomplete",
    "pending_if_incomplete",
]
Prorations = Literal["always_invoice", "create_prorations", "none"]
Anchor = Literal["now", "unchanged"]
# Stripe's own limit is two years.
TRIAL_DAYS_MAX: Final = 730
# What may be changed together with `pending_if_incomplete`
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


class AnchorChange(Nested, kw_only=True, frozen=True):
    type: Anchor


# The newest version says it as a hash, older ones say the word alone.
Anchored = AnchorChange | Anchor


def resets(anchor: Anchored) -> bool:
    return (anchor.type if isinstance(anchor, AnchorChange) else anchor) == "now"


class EndBehavior(Nested, kw_only=True, frozen=True):
    missing_payment_method: Literal["cancel", "create_invoice", "pause"]


class TrialSettings(Nested, kw_only=True, frozen=True):
    end_behavior: EndBehavior

    def shown(self) -> Object:
        missing = self.end_behavior.missing_payment_method
        return {"end_behavior": {"missing_payment_method": missing}}


class PaymentSettings(Nested, kw_only=True, frozen=True):
    payment_method_types: tuple[Literal["card"], ...] | None = None
    save_default_payment_method: Literal["off", "on_subscription"] = "off"

    def shown(self) -> Object:
        types = self.payment_method_types
        return {
            "payment_method_options": None,
            "payment_method_types": list(types) if types else None,
            "save_default_payment_method": self.save_default_payment_method,
        }


class CancellationDetails(Nested, kw_only=True, frozen=True):
    comment: Text | Unset | None = UNSET
    feedback: (
        Literal[
            "customer_service",
            "low_quality",
            "missing_features",
            "other",
            "switched_service",
            "too_complex",
            "too_expensive",
            "unused",
        ]
        | Unset
        | None
    ) = UNSET

    def shown(self) -> dict[str, Any]:
        return given(comment=self.comment, feedback=self.feedback)


class NewItem(Nested, kw_only=True, frozen=True):
    price: Id
    quantity: Quantity = 1
    metadata: Metadata = UNSET


class Item(Nested, kw_only=True, frozen=True):
    """A change of an item: of the one with this id, else a new one."""

    id: Id | None = None
    deleted: bool = False
    metadata: Metadata = UNSET
    price: Id | None = None
    quantity: Quantity | None = None


class Create(Params, kw_only=True, frozen=True):
    customer: Id
    items: Annotated[tuple[NewItem, ...], msgspec.Meta(min_length=1)]
    cancel_at: Seconds | None = None
    cancel_at_period_end: bool = False
    collection_method: Literal["charge_automatically"] = "charge_automatically"
    currency: str | None = None
    default_payment_method: Id | None = None
    description: Text | None = None
    metadata: Metadata = UNSET
    off_session: bool = False
    payment_behavior: Behavior = "allow_incomplete"
    payment_settings: PaymentSettings = PaymentSettings()
    proration_behavior: Prorations = "create_prorations"
    trial_end: Seconds | Literal["now"] | None = None
    trial_period_days: Annotated[int, msgspec.Meta(ge=1, le=TRIAL_DAYS_MAX)] | None = (
        None
    )
    trial_settings: TrialSettings | None = None


class Update(Params, kw_only=True, frozen=True):
    billing_cycle_anchor: Anchored = "unchanged"
    cancel_at: Seconds | Unset | None = UNSET
    cancel_at_period_end: bool | Unset = UNSET
    cancellation_details: CancellationDetails = CancellationDetails()
    collection_method: Literal["charge_automatically"] = "charge_automatically"
    default_payment_method: Id | Unset | None = UNSET
    description: Text | Unset | None = UNSET
    items: tuple[Item, ...] = ()
    metadata: Metadata = UNSET
    off_session: bool = False
    payment_behavior: Behavior = "allow_incomplete"
    payment_settings: PaymentSettings | Unset = UNSET
    proration_behavior: Prorations = "create_prorations"
    proration_date: Seconds | None = None
    trial_end: Seconds | Literal["now"] | None = None
    trial_settings: TrialSettings | Unset = UNSET


class Cancel(Params, kw_only=True, frozen=True):
    cancellation_details: CancellationDetails = CancellationDetails()
    invoice_now: bool = False
    prorate: bool = False


class Resume(Params, kw_only=True, frozen=True):
    billing_cycle_anchor: Anchored = "now"
    proration_behavior: Prorations = "create_prorations"
    proration_date: Seconds | None = None


class List(Dated, kw_only=True, frozen=True):
    collection_method: Literal["charge_automatically", "send_invoice"] | None = None
    customer: Id | None = None
    price: Id | None = None
    status: (
        Literal[
            "active",
            "all",
            "canceled",
            "ended",
            "incomplete",
            "incomplete_expired",
            "past_due",
            "paused",
            "trialing",
            "unpaid",
        ]
        | None
    ) = None
    test_clock: Id | None = None


class ListItems(Listing, kw_only=True, frozen=True):
    subscription: Id


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
    """Refuse to begin by charging where there is nothing to charge."""
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
    """Return what a create asks for, as a subscription that is not stored yet.

    Raises:
        ApiError: a parameter cannot be.
    """
    if params.payment_behavior == "pending_if_incomplete":
        raise invalid(
            "`pending_if_incomplete` is for updates of a subscription.",
            "payment_behavior",
        )
    trial_end = _trial_end(world, params)
    id_ = world.new_id("sub")
    items = [
        shapes.subscription_item(
            world,
            id_,
            _recurring_price(world, item.price, f"items[{number}][price]"),
            metadata=merged({}, item.metadata),
            quantity=item.quantity,
        )
        for number, item in enumerate(params.items)
    ]
    proration.require_one_kind(items, "items")
    price = items[0]["price"]
    _require_currency(customer, price, params.currency)
    end = trial_end or next_boundary(world.now, price["recurring"], world.now)
    if params.cancel_at is not None and params.cancel_at <= world.now:
        raise invalid("`cancel_at` must be in the future.", "cancel_at")
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
        cancel_at=end if params.cancel_at_period_end else params.cancel_at,
        cancel_at_period_end=params.cancel_at_period_end,
        canceled_at=world.now
        if params.cancel_at_period_end or params.cancel_at
        else None,
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
    return _future_trial_end(world, params.trial_end)


def _future_trial_end(world: World, wanted: object) -> int:
    assert isinstance(wanted, int)  # noqa: S101  # the caller has looked
    if not world.now < wanted <= world.now + TRIAL_DAYS_MAX * DAY:
        raise invalid(
            "`trial_end` must be in the future, within two years.", "trial_end"
        )
    return wanted


def _recurring_price(world: World, id_: str, param: str) -> Object:
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


# Updated


def update(world: World, params: Update, id_: str) -> Object:
    subscription = world.get("subscription", id_)
    _require_changeable(subscription, params)
    fields = _fields(world, subscription, params)
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
    """Return what the update changes of items and periods; None if nothing.

    Raises:
        ApiError: it cannot be.
    """
    restart = resets(params.billing_cycle_anchor) or params.trial_end == "now"
    trial = (
        _future_trial_end(world, params.trial_end)
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
    """Return the items after these changes; periods are not looked at.

    Raises:
        ApiError: no such item or price.
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
        _recurring_price(world, wanted.price, f"{where}[price]"),
        metadata=merged({}, wanted.metadata),
        quantity=1 if wanted.quantity is None else wanted.quantity,
    )


def _changed(world: World, item: Object, wanted: Item, where: str) -> Object:
    price = item["price"]
    if wanted.price is not None:
        price = _recurring_price(world, wanted.price, f"{where}[price]")
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
            payment_settings=settings.shown()
            if isinstance(settings, PaymentSettings)
            else UNSET,
            trial_settings=trial.shown() if isinstance(trial, TrialSettings) else UNSET,
        ),
        **_planned_end(world, subscription, params),
    }


def _planned_end(world: World, subscription: Object, params: Update) -> dict[str, Any]:
    at, at_period_end = params.cancel_at, params.cancel_at_period_end
    if isinstance(at, int) and at_period_end is True:
        raise invalid(
            "`cancel_at` and `cancel_at_period_end` cannot be given together.",
            "cancel_at",
        )
    if isinstance(at, int) and at <= world.now:
        raise invalid("`cancel_at` must be in the future.", "cancel_at")
    if at is UNSET and at_period_end is UNSET:
        return {}
    if at_period_end is True:
        ends: int | None = period_of(subscription)[1]
    elif isinstance(at, int):
        ends = at
    else:
        ends = None
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


def _with_end(world: World, subscription: Object, fields: dict[str, Any]) -> Object:
    subscription = world.change(subscription, life.UPDATED, **fields)
    if fields.get("cancel_at") and not subscription["cancel_at_period_end"]:
        world.later(subscription["cancel_at"], "cancel", subscription["id"])
    return subscription


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


def retrieve(world: World, _: Params, id_: str) -> Object:
    return world.get("subscription", id_)


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
        equal("test_clock", params.test_clock),
    )


def _has_status(subscription: Object, wanted: str | None) -> bool:
    status = subscription["status"]
    match wanted:
        case "all":
            return True
        case "ended":
            return status in life.ENDED
        # Who asks for none gets what has not been canceled.
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
    Route("GET", _ONE, Params, retrieve, _KIND),
    Route("POST", _ONE, Update, update, _KIND),
    Route("DELETE", _ONE, Cancel, cancel, _KIND),
    Route("POST", f"{_ONE}/resume", Resume, resume, _KIND),
    Route("GET", "/v1/subscription_items", ListItems, list_items),
    Route("GET", "/v1/subscription_items/{item}", Params, retrieve_item),
)
