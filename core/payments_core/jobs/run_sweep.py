"""Take a sweep's steps, one after the other, at whatever pace the gateway allows.

Rule 1: the gateway, or an account, may be busy at any moment: the same step is taken
        again, later and later, and given up after `TRIES_MAX` in a row.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.errors import (
    AccountBusy,
    GatewayMisconfigured,
    GatewayUnavailable,
)
from payments_core.jobs.reconcile import Reconcile, SweepStep
from payments_core.lease import BackOff
from payments_core.sweep import SweepPlace, SweepRange

# What is older changes by refunds and disputes, which have lists of their own.
COMPARED_FOR: Final = timedelta(days=40)
# The events of what is younger may be on their way.
SETTLES_WITHIN: Final = timedelta(minutes=5)
BACK_OFF: Final = BackOff(timedelta(seconds=1), timedelta(minutes=1))
TRIES_MAX: Final = 8


def _ignore(_: Exception, __: float) -> None:
    """Drop it: no listener was given."""


@attrs.frozen
class RunSweep:
    reconcile: Reconcile
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    # Hears of each wait: why, and for how long.
    on_wait: Callable[[Exception, float], None] = _ignore

    def range_now(self, since: datetime | None = None) -> SweepRange:
        """Return what a sweep that begins now compares."""
        now = self.reconcile.record.clock()
        return SweepRange(since=since or now - COMPARED_FOR, until=now - SETTLES_WITHIN)

    async def __call__(
        self, range_: SweepRange, place: SweepPlace, *, repairs: bool
    ) -> AsyncIterator[SweepStep]:
        """Take steps from a place to the end, as long as they are wanted.

        Raises:
            AccountBusy, GatewayUnavailable: several times in a row.
            StoreUnavailable: the database does not answer.
        """
        left: SweepPlace | None = place
        while left is not None:
            step = await self._step(range_, left, repairs=repairs)
            left = step.place
            yield step

    async def _step(
        self, range_: SweepRange, place: SweepPlace, *, repairs: bool
    ) -> SweepStep:
        created = range_.of(place.list_)
        for attempt in range(1, TRIES_MAX):
            try:
                return await self.reconcile.step(place, created, repairs=repairs)
            except GatewayMisconfigured:
                raise
            except (AccountBusy, GatewayUnavailable) as error:
                wait_s = BACK_OFF.after(attempt).total_seconds()
                self.on_wait(error, wait_s)
                await self.sleep(wait_s)
        return await self.reconcile.step(place, created, repairs=repairs)
