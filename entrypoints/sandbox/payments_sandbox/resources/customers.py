"""`/v1/customers`."""

from typing import Annotated, Final

import msgspec

from payments_sandbox import charging, shapes, subscriptions
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    AMOUNT_MAX,
    UNSET,
    Dated,
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
from payments_sandbox.listing import Searching, equal, page, search
from payments_sandbox.routing import Route
from payments_sandbox.state import Object, World

EMAIL_LENGTH_MAX: Final = 512

Balance = Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]


class Address(Nested, kw_only=True, frozen=True):
    city: Text | None = None
    country: Text | None = None
    line1: Text | None = None
    line2: Text | None = None
    postal_code: Text | None = None
    state: Text | None = None

    def shown(self) -> Object:
        return {name: getattr(self, name) for name in shapes.NO_ADDRESS}


class InvoiceSettings(Nested, kw_only=True, frozen=True):
    default_payment_method: Id | Unset | None = UNSET


class Fields(Params, kw_only=True, frozen=True):
    address: Address | Unset | None = UNSET
    balance: Balance | Unset = UNSET
    description: Text | Unset | None = UNSET
    email: Text | Unset | None = UNSET
    invoice_settings: InvoiceSettings | Unset = UNSET
    metadata: Metadata = UNSET
    name: Text | Unset | None = UNSET
    phone: Text | Unset | None = UNSET


class Create(Fields, kw_only=True, frozen=True):
    payment_method: Id | None = None
    test_clock: Id | None = None


class List(Dated, kw_only=True, frozen=True):
    email: Text | None = None
    test_clock: Id | None = None


class ListMethods(Listing, kw_only=True, frozen=True):
    type: str | None = None


_SEARCHED: Final = frozenset({"created", "email", "metadata", "name", "phone"})


def create(world: World, params: Create) -> Object:
    if params.test_clock:
        world.get("test_helpers.test_clock", params.test_clock, "test_clock")
    # After a decline no customer is created.
    with world.atomic():
        return _created(world, params)


def _created(world: World, params: Create) -> Object:
    new = world.create(
        shapes.customer(
            world,
            test_clock=params.test_clock,
            metadata=merged({}, params.metadata),
            **_plain(params),
        ),
        "customer.created",
    )
    if params.payment_method:
        method = charging.method_named(world, params.payment_method)
        attach(world, method, new)
    settings = _settings(world, new, params)
    return world.change(new, "customer.updated", invoice_settings=settings)


def attach(
    world: World, method: Object, customer: Object, param: str | None = None
) -> Object:
    """Attach a payment method to a customer.

    Raises:
        ApiError: another customer has it, or the card's issuer declines.
    """
    if method["customer"] == customer["id"]:
        return method
    if method["customer"]:
        raise invalid(
            "The payment method you provided has already been attached to a customer.",
            param,
            "payment_method_unexpected_state",
        )
    charging.require_unspent(world, method, param)
    decline = world.cards[method["id"]].keeping
    if decline:
        raise decline.error()
    return world.change(method, "payment_method.attached", customer=customer["id"])


def _plain(params: Fields) -> dict[str, object]:
    if isinstance(params.email, str) and not _is_email(params.email):
        raise invalid(
            f"Invalid email address: {params.email[:100]}", "email", "email_invalid"
        )
    address = params.address
    return given(
        address=address.shown() if isinstance(address, Address) else address,
        balance=params.balance,
        description=params.description,
        email=params.email,
        name=params.name,
        phone=params.phone,
    )


def _is_email(text: str) -> bool:
    name, at, host = text.rpartition("@")
    return (
        bool(name and at and host) and " " not in text and len(text) <= EMAIL_LENGTH_MAX
    )


def _settings(world: World, customer: Object, params: Fields) -> Object:
    settings: Object = customer["invoice_settings"]
    wanted = params.invoice_settings
    if (
        not isinstance(wanted, InvoiceSettings)
        or wanted.default_payment_method is UNSET
    ):
        return settings
    id_ = wanted.default_payment_method
    if isinstance(id_, str):
        param = "invoice_settings[default_payment_method]"
        id_ = charging.own_method(world, id_, customer, param)["id"]
    return {**settings, "default_payment_method": id_}


def retrieve(world: World, _: Params, id_: str) -> Object:
    if world.find("deleted_customer", id_):
        return {"id": id_, "object": "customer", "deleted": True}
    return world.get("customer", id_)


def update(world: World, params: Fields, id_: str) -> Object:
    customer = world.get("customer", id_)
    return world.change(
        customer,
        "customer.updated",
        invoice_settings=_settings(world, customer, params),
        metadata=merged(customer["metadata"], params.metadata),
        **_plain(params),
    )


def delete(world: World, _: Params, id_: str) -> Object:
    clock = world.get("customer", id_)["test_clock"]
    for subscription in world.by("subscription", "customer", id_):
        if subscription["status"] not in subscriptions.ENDED:
            subscriptions.end(world, subscription, None)
    for method in world.by("payment_method", "customer", id_):
        charging.detach(world, method)
    stub = world.remove(world.get("customer", id_), "customer.deleted")
    # A deleted customer can still be retrieved, as a stub; its objects keep its clock.
    world.create({**stub, "object": "deleted_customer", "test_clock": clock}, None)
    return stub


def list_(world: World, params: List) -> Object:
    return page(
        "/v1/customers",
        world.all("customer"),
        params,
        equal("email", params.email),
        # Customers on a test clock are listed only if the request names it.
        lambda it: it["test_clock"] == params.test_clock,
    )


def search_(world: World, params: Searching) -> Object:
    return search("/v1/customers/search", world.all("customer"), params, _SEARCHED)


def methods(world: World, params: ListMethods, id_: str) -> Object:
    world.get("customer", id_)
    return page(
        f"/v1/customers/{id_}/payment_methods",
        world.by("payment_method", "customer", id_),
        params,
        equal("type", params.type),
    )


def method(world: World, _: Params, id_: str, method_id: str) -> Object:
    customer = world.get("customer", id_)
    return charging.own_method(world, method_id, customer, "payment_method")


_ONE: Final = "/v1/customers/{customer}"
ROUTES: Final = (
    Route("POST", "/v1/customers", Create, create),
    Route("GET", "/v1/customers", List, list_),
    Route("GET", "/v1/customers/search", Searching, search_),
    Route("GET", _ONE, Params, retrieve, "customer"),
    Route("POST", _ONE, Fields, update, "customer"),
    Route("DELETE", _ONE, Params, delete, "customer"),
    Route("GET", f"{_ONE}/payment_methods", ListMethods, methods, "customer"),
    Route("GET", f"{_ONE}/payment_methods/{{method}}", Params, method, "customer"),
)
