"""Carries what is due to where it has to go: the sandbox's only way out."""

import asyncio
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
            while batch := self._batch():
                await asyncio.gather(*map(self._carry, batch))

    def _batch(self) -> list[Delivery]:
        batch: list[Delivery] = []
        while len(batch) < self.at_once and (found := self.engine.outbox.pop_due()):
            batch.append(found)
        return batch

    async def _carry(self, delivery: Delivery) -> None:
        self.engine.outbox.answered(delivery, await self._post(delivery))

    async def _post(self, delivery: Delivery) -> int | None:
        if self._client is None:
            # Made here, on the loop that uses it; a proxy knows no loopback address.
            self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        try:
            # The service checks a signature's age by its own clock: the real one.
            # An endpoint that was deleted meanwhile has neither address nor secret.
            url = self.engine.outbox.url_of(delivery)
            signature = self.engine.outbox.signature_of(delivery, datetime.now(UTC))
            response = await self._client.post(
                url,
                content=delivery.body,
                headers={
                    "Content-Type": "application/json; charset=utf-8",
                    "Stripe-Signature": signature,
                    "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
                },
            )
        except Exception:  # noqa: BLE001  # what cannot be asked does not answer
            return None
        return response.status_code

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None
