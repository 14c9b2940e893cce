"""Carries what is due to where it has to go: the sandbox's only way out."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Final

import attrs
import httpx

from payments_service.sandbox.delivery import Delivery
from payments_service.sandbox.engine import Engine

# Stripe waits some ten seconds for an answer; a retry comes anyway.
TIMEOUT_S: Final = 10.0


@attrs.define
class Courier:
    """Sends deliveries in their order; `at_once` of them may be under way together."""

    engine: Engine
    at_once: int = 1
    _client: httpx.AsyncClient | None = None
    _one: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)

    async def flush(self) -> None:
        """Send all that is due now, and return when every answer is there."""
        async with self._one:
            await self.rush()

    async def rush(self) -> None:
        """Send all that is due now, beside whatever is under way.

        A receiver that waits for an answer of the sandbox holds the others up; what is
        to overtake that answer must not wait for them.
        """
        while batch := self._batch():
            await asyncio.gather(*batch)

    def _batch(self) -> list[Awaitable[None]]:
        batch: list[Awaitable[None]] = []
        while len(batch) < self.at_once and (found := self.engine.outbox.pop_due()):
            batch.append(self._carry(*self._addressed(found)))
        return batch

    def _addressed(self, delivery: Delivery) -> tuple[Delivery, str, str]:
        """Return a delivery, where it goes, and its signature.

        At once: by the time that it is sent its endpoint may have been deleted. The
        signature is of the real time, as a receiver checks its age by its own clock.
        """
        outbox = self.engine.outbox
        signature = outbox.signature_of(delivery, datetime.now(UTC))
        return delivery, outbox.url_of(delivery), signature

    async def _carry(self, delivery: Delivery, url: str, signature: str) -> None:
        status = await self._post(url, delivery.body, signature)
        self.engine.outbox.answered(delivery, status)

    async def _post(self, url: str, body: bytes, signature: str) -> int | None:
        """Return what was answered; None if nobody did, or could be asked."""
        if self._client is None:
            # Made here, on the loop that uses it; a proxy knows no loopback address.
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        try:
            response = await self._client.post(
                url,
                content=body,
                headers={
                    "Content-Type": "application/json; charset=utf-8",
                    "Stripe-Signature": signature,
                    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
                },
            )
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
            return None
        return response.status_code

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None
