"""`/v1/products` and `/v1/prices`."""

from typing import Annotated, Final, Literal

import msgspec

from payments_sandbox import shapes
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    UNSET,
    Amount,
    Currency,
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
from payments_sandbox.periods import is_too_long
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import Object, World

Interval = Literal["day", "week", "month", "year"]


class CreateProduct(Params, kw_only=True, frozen=True):
    name: Text
    active: bool = True
    description: Text | None = None
    id: Id | None = None
    metadata: Metadata = UNSET


class UpdateProduct(Params, kw_only=True, frozen=True):
    active: bool | Unset = UNSET
    default_price: Id | Unset | None = UNSET
    description: Text | Unset | None = UNSET
    metadata: Metadata = UNSET
    name: Text | Unset = UNSET


class ListProducts(Dated, kw_only=True, frozen=True):
    active: bool | None = None
    ids: tuple[str, ...] | None = None


class Recurring(Nested, kw_only=True, frozen=True):
    interval: Interval
    interval_count: Annotated[int, msgspec.Meta(ge=1, le=1095)] = 1


class ProductData(Nested, kw_only=True, frozen=True):
    name: Text
    active: bool = True
    id: Id | None = None
    metadata: Metadata = UNSET


class CreatePrice(Params, kw_only=True, frozen=True):
    currency: Currency
    unit_amount: Amount
    active: bool = True
    lookup_key: Text | None = None
    metadata: Metadata = UNSET
    nickname: Text | None = None
    product: Id | None = None
    product_data: ProductData | None = None
    recurring: Recurring | None = None


class UpdatePrice(Params, kw_only=True, frozen=True):
    active: bool | Unset = UNSET
    lookup_key: Text | Unset | None = UNSET
    metadata: Metadata = UNSET
    nickname: Text | Unset | None = UNSET


class ListRecurring(Nested, kw_only=True, frozen=True):
    interval: Interval | None = None


class ListPrices(Dated, kw_only=True, frozen=True):
    active: bool | None = None
    currency: str | None = None
    lookup_keys: tuple[str, ...] | None = None
    product: Id | None = None
    recurring: ListRecurring = ListRecurring()
    type: Literal["one_time", "recurring"] | None = None


def create_product(world: World, params: CreateProduct | ProductData) -> Object:
    id_ = {"id": params.id} if params.id else {}
    if params.id and world.find("product", params.id):
        raise invalid(
            f"Product already exists with the id {params.id}.",
            "id",
            "resource_already_exists",
        )
    new = shapes.product(
        world,
        active=params.active,
        description=params.description if isinstance(params, CreateProduct) else None,
        metadata=merged({}, params.metadata),
        name=params.name,
        **id_,
    )
    return world.create(new, "product.created")


def update_product(world: World, params: UpdateProduct, id_: str) -> Object:
    product = world.get("product", id_)
    if isinstance(params.default_price, str):
        price = world.get("price", params.default_price, "default_price")
        if price["product"] != id_:
            raise invalid("The price is of another product.", "default_price")
    return world.change(
        product,
        "product.updated",
        metadata=merged(product["metadata"], params.metadata),
        updated=world.now,
        **given(
            active=params.active,
            default_price=params.default_price,
            description=params.description,
            name=params.name,
        ),
    )


def delete_product(world: World, _: Params, id_: str) -> Object:
    product = world.get("product", id_)
    if world.by("price", "product", id_):
        raise invalid(
            "This product cannot be deleted because it has one or more "
            "user-created prices."
        )
    return world.remove(product, "product.deleted")


def list_products(world: World, params: ListProducts) -> Object:
    wanted = params.ids
    return page(
        "/v1/products",
        world.all("product"),
        params,
        equal("active", params.active),
        lambda it: wanted is None or it["id"] in wanted,
    )


def create_price(world: World, params: CreatePrice) -> Object:
    if (params.product is None) == (params.product_data is None):
        raise invalid(
            "A price takes one of `product` and `product_data`.",
            "product",
            "parameter_missing" if params.product is None else None,
        )
    recurring = params.recurring and shapes.recurring(
        params.recurring.interval, params.recurring.interval_count
    )
    if recurring and is_too_long(recurring):
        raise invalid(
            "A period cannot be longer than three years.", "recurring[interval_count]"
        )
    _require_free_key(world, params.lookup_key)
    if params.product_data:
        product = create_product(world, params.product_data)
    else:
        product = world.get("product", params.product or "", "product")
    new = shapes.price(
        world,
        params.unit_amount,
        active=params.active,
        currency=params.currency.lower(),
        lookup_key=params.lookup_key,
        metadata=merged({}, params.metadata),
        nickname=params.nickname,
        product=product["id"],
        recurring=recurring,
    )
    return world.create(new, "price.created")


def _require_free_key(world: World, key: str | None) -> None:
    if key and any(it["lookup_key"] == key for it in world.all("price")):
        raise invalid(
            f"A price already uses the lookup key '{key}'.",
            "lookup_key",
            "resource_already_exists",
        )


def update_price(world: World, params: UpdatePrice, id_: str) -> Object:
    price = world.get("price", id_)
    if isinstance(params.lookup_key, str) and params.lookup_key != price["lookup_key"]:
        _require_free_key(world, params.lookup_key)
    return world.change(
        price,
        "price.updated",
        metadata=merged(price["metadata"], params.metadata),
        **given(
            active=params.active,
            lookup_key=params.lookup_key,
            nickname=params.nickname,
        ),
    )


def list_prices(world: World, params: ListPrices) -> Object:
    keys = params.lookup_keys
    if params.product:
        found = world.by("price", "product", params.product)
    else:
        found = world.all("price")
    return page(
        "/v1/prices",
        found,
        params,
        equal("active", params.active),
        equal("currency", params.currency),
        equal("type", params.type),
        equal("recurring.interval", params.recurring.interval),
        lambda it: keys is None or it["lookup_key"] in keys,
    )


ROUTES: Final = (
    Route("POST", "/v1/products", CreateProduct, create_product),
    Route("GET", "/v1/products", ListProducts, list_products),
    Route("GET", "/v1/products/{id}", Params, retrieving("product"), "product"),
    Route("POST", "/v1/products/{id}", UpdateProduct, update_product, "product"),
    Route("DELETE", "/v1/products/{id}", Params, delete_product, "product"),
    Route("POST", "/v1/prices", CreatePrice, create_price),
    Route("GET", "/v1/prices", ListPrices, list_prices),
    Route("GET", "/v1/prices/{price}", Params, retrieving("price"), "price"),
    Route("POST", "/v1/prices/{price}", UpdatePrice, update_price, "price"),
)
