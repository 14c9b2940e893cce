"""Prices that were fetched recently."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.gateway import Price
from payments_core.ports import SystemClock

PRICES_MAX: Final = 1_000
PRICE_KEEPS: Final = timedelta(minutes=1)


@attrs.define
class RememberedPrices:
    """Prices that were fetched recently; a second caller waits for the same fetch."""

    _clock: SystemClock
    _known: dict[str, tuple[datetime, asyncio.Task[Price]]] = attrs.field(
        init=False, factory=dict
    )

    async def get(self, name: str, find: Callable[[], Awaitable[Price]]) -> Price:
        """Return a price; what `find` raises is raised, and not remembered."""
        now = self._clock()
        known = self._known.get(name)
        if known is None or now - known[0] >= PRICE_KEEPS or _failed(known[1]):
            if len(self._known) >= PRICES_MAX:
                self._known.clear()
            known = (now, asyncio.ensure_future(_awaited(find)))
            # If all callers are cancelled, a failure is not reported as unhandled.
            known[1].add_done_callback(_failed)
            self._known[name] = known
        # A cancelled caller does not cancel the fetch for the others.
        return await asyncio.shield(known[1])


async def _awaited(find: Callable[[], Awaitable[Price]]) -> Price:
    return await find()


def _failed(task: "asyncio.Task[Price]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
