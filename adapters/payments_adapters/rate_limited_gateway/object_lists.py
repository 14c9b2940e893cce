"""Pages of the gateway's lists, read with spare calls.

Rule 1: a page is one call from the shared budget, of its own endpoint.
Rule 2: reading pages leaves half of the budget to users' operations: while they use
        more than that, no page is read.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import attrs

from payments_adapters.rate_limited_gateway.call_budget import (
    CALLS_PER_S,
    WAIT_S,
    WAITS_MAX,
)
from payments_adapters.rate_limited_gateway.circuit_breaker import CircuitBreaker
from payments_adapters.rate_limited_gateway.listener import GatewayListener, heard
from payments_adapters.rate_limited_gateway.operations import operation_of
from payments_core.errors import GatewayNotAttempted
from payments_core.identity import CustomerId
from payments_core.object_lists import CreatedBetween, ObjectList, ObjectPage
from payments_core.ports import GatewayLists, SystemClock

# The names that `RateLimitedGateway` uses for the same endpoints.
_PAYMENTS: Final = "charges"


class SpareCalls(Protocol):
    async def take_spare(self, endpoint: str, *, per_s: float, now: datetime) -> bool:
        """Take a call from the budget of an endpoint, if half of it is left.

        Return whether it was taken. A budget refills at `per_s` a second, to at most
        that many.
        """


@attrs.frozen
class SpareCallBudget:
    """A `CallBudget` that leaves half of the budget to users' operations."""

    _budget: SpareCalls

    async def take(
        self,
        endpoint: str,
        *,
        beside: Sequence[str] = (),  # noqa: ARG002  # the protocol's
        per_s: float,
        now: datetime,
    ) -> Mapping[str, int]:
        """Take one call, and none of the other endpoints."""
        taken = await self._budget.take_spare(endpoint, per_s=per_s, now=now)
        return {endpoint: 1} if taken else {}


@attrs.frozen
class RateLimitedLists:
    """`GatewayLists` behind a budget and a breaker."""

    _lists: GatewayLists
    _budget: SpareCalls
    _breaker: CircuitBreaker
    _clock: SystemClock
    _wait_s: float = WAIT_S
    _listener: GatewayListener = attrs.field(factory=GatewayListener)

    async def page(
        self,
        list_: ObjectList,
        created: CreatedBetween,
        *,
        customer: CustomerId | None = None,
        after: str | None = None,
    ) -> ObjectPage:
        endpoint = _PAYMENTS if list_ is ObjectList.PAYMENTS else list_.value
        with heard(self._listener, operation_of(list_)) as leaves:
            self._breaker.check()
            # A call that is not sent tells the breaker nothing.
            await self._take(endpoint)
            leaves()
            async with self._breaker.call(endpoint):
                return await self._lists.page(
                    list_, created, customer=customer, after=after
                )

    async def _take(self, endpoint: str) -> None:
        for _ in range(WAITS_MAX):
            now = self._clock()
            if await self._budget.take_spare(endpoint, per_s=CALLS_PER_S, now=now):
                return
            self._listener.waited(endpoint)
            await asyncio.sleep(self._wait_s)
        raise GatewayNotAttempted("other requests need all the calls")
