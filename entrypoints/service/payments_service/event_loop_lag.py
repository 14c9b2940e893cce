"""How late tasks run, measured continuously."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

import attrs

from payments_service.tallies import Tally

LOOK_EVERY_S: Final = 0.25


@attrs.define(eq=False)
class EventLoopLag:
    """How much later than requested a sleeping task runs: all tasks are as late."""

    _sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _now: Callable[[], float] = perf_counter
    lags: Tally = attrs.field(init=False, factory=Tally)

    async def look(self) -> None:
        began = self._now()
        await self._sleep(LOOK_EVERY_S)
        self.lags.add(max(self._now() - began - LOOK_EVERY_S, 0.0))

    async def keep_looking(self) -> None:
        while True:
            await self.look()
