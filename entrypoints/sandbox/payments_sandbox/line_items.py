"""The lines of an invoice: for a period, for an invoice item, for pending items."""

from payments_sandbox import shapes
from payments_sandbox.state import Object, World


def period_line(
    world: World, item: Object, start: int, end: int, *, free: bool = False
) -> Object:
    """Return the line for a whole period of a subscription's item."""
    price, quantity = item["price"], item["quantity"]
    amount = 0 if free else price["unit_amount"] * quantity
    product = world.find("product", price["product"])
    name = product["name"] if product else price["product"]
    return shapes.line_item(
        world,
        amount=amount,
        currency=price["currency"],
        description=f"Trial period for {name}" if free else f"{quantity} x {name}",
        discountable=True,
        parent={
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        period={"start": start, "end": end},
        pricing=shapes.pricing_of(price),
        quantity=quantity,
        subscription=item["subscription"],
        subtotal=amount,
    )


def line_of(world: World, item: Object) -> Object:
    """Return the line of an invoice item: a proration, or one added by hand."""
    details = item["parent"] and item["parent"]["subscription_details"]
    subscription = details and details["subscription"]
    shared = {
        "proration": item["proration"],
        "proration_details": {"credited_items": None},
        "subscription": subscription,
    }
    if details and details["subscription_item"]:
        parent = {
            "invoice_item_details": None,
            "subscription_item_details": {
                **shared,
                "invoice_item": item["id"],
                "subscription_item": details["subscription_item"],
            },
            "type": "subscription_item_details",
        }
    else:
        parent = {
            "invoice_item_details": {**shared, "invoice_item": item["id"]},
            "subscription_item_details": None,
            "type": "invoice_item_details",
        }
    return shapes.line_item(
        world,
        amount=item["amount"],
        currency=item["currency"],
        description=item["description"],
        parent=parent,
        period=item["period"],
        pricing=item["pricing"],
        quantity=item["quantity"],
        subscription=subscription,
        subtotal=item["amount"],
    )


def waiting_items(
    world: World, customer_id: str, currency: str, subscription_id: str | None
) -> list[Object]:
    """Return the invoice items that the next invoice includes."""
    return [
        item
        for item in world.by("invoiceitem", "customer", customer_id)
        if item["invoice"] is None
        and item["currency"] == currency
        and _subscription_of(item) in (None, subscription_id)
    ]


def _subscription_of(item: Object) -> str | None:
    parent = item["parent"]
    return str(parent["subscription_details"]["subscription"]) if parent else None
