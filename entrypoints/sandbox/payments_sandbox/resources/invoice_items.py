"""`/v1/invoiceitems`: items that are added to the next invoice by hand."""

from typing import Final

from payments_sandbox import shapes
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    UNSET,
    Amount,
    Currency,
    Dated,
    Id,
    Metadata,
    Params,
    Text,
    merged,
)
from payments_sandbox.listing import equal, page
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import Object, World


class CreateItem(Params, kw_only=True, frozen=True):
    customer: Id
    amount: int
    currency: Currency
    description: Text | None = None
    metadata: Metadata = UNSET
    subscription: Id | None = None


class ListItems(Dated, kw_only=True, frozen=True):
    customer: Id | None = None
    invoice: Id | None = None
    pending: bool | None = None


def create_item(world: World, params: CreateItem) -> Object:
    customer = world.get("customer", params.customer, "customer")
    if not abs(params.amount) <= Amount.__metadata__[0].le:  # type: ignore[attr-defined]  # of Annotated
        raise invalid(f"Invalid amount: {params.amount}", "amount")
    currency = params.currency.lower()
    if customer["currency"] not in (None, currency):
        raise invalid("The customer has another currency.", "currency")
    parent = None
    if params.subscription:
        world.get("subscription", params.subscription, "subscription")
        parent = {
            "subscription_details": {
                "subscription": params.subscription,
                "subscription_item": None,
            },
            "type": "subscription_details",
        }
    new = shapes.invoice_item(
        world,
        amount=params.amount,
        currency=currency,
        customer=customer["id"],
        description=params.description,
        metadata=merged({}, params.metadata),
        parent=parent,
        period={"start": world.now, "end": world.now},
        pricing=None,
        proration_details=None,
        test_clock=customer["test_clock"],
    )
    return world.create(new, "invoiceitem.created")


def delete_item(world: World, _: Params, id_: str) -> Object:
    item = world.get("invoiceitem", id_)
    if item["invoice"]:
        raise invalid("The invoice item is on an invoice already.")
    return world.remove(item, "invoiceitem.deleted")


def list_items(world: World, params: ListItems) -> Object:
    return page(
        "/v1/invoiceitems",
        world.all("invoiceitem"),
        params,
        equal("customer", params.customer),
        equal("invoice", params.invoice),
        lambda it: params.pending is None or (it["invoice"] is None) is params.pending,
    )


_ONE: Final = "/v1/invoiceitems/{id}"
ROUTES: Final = (
    Route("POST", "/v1/invoiceitems", CreateItem, create_item),
    Route("GET", "/v1/invoiceitems", ListItems, list_items),
    Route("GET", _ONE, Params, retrieving("invoiceitem"), "invoiceitem"),
    Route("DELETE", _ONE, Params, delete_item, "invoiceitem"),
)
