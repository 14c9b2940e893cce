"""All routes of the API, and their resources."""

from typing import Final

from payments_sandbox.resources import (
    catalog,
    charges,
    customers,
    destinations,
    endpoints,
    invoice_items,
    invoice_previews,
    invoices,
    payment_intents,
    payment_methods,
    setup_intents,
    subscription_updates,
    subscriptions,
    test_clocks,
)
from payments_sandbox.routing import Route

ROUTES: Final[tuple[Route, ...]] = (
    *customers.ROUTES,
    *payment_methods.ROUTES,
    *setup_intents.ROUTES,
    *catalog.ROUTES,
    *subscriptions.ROUTES,
    *subscription_updates.ROUTES,
    *invoice_previews.ROUTES,
    *invoices.ROUTES,
    *invoice_items.ROUTES,
    *payment_intents.ROUTES,
    *charges.ROUTES,
    *destinations.ROUTES,
    *endpoints.ROUTES,
    *test_clocks.ROUTES,
)
