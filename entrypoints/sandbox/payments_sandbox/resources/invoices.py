"""`/v1/invoices` and `/v1/invoice_payments`."""

from typing import Final, Literal

from payments_sandbox import charging, invoicing
from payments_sandbox.errors import invalid
from payments_sandbox.forms import (
    Dated,
    Id,
    Listing,
    Nested,
    Params,
)
from payments_sandbox.listing import equal, page
from payments_sandbox.routing import Route, retrieving
from payments_sandbox.state import INVOICE_OF_SUBSCRIPTION, Object, World
from payments_sandbox.subscriptions import (
    on_failed,
    on_paid,
    on_voided,
)


class Pay(Params, kw_only=True, frozen=True):
    off_session: bool = True
    paid_out_of_band: bool = False
    payment_method: Id | None = None


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
    # Unlike other lists, lines are in the order in which they are printed.
    return page(f"/v1/invoices/{id_}/lines", data[::-1], params)


def pay(world: World, params: Pay, id_: str) -> Object:
    invoice = world.get("invoice", id_)
    invoicing.require_payable(invoice)
    # The first attempt starts the automatic ones, also if made by a request.
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


def mark_uncollectible(world: World, _: Params, id_: str) -> Object:
    invoice = world.get("invoice", id_)
    if invoice["status"] != "open":
        raise invalid(f"A {invoice['status']} invoice cannot be marked uncollectible.")
    return invoicing.mark_uncollectible(world, invoice)


# Payments of invoices


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


_ONE: Final = "/v1/invoices/{invoice}"
ROUTES: Final = (
    Route("GET", "/v1/invoices", List, list_),
    Route("GET", _ONE, Params, retrieving("invoice"), "invoice"),
    Route("GET", f"{_ONE}/lines", Listing, lines, "invoice"),
    Route("POST", f"{_ONE}/pay", Pay, pay, "invoice"),
    Route("POST", f"{_ONE}/finalize", Finalize, finalize, "invoice"),
    Route("POST", f"{_ONE}/mark_uncollectible", Params, mark_uncollectible, "invoice"),
    Route("POST", f"{_ONE}/void", Params, void, "invoice"),
    Route("GET", "/v1/invoice_payments", ListPayments, list_payments),
    Route("GET", "/v1/invoice_payments/{id}", Params, retrieving("invoice_payment")),
)
