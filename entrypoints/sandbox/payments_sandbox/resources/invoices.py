"""`/v1/invoices`, `/v1/invoice_payments` and `/v1/invoiceitems`."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from payments_sandbox import charging, invoicing, line_items, shapes
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    UNSET,
    Amount,
    Currency,
    Dated,
    Id,
    Listing,
    Metadata,
    Nested,
    Params,
    Seconds,
    Text,
    merged,
)
from payments_sandbox.listing import equal, page
from payments_sandbox.periods import next_boundary
from payments_sandbox.proration import period_of
from payments_sandbox.resources import subscription_params as resource
from payments_sandbox.resources.subscription_updates import planned
from payments_sandbox.resources.subscriptions import draft as drafted
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import INVOICE_OF_SUBSCRIPTION, Object, World
from payments_sandbox.subscriptions import (
    ENDED,
    on_failed,
    on_paid,
    on_voided,
)


class Pay(Params, kw_only=True, frozen=True):
    off_session: bool = True
    paid_out_of_band: bool = False
    payment_method: Id | None = None


class Details(Nested, kw_only=True, frozen=True):
    """A subscription as it would be: created, or changed."""

    billing_cycle_anchor: resource.Anchored = "unchanged"
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


class List(Dated, kw_only=True, frozen=True):
    collection_method: Literal["charge_automatically", "send_invoice"] | None = None
    customer: Id | None = None
    status: Literal["draft", "open", "paid", "uncollectible", "void"] | None = None
    subscription: Id | None = None


class Finalize(Params, kw_only=True, frozen=True):
    auto_advance: bool | None = None


class PaymentFilter(Nested, kw_only=True, frozen=True):
    type: Literal["payment_intent"]
    payment_intent: Id | None = None


class ListPayments(Dated, kw_only=True, frozen=True):
    invoice: Id | None = None
    payment: PaymentFilter | None = None
    status: Literal["canceled", "open", "paid"] | None = None


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


# Invoices


def list_(world: World, params: List) -> Object:
    if params.subscription:
        found = world.by("invoice", INVOICE_OF_SUBSCRIPTION, params.subscription)
    elif params.customer:
        found = world.by("invoice", "customer", params.customer)
    else:
        found = world.all("invoice")
    return page(
        "/v1/invoices",
        found,
        params,
        equal("customer", params.customer),
        equal("status", params.status),
        equal("collection_method", params.collection_method),
    )


def lines(world: World, params: Listing, id_: str) -> Object:
    data = world.get("invoice", id_)["lines"]["data"]
    # Lines alone stand in the order in which they are printed.
    return page(f"/v1/invoices/{id_}/lines", data[::-1], params)


def pay(world: World, params: Pay, id_: str) -> Object:
    invoice = world.get("invoice", id_)
    invoicing.require_payable(invoice)
    # The first attempt begins the automatic ones, whoever makes it.
    begins = invoice["status"] == "draft" and invoice["auto_advance"]
    if invoice["status"] == "draft":
        invoice = invoicing.finalize(world, invoice)
    if params.paid_out_of_band:
        return invoicing.pay_elsewhere(world, invoice, on_paid)
    method = None
    if params.payment_method:
        customer = world.get("customer", invoice["customer"])
        method = charging.own_method(
            world, params.payment_method, customer, "payment_method"
        )
    invoice = invoicing.collect(
        world,
        invoice,
        on_paid,
        method=method,
        off_session=params.off_session,
        retries=begins,
    )
    if invoice["status"] != "paid":
        if begins:
            on_failed(world, invoice)
        raise invoicing.refusal(world, invoice)
    return invoice


def finalize(world: World, _: Finalize, id_: str) -> Object:
    invoice = world.get("invoice", id_)
    if invoice["status"] != "draft":
        raise invalid(
            "This invoice is already finalized.", None, "invoice_not_editable"
        )
    invoice = invoicing.finalize(world, invoice)
    if invoice["amount_due"] == 0:
        return invoicing.settle(world, invoice, on_paid)
    if invoice["auto_advance"]:
        invoice = invoicing.collect(
            world, invoice, on_paid, off_session=True, retries=True
        )
        if invoice["status"] != "paid":
            on_failed(world, invoice)
    return world.get("invoice", id_)


def void(world: World, _: Params, id_: str) -> Object:
    invoice = world.get("invoice", id_)
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"A {invoice['status']} invoice cannot be voided.")
    invoice = invoicing.void(world, invoice)
    on_voided(world, invoice)
    return invoice


# Preview


def preview(world: World, params: Preview) -> Object:
    """Return the invoice that a create, a change or the next renewal would make."""
    invoice = _previewed(world, params)
    return {**invoice, "id": f"upcoming_{invoice['id']}", "auto_advance": False}


def _previewed(world: World, params: Preview) -> Object:
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


# Invoice payments and items


def list_payments(world: World, params: ListPayments) -> Object:
    intent = params.payment and params.payment.payment_intent
    if params.invoice:
        found = world.by("invoice_payment", "invoice", params.invoice)
    elif intent:
        found = world.by("invoice_payment", "payment.payment_intent", intent)
    else:
        found = world.all("invoice_payment")
    return page(
        "/v1/invoice_payments",
        found,
        params,
        equal("payment.payment_intent", intent),
        equal("status", params.status),
    )


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


_ONE: Final = "/v1/invoices/{invoice}"
ROUTES: Final = (
    Route("GET", "/v1/invoices", List, list_),
    Route("POST", "/v1/invoices/create_preview", Preview, preview),
    Route("GET", _ONE, Params, retrieving("invoice"), "invoice"),
    Route("GET", f"{_ONE}/lines", Listing, lines, "invoice"),
    Route("POST", f"{_ONE}/pay", Pay, pay, "invoice"),
    Route("POST", f"{_ONE}/finalize", Finalize, finalize, "invoice"),
    Route("POST", f"{_ONE}/void", Params, void, "invoice"),
    Route("GET", "/v1/invoice_payments", ListPayments, list_payments),
    Route("GET", "/v1/invoice_payments/{id}", Params, retrieving("invoice_payment")),
    Route("POST", "/v1/invoiceitems", CreateItem, create_item),
    Route("GET", "/v1/invoiceitems", ListItems, list_items),
    Route(
        "GET", "/v1/invoiceitems/{id}", Params, retrieving("invoiceitem"), "invoiceitem"
    ),
    Route("DELETE", "/v1/invoiceitems/{id}", Params, delete_item, "invoiceitem"),
)
