"""`/v1/payment_methods`: cards, by magic name or token; never by number."""

from typing import Annotated, Final, Literal

import msgspec

from payments_sandbox import charging, shapes
from payments_sandbox.cards import MAGIC, of_token
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    UNSET,
    Id,
    Listing,
    Metadata,
    Nested,
    Params,
    Text,
    Unset,
    given,
    merged,
)
from payments_sandbox.listing import equal, page
from payments_sandbox.resources.customers import Address, attach
from payments_sandbox.routing import Route
from payments_sandbox.state import Object, World


class Token(Nested, kw_only=True, frozen=True):
    token: Id


class Expiry(Nested, kw_only=True, frozen=True):
    exp_month: Annotated[int, msgspec.Meta(ge=1, le=12)] | Unset = UNSET
    exp_year: Annotated[int, msgspec.Meta(ge=2000, le=2100)] | Unset = UNSET


class BillingDetails(Nested, kw_only=True, frozen=True):
    address: Address | Unset | None = UNSET
    email: Text | Unset | None = UNSET
    name: Text | Unset | None = UNSET
    phone: Text | Unset | None = UNSET

    def shown(self) -> dict[str, object]:
        address = self.address
        return given(
            address=address.shown() if isinstance(address, Address) else address,
            email=self.email,
            name=self.name,
            phone=self.phone,
        )


class Create(Params, kw_only=True, frozen=True):
    type: Literal["card"]
    card: Token
    billing_details: BillingDetails = BillingDetails()
    metadata: Metadata = UNSET


class Update(Params, kw_only=True, frozen=True):
    billing_details: BillingDetails = BillingDetails()
    card: Expiry = Expiry()
    metadata: Metadata = UNSET


class Attach(Params, kw_only=True, frozen=True):
    customer: Id


class List(Listing, kw_only=True, frozen=True):
    customer: Id | None = None
    type: str | None = None


def create(world: World, params: Create) -> Object:
    card = MAGIC.get(of_token(params.card.token))
    if card is None:
        raise invalid(
            f"No such token: '{params.card.token}'", "card[token]", "resource_missing"
        )
    return charging.keep_card(
        world,
        card,
        billing_details=shapes.billing_details(params.billing_details.shown()),
        metadata=merged({}, params.metadata),
    )


def retrieve(world: World, _: Params, id_: str) -> Object:
    if id_ in MAGIC:
        return charging.method_named(world, id_)
    return world.get("payment_method", id_)


def update(world: World, params: Update, id_: str) -> Object:
    method = world.get("payment_method", id_)
    if method["customer"] is None:
        raise invalid(
            "You must save this PaymentMethod to a customer before you can update it.",
            None,
            "payment_method_unexpected_state",
        )
    expiry = given(exp_month=params.card.exp_month, exp_year=params.card.exp_year)
    return world.change(
        method,
        "payment_method.updated",
        billing_details={**method["billing_details"], **params.billing_details.shown()},
        card={**method["card"], **expiry},
        metadata=merged(method["metadata"], params.metadata),
    )


def attach_(world: World, params: Attach, id_: str) -> Object:
    customer = world.get("customer", params.customer, "customer")
    if id_ not in MAGIC:
        world.get("payment_method", id_)
    return attach(world, charging.method_named(world, id_), customer)


def detach(world: World, _: Params, id_: str) -> Object:
    method = world.get("payment_method", id_)
    owner = method["customer"] and world.find("customer", method["customer"])
    if not owner:
        raise invalid(
            "The payment method you provided is not attached to a customer so "
            "detachment is impossible.",
            "payment_method",
            "payment_method_unexpected_state",
        )
    settings = owner["invoice_settings"]
    chosen = settings["default_payment_method"]
    world.change(
        owner,
        "customer.updated",
        invoice_settings={
            **settings,
            "default_payment_method": _unless(id_, chosen),
        },
        default_source=_unless(id_, owner["default_source"]),
    )
    for subscription in world.by("subscription", "customer", owner["id"]):
        world.change(
            subscription,
            "customer.subscription.updated",
            default_payment_method=_unless(id_, subscription["default_payment_method"]),
            default_source=_unless(id_, subscription["default_source"]),
        )
    return charging.detach(world, method)


def _unless(detached: str, pays: str | None) -> str | None:
    """Return the card that pays, unless it is the detached one."""
    return None if pays == detached else pays


def list_(world: World, params: List) -> Object:
    if params.customer:
        world.get("customer", params.customer, "customer")
        found = world.by("payment_method", "customer", params.customer)
    else:
        found = world.all("payment_method")
    return page("/v1/payment_methods", found, params, equal("type", params.type))


_ONE: Final = "/v1/payment_methods/{payment_method}"
_KIND: Final = "payment_method"
ROUTES: Final = (
    Route("POST", "/v1/payment_methods", Create, create),
    Route("GET", "/v1/payment_methods", List, list_),
    Route("GET", _ONE, Params, retrieve, _KIND),
    Route("POST", _ONE, Update, update, _KIND),
    Route("POST", f"{_ONE}/attach", Attach, attach_, _KIND),
    Route("POST", f"{_ONE}/detach", Params, detach, _KIND),
)
