"""Sends due deliveries: the sandbox's only outgoing requests."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Final

import attrs
import httpx

from payments_sandbox.engine import Engine
from payments_sandbox.webhook_delivery import Delivery, Outbox

# Stripe waits about ten seconds for an answer, and then retries.
TIMEOUT_S: Final = 10.0


@attrs.define
class WebhookSender:
    """Sends deliveries in order, up to `at_once` concurrently to an endpoint.

    Up to `endpoints_at_once` endpoints are served concurrently: with one, an endpoint
    that does not answer delays the others, and the order of all is determined.
    """

    engine: Engine
    at_once: int = 1
    endpoints_at_once: int = 1
    _client: httpx.AsyncClient | None = None
    _one: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)

    async def flush(self) -> None:
        """Send all due deliveries, and wait for every answer."""
        async with self._one:
            await self.rush()

    async def rush(self) -> None:
        """Send all due deliveries, concurrently with those in progress.

        A receiver that waits for an answer of the sandbox delays the others; a delivery
        that must overtake that answer must not wait for them.
        """
        under_way: dict[asyncio.Task[None], str] = {}
        errors: list[BaseException] = []
        try:
            while self._begin(under_way):
                done, _ = await asyncio.wait(
                    under_way, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    del under_way[task]
                    # A failed delivery does not stop the others.
                    if error := task.exception():
                        errors.append(error)
        finally:
            for task in under_way:
                task.cancel()
        if errors:
            raise errors[0]

    def _begin(self, under_way: dict[asyncio.Task[None], str]) -> bool:
        """Start all that may be sent; return whether any delivery is in progress."""
        while True:
            counts = Counter(under_way.values())
            full = {id_ for id_, count in counts.items() if count >= self.at_once}
            # The limit of endpoints is reached: only these may get more.
            among = set(counts) if len(counts) >= self.endpoints_at_once else None
            delivery = self.engine.outbox.pop_due(but=full, among=among)
            if delivery is None:
                return bool(under_way)
            under_way[self._carrying(delivery)] = delivery.endpoint_id

    def _carrying(self, delivery: Delivery) -> "asyncio.Task[None]":
        """Send a delivery to its endpoint's current address, with its current secrets.

        The endpoint may have been deleted since. The signature has the real time,
        because a receiver checks its age by its own clock.
        """
        outbox = self.engine.outbox
        signature = outbox.signature_of(delivery, datetime.now(UTC))
        url = outbox.url_of(delivery)
        return asyncio.create_task(self._carry(outbox, delivery, url, signature))

    async def _carry(
        self, outbox: Outbox, delivery: Delivery, url: str, signature: str
    ) -> None:
        status = await self._post(url, delivery.body, signature)
        # After a reset it belongs to the old world, whose ids may exist again.
        if outbox is self.engine.outbox:
            outbox.answered(delivery, status)

    async def _post(self, url: str, body: bytes, signature: str) -> int | None:
        """Return the status of the answer; None if there was none."""
        if self._client is None:
            # Created here, on the loop that uses it; a proxy cannot reach a loopback
            # address.
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
