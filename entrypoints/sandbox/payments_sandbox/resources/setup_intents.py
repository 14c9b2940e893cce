"""`/v1/setup_intents`: a card is saved and authenticated before it is charged."""

from typing import Annotated, Final, Literal

import msgspec

from payments_sandbox import charging, shapes
from payments_sandbox.cards import Authentication, Decline
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    UNSET,
    Dated,
    Id,
    Metadata,
    Nested,
    Params,
    Text,
    Unset,
    given,
    merged,
)
from payments_sandbox.listing import equal, page
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import Object, World

_OPEN: Final = frozenset(
    {"requires_payment_method", "requires_confirmation", "requires_action"}
)
_FAILED: Final = Decline(
    "setup_intent_authentication_failure",
    None,
    "The latest attempt to set up the payment method has failed because "
    "authentication failed.",
)
Types = Annotated[tuple[Literal["card"], ...], msgspec.Meta(min_length=1)]


class Automatic(Nested, kw_only=True, frozen=True):
    enabled: bool
    allow_redirects: Literal["always", "never"] = "always"

    def shown(self) -> Object:
        return {"allow_redirects": self.allow_redirects, "enabled": self.enabled}


class Create(Params, kw_only=True, frozen=True):
    # In place of `payment_method_types`, which is refused since 2026-09-30.
    allowed_payment_method_types: Types | None = None
    automatic_payment_methods: Automatic | None = None
    confirm: bool = False
    customer: Id | None = None
    description: Text | None = None
    metadata: Metadata = UNSET
    payment_method: Id | None = None
    return_url: Text | None = None
    usage: Literal["off_session", "on_session"] = "off_session"


class Update(Params, kw_only=True, frozen=True):
    customer: Id | Unset = UNSET
    description: Text | Unset | None = UNSET
    metadata: Metadata = UNSET
    payment_method: Id | Unset = UNSET


class Confirm(Params, kw_only=True, frozen=True):
    payment_method: Id | None = None
    return_url: Text | None = None


class Cancel(Params, kw_only=True, frozen=True):
    cancellation_reason: (
        Literal["abandoned", "duplicate", "requested_by_customer"] | None
    ) = None


class List(Dated, kw_only=True, frozen=True):
    customer: Id | None = None
    payment_method: Id | None = None


def create(world: World, params: Create) -> Object:
    if params.customer:
        world.get("customer", params.customer, "customer")
    method = _method(world, params.payment_method, params.customer)
    if params.confirm and method is None:
        raise invalid(
            "You cannot confirm this SetupIntent because it's missing a payment "
            "method.",
            None,
            "setup_intent_unexpected_state",
        )
    intent = world.create(
        shapes.setup_intent(
            world,
            allowed_payment_method_types=(
                list(params.allowed_payment_method_types)
                if params.allowed_payment_method_types
                else None
            ),
            automatic_payment_methods=params.automatic_payment_methods
            and params.automatic_payment_methods.shown(),
            customer=params.customer,
            description=params.description,
            metadata=merged({}, params.metadata),
            payment_method=method and method["id"],
            status="requires_confirmation" if method else "requires_payment_method",
            usage=params.usage,
        ),
        "setup_intent.created",
    )
    return confirmed(world, intent, method) if params.confirm and method else intent


def _method(world: World, id_: str | None, customer_id: str | None) -> Object | None:
    if id_ is None:
        return None
    method = charging.method_named(world, id_)
    charging.require_usable(world, method, customer_id, "payment_method")
    return method


def confirmed(world: World, intent: Object, method: Object) -> Object:
    """Save the card, after the bank's authentication if it requires one.

    Raises:
        ApiError: the issuer declines.
    """
    card = world.cards[method["id"]]
    intent = world.change(intent, None, payment_method=method["id"])
    if card.keeping:
        _failed(world, intent, method, card.keeping)
        raise card.keeping.error(setup_intent=world.get("setup_intent", intent["id"]))
    if card.authentication is not Authentication.NEVER:
        return world.change(
            intent,
            "setup_intent.requires_action",
            status="requires_action",
            next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {}},
        )
    return _succeeded(world, intent, method)


def authenticate(world: World, intent: Object, *, succeed: bool) -> Object:
    """Make the holder pass or fail the bank's authentication."""
    method = world.get("payment_method", intent["payment_method"])
    intent = world.change(intent, None, next_action=None)
    if not succeed:
        return _failed(world, intent, method, _FAILED)
    world.authenticated.add(method["id"])
    return _succeeded(world, intent, method)


def _succeeded(world: World, intent: Object, method: Object) -> Object:
    if intent["customer"] and method["customer"] is None:
        method = world.change(
            method, "payment_method.attached", customer=intent["customer"]
        )
    intent = world.change(
        intent, "setup_intent.succeeded", status="succeeded", last_setup_error=None
    )
    for subscription in world.by("subscription", "customer", intent["customer"] or ""):
        if subscription["pending_setup_intent"] == intent["id"]:
            world.change(
                subscription,
                "customer.subscription.updated",
                pending_setup_intent=None,
                default_payment_method=method["id"],
            )
    return intent


def _failed(world: World, intent: Object, method: Object, why: Decline) -> Object:
    return world.change(
        intent,
        "setup_intent.setup_failed",
        status="requires_payment_method",
        payment_method=None,
        last_setup_error=why.error(payment_method=method).body()["error"],
    )


def update(world: World, params: Update, id_: str) -> Object:
    intent = _open(world, id_)
    customer = params.customer if isinstance(params.customer, str) else None
    if customer:
        world.get("customer", customer, "customer")
    wanted = params.payment_method
    method = _method(
        world,
        wanted if isinstance(wanted, str) else None,
        customer or intent["customer"],
    )
    changed = {"payment_method": method["id"]} if method else {}
    if method and intent["status"] == "requires_payment_method":
        changed["status"] = "requires_confirmation"
    return world.change(
        intent,
        None,
        metadata=merged(intent["metadata"], params.metadata),
        **given(customer=params.customer, description=params.description),
        **changed,
    )


def confirm(world: World, params: Confirm, id_: str) -> Object:
    intent = _open(world, id_)
    wanted = params.payment_method or intent["payment_method"]
    method = _method(world, wanted, intent["customer"])
    if method is None:
        raise invalid(
            "You cannot confirm this SetupIntent because it's missing a payment "
            "method.",
            None,
            "setup_intent_unexpected_state",
        )
    return confirmed(world, intent, method)


def cancel(world: World, params: Cancel, id_: str) -> Object:
    return world.change(
        _open(world, id_),
        "setup_intent.canceled",
        status="canceled",
        cancellation_reason=params.cancellation_reason,
        next_action=None,
    )


def _open(world: World, id_: str) -> Object:
    intent = world.get("setup_intent", id_)
    if intent["status"] not in _OPEN:
        raise invalid(
            f"This SetupIntent has a status of {intent['status']}, in which it cannot "
            "be changed.",
            None,
            "setup_intent_unexpected_state",
        )
    return intent


def list_(world: World, params: List) -> Object:
    return page(
        "/v1/setup_intents",
        world.all("setup_intent"),
        params,
        equal("customer", params.customer),
        equal("payment_method", params.payment_method),
    )


_ONE: Final = "/v1/setup_intents/{intent}"
_KIND: Final = "setup_intent"
ROUTES: Final = (
    Route("POST", "/v1/setup_intents", Create, create),
    Route("GET", "/v1/setup_intents", List, list_),
    Route("GET", _ONE, Params, retrieving("setup_intent"), _KIND),
    Route("POST", _ONE, Update, update, _KIND),
    Route("POST", f"{_ONE}/confirm", Confirm, confirm, _KIND),
    Route("POST", f"{_ONE}/cancel", Cancel, cancel, _KIND),
)
