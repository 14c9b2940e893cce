"""The worker: bounded loops over leased rows, until it is told to stop.

Rule 1: any number of workers may run; whatever one of them drops, another takes up.
Rule 2: told to stop, it finishes what it has begun and takes nothing more.
Rule 3: without work it looks again after a moment; without a database, after a while.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs
import structlog

from payments_core.errors import ChangedElsewhere, StoreUnavailable
from payments_core.use_cases import HealIntents, LinkUnlinked, WorkOffJobs
from payments_service.container import Container

IDLE_S: Final = 0.5
IDLE_MAX_S: Final = 10.0

Chore = Callable[[], Awaitable[int]]


@attrs.define
class Worker:
    """Does the chores in turn; each returns how much it did."""

    _chores: Sequence[Chore]
    _idle_s: float = IDLE_S
    _stop: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    @classmethod
    def of(cls, container: Container) -> "Worker":
        return cls(
            [container[HealIntents], container[WorkOffJobs], container[LinkUnlinked]]
        )

    def stop(self) -> None:
        """Take nothing more."""
        self._stop.set()

    async def run(self) -> None:
        """Work until `stop`."""
        wait = self._idle_s
        while not self._stop.is_set():
            try:
                done = await self.once()
            except StoreUnavailable:
                structlog.get_logger().warning("no database", wait_s=wait)
                await self._rest(wait)
                wait = min(wait * 2, IDLE_MAX_S)
                continue
            wait = self._idle_s
            if not done:
                await self._rest(wait)

    async def once(self) -> int:
        """Do each chore once; return how much was done.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        done = 0
        for chore in self._chores:
            if self._stop.is_set():
                break
            try:
                done += await chore()
            except ChangedElsewhere:
                # Another worker was there first; next time it is not.
                continue
        return done

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
