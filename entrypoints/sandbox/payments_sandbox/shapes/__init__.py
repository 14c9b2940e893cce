"""New objects in the shape of the newest API generation, with all required fields.

Source: the types of the pinned SDK, which tests compare with all that is served.
"""

from payments_sandbox.shapes.catalog import (
    plan_of,
    price,
    pricing_of,
    product,
    recurring,
)
from payments_sandbox.shapes.customers import (
    billing_details,
    customer,
    payment_method,
    setup_intent,
    source,
)
from payments_sandbox.shapes.endpoints import event_destination, webhook_endpoint
from payments_sandbox.shapes.invoices import (
    invoice,
    invoice_item,
    invoice_payment,
    line_item,
)
from payments_sandbox.shapes.parts import NO_ADDRESS
from payments_sandbox.shapes.payments import charge, dispute, payment_intent, refund
from payments_sandbox.shapes.subscriptions import (
    items_of,
    subscription,
    subscription_item,
)
from payments_sandbox.shapes.test_clocks import test_clock

__all__ = [
    "NO_ADDRESS",
    "billing_details",
    "charge",
    "customer",
    "dispute",
    "event_destination",
    "invoice",
    "invoice_item",
    "invoice_payment",
    "items_of",
    "line_item",
    "payment_intent",
    "payment_method",
    "plan_of",
    "price",
    "pricing_of",
    "product",
    "recurring",
    "refund",
    "setup_intent",
    "source",
    "subscription",
    "subscription_item",
    "test_clock",
    "webhook_endpoint",
]
