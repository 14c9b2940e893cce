"""Carries what is due to where it has to go: the sandbox's only way out."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Final

import attrs
import httpx

from payments_sandbox.engine import Engine
from payments_sandbox.webhook_delivery import Delivery, Outbox

# Stripe waits some ten seconds for an answer; a retry comes anyway.
TIMEOUT_S: Final = 10.0


@attrs.define
class WebhookSender:
    """Sends deliveries in their order; an endpoint has `at_once` of them under way.

    Beside each other go those of `endpoints_at_once` endpoints: with one, an endpoint
    that does not answer holds the others up, and the order of all is determined.
    """

    engine: Engine
    at_once: int = 1
    endpoints_at_once: int = 1
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
        under_way: dict[asyncio.Task[None], str] = {}
        errors: list[BaseException] = []
        try:
            while self._begin(under_way):
                done, _ = await asyncio.wait(
                    under_way, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    del under_way[task]
                    # What fails on its way does not keep the others from theirs.
                    if error := task.exception():
                        errors.append(error)
        finally:
            for task in under_way:
                task.cancel()
        if errors:
            raise errors[0]

    def _begin(self, under_way: dict[asyncio.Task[None], str]) -> bool:
        """Start all that may be sent; return whether anything is under way."""
        while True:
            counts = Counter(under_way.values())
            full = {id_ for id_, count in counts.items() if count >= self.at_once}
            # As many endpoints as may be: only these have room for more.
            among = set(counts) if len(counts) >= self.endpoints_at_once else None
            delivery = self.engine.outbox.pop_due(but=full, among=among)
            if delivery is None:
                return bool(under_way)
            under_way[self._carrying(delivery)] = delivery.endpoint_id

    def _carrying(self, delivery: Delivery) -> "asyncio.Task[None]":
        """Send a delivery to where its endpoint is now, signed with its secrets of now.

        By the time that it is sent the endpoint may have been deleted. The signature is
        of the real time, as a receiver checks its age by its own clock.
        """
        outbox = self.engine.outbox
        signature = outbox.signature_of(delivery, datetime.now(UTC))
        url = outbox.url_of(delivery)
        return asyncio.create_task(self._carry(outbox, delivery, url, signature))

    async def _carry(
        self, outbox: Outbox, delivery: Delivery, url: str, signature: str
    ) -> None:
        status = await self._post(url, delivery.body, signature)
        # After a reset it is of a world that is gone, whose ids may be there again.
        if outbox is self.engine.outbox:
            outbox.answered(delivery, status)

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
