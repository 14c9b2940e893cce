"""`/v1/payment_intents`: one payment, separate or for an invoice."""

from typing import Annotated, Final, Literal

import msgspec

from payments_sandbox import charging, shapes
from payments_sandbox.currencies import require_chargeable
from payments_sandbox.errors import ApiError, invalid
from payments_sandbox.forms import (
    AMOUNT_MAX,
    UNSET,
    Currency,
    Dated,
    Id,
    Metadata,
    Params,
    Text,
    Unset,
    given,
    merged,
)
from payments_sandbox.listing import equal, page
from payments_sandbox.resources.setup_intents import Automatic, Types
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import Object, World
from payments_sandbox.subscriptions import follow

Taken = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]


class Create(Params, kw_only=True, frozen=True):
    amount: Taken
    currency: Currency
    automatic_payment_methods: Automatic | None = None
    confirm: bool = False
    customer: Id | None = None
    description: Text | None = None
    metadata: Metadata = UNSET
    off_session: bool = False
    payment_method: Id | None = None
    payment_method_types: Types = ("card",)
    receipt_email: Text | None = None
    return_url: Text | None = None
    setup_future_usage: Literal["off_session", "on_session"] | None = None


class Update(Params, kw_only=True, frozen=True):
    amount: Taken | Unset = UNSET
    description: Text | Unset | None = UNSET
    metadata: Metadata = UNSET
    payment_method: Id | Unset = UNSET
    receipt_email: Text | Unset | None = UNSET


class Confirm(Params, kw_only=True, frozen=True):
    off_session: bool = False
    payment_method: Id | None = None
    return_url: Text | None = None


class Cancel(Params, kw_only=True, frozen=True):
    cancellation_reason: (
        Literal["abandoned", "duplicate", "fraudulent", "requested_by_customer"] | None
    ) = None


class List(Dated, kw_only=True, frozen=True):
    customer: Id | None = None


def create(world: World, params: Create) -> Object:
    if params.customer:
        world.get("customer", params.customer, "customer")
    method = _method(world, params.payment_method, params.customer)
    if params.off_session and not params.confirm:
        raise invalid(
            "`off_session` can be given together with `confirm=true` only.",
            "off_session",
        )
    if params.confirm and method is None:
        raise _without_method()
    require_chargeable(params.amount, params.currency.lower())
    intent = world.create(
        shapes.payment_intent(
            world,
            amount=params.amount,
            automatic_payment_methods=params.automatic_payment_methods
            and params.automatic_payment_methods.shown(),
            currency=params.currency.lower(),
            customer=params.customer,
            description=params.description,
            metadata=merged({}, params.metadata),
            payment_method=method and method["id"],
            receipt_email=params.receipt_email,
            setup_future_usage=params.setup_future_usage,
            status="requires_confirmation" if method else "requires_payment_method",
        ),
        "payment_intent.created",
    )
    if params.confirm and method:
        return _confirmed(world, intent, method, off_session=params.off_session)
    return intent


def _method(world: World, id_: str | None, customer_id: str | None) -> Object | None:
    if id_ is None:
        return None
    method = charging.method_named(world, id_)
    charging.require_usable(world, method, customer_id, "payment_method")
    return method


def _without_method() -> ApiError:
    return invalid(
        "You cannot confirm this PaymentIntent because it's missing a payment method.",
        None,
        "payment_intent_unexpected_state",
    )


def _confirmed(
    world: World, intent: Object, method: Object, *, off_session: bool
) -> Object:
    intent = charging.confirm(world, intent, method, off_session=off_session)
    follow(world, intent)
    if intent["status"] == "requires_payment_method":
        raise charging.refusal_of(intent)
    return world.get("payment_intent", intent["id"])


def update(world: World, params: Update, id_: str) -> Object:
    intent = _open(world, id_)
    if world.invoice_of(intent) and params.amount is not UNSET:
        raise invalid("The amount is the invoice's.", "amount")
    if isinstance(params.amount, int):
        require_chargeable(params.amount, intent["currency"])
    wanted = params.payment_method
    method = _method(
        world, wanted if isinstance(wanted, str) else None, intent["customer"]
    )
    changed = {"payment_method": method["id"]} if method else {}
    if method and intent["status"] == "requires_payment_method":
        changed["status"] = "requires_confirmation"
    return world.change(
        intent,
        None,
        metadata=merged(intent["metadata"], params.metadata),
        **given(
            amount=params.amount,
            description=params.description,
            receipt_email=params.receipt_email,
        ),
        **changed,
    )


def confirm(world: World, params: Confirm, id_: str) -> Object:
    intent = _open(world, id_)
    wanted = params.payment_method or intent["payment_method"]
    method = _method(world, wanted, intent["customer"])
    if method is None:
        raise _without_method()
    return _confirmed(world, intent, method, off_session=params.off_session)


def cancel(world: World, params: Cancel, id_: str) -> Object:
    intent = _open(world, id_)
    if world.invoice_of(intent):
        raise invalid(
            "This PaymentIntent is of an invoice: void the invoice instead.",
            None,
            "payment_intent_unexpected_state",
        )
    return charging.cancel(world, intent, params.cancellation_reason)


def _open(world: World, id_: str) -> Object:
    intent = world.get("payment_intent", id_)
    if intent["status"] not in charging.CONFIRMABLE:
        raise invalid(
            f"This PaymentIntent has a status of {intent['status']}, in which this "
            "cannot be done.",
            None,
            "payment_intent_unexpected_state",
        )
    return intent


def list_(world: World, params: List) -> Object:
    return page(
        "/v1/payment_intents",
        world.all("payment_intent"),
        params,
        equal("customer", params.customer),
    )


_ONE: Final = "/v1/payment_intents/{intent}"
_KIND: Final = "payment_intent"
ROUTES: Final = (
    Route("POST", "/v1/payment_intents", Create, create),
    Route("GET", "/v1/payment_intents", List, list_),
    Route("GET", _ONE, Params, retrieving("payment_intent"), _KIND),
    Route("POST", _ONE, Update, update, _KIND),
    Route("POST", f"{_ONE}/confirm", Confirm, confirm, _KIND),
    Route("POST", f"{_ONE}/cancel", Cancel, cancel, _KIND),
)
