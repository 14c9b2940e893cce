"""Stripe as an operator needs it: endpoints, rights of the key, Stripe's time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import stripe

from payments_adapters.stripe import endpoints, rights
from payments_adapters.stripe.api_reader import PRICE, PRODUCT, Reading
from payments_adapters.stripe.client import Client
from payments_adapters.stripe.endpoint import (
    Endpoint,
    EndpointChange,
    EndpointDraft,
    FoundEndpoints,
    MadeEndpoint,
)
from payments_adapters.stripe.listed_events import listed_events
from payments_adapters.stripe.prices import price_of
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.gateway import Price


class StripeAdmin:
    """What no user's request needs; open it once per event loop.

    All methods raise `GatewayUnavailable` (`GatewayMisconfigured` if the key lacks the
    permission) and `GatewayRefused`.
    """

    def __init__(self, api_key: str | None, *, base: str, livemode: bool) -> None:
        self._client = Client(api_key, base, livemode)
        self._livemode = livemode

    @asynccontextmanager
    async def opened(
        self, transport: stripe.HTTPClient | None = None
    ) -> AsyncIterator["StripeAdmin"]:
        async with self._client.opened(transport):
            yield self

    async def endpoints(self, *, needs_thin: bool = False) -> FoundEndpoints:
        """Return all endpoints, those of thin events unless Stripe refuses them."""
        return await endpoints.endpoints(self._client, needs_thin=needs_thin)

    async def create_endpoint(self, draft: EndpointDraft) -> MadeEndpoint:
        """Create an endpoint in the pinned version; only this answer has its secret."""
        return await endpoints.create(self._client, draft)

    async def change_endpoint(self, it: Endpoint, to: EndpointChange) -> Endpoint:
        """Change what is given; return the changed endpoint."""
        return await endpoints.change(self._client, it, to)

    async def delete_endpoint(self, it: Endpoint) -> None:
        """Delete an endpoint."""
        await endpoints.delete(self._client, it)

    async def prove(self, right: rights.Right) -> datetime:
        """Return Stripe's time, if the key has the right to read."""
        return await rights.prove(self._client, right)

    async def events(self, query: EventQuery) -> ListedEvents:
        """Return a page of the list of events."""
        return await listed_events(self._client, query, livemode=self._livemode)

    async def price(self, price_id: str) -> Price:
        """Return a price.

        Raises:
            GatewayObjectMissing: it does not exist.
        """
        return price_of((await Reading(self._client).one(PRICE, price_id)).it)

    async def is_active(self, product_id: str) -> bool:
        """Return whether a product is sold.

        Raises:
            GatewayObjectMissing: it does not exist.
        """
        return (await Reading(self._client).one(PRODUCT, product_id)).it.active
