"""Delete for good what was kept long enough, a little at a time.

Rule 1: one process at a time takes a turn, once an hour
        (`payments_core.checkpoints`). By hand it may run beside that: what is deleted
        twice is deleted.
Rule 2: each kind is deleted in batches, until one finds nothing. What is in use at that
        moment is left to the next turn: nobody waits for a purge.
Rule 3: an erasure that was cut off is finished when the end of a turn is noted: that
        takes minutes where there are many events. One that fails, whatever the
        reason, holds up neither the others nor the next turn, which tries it again.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

import attrs

from payments_core.checkpoints import LEASE
from payments_core.jobs.loop_claim import ClaimLost, LoopClaim
from payments_core.now import Now
from payments_core.ports import (
    Checkpoints,
    Clock,
    Erasures,
    PurgeStore,
    SystemClock,
)
from payments_core.retention import PurgeKind, Retention

PURGE: Final = "purge"
EVERY: Final = timedelta(hours=1)
# An erasure that is older has nobody who finishes it: it may wait ten minutes, and then
# reads all events.
CUT_OFF: Final = timedelta(hours=1)
# A statement of some milliseconds.
BATCH: Final = 500
# More than this are counted no further.
COUNTED_MAX: Final = 100_000


class PurgeListener:
    """Hears of what is purged; this one drops it."""

    def purged(self, kind: PurgeKind, count: int) -> None:
        """Hear that so much was deleted: rows, or days of bodies."""


@attrs.frozen
class Purge:
    store: PurgeStore
    erasures: Erasures
    checkpoints: Checkpoints
    clock: Clock
    system_clock: SystemClock
    retention: Retention
    listener: PurgeListener = attrs.Factory(PurgeListener)

    async def __call__(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Take a turn, if it is due, to its end; say whether it was due.

        Between batches it ends if `stopping` says so, and is due again at once.

        Raises:
            StoreUnavailable: if its end is not noted it is due again when its lease has
                run out.
            ExceptionGroup: these erasures failed, or the database did not answer them;
                the next turn tries them again.
        """
        now = self._now()
        kept = await self.checkpoints.claim(PURGE, now=now.system, lease=LEASE)
        if kept is None:
            return False
        claim = LoopClaim(self.checkpoints, self.system_clock, kept, LEASE)
        is_over = False
        with suppress(ClaimLost):
            is_over = await self._take(claim, now, stopping)
        if is_over:
            await self._finish_erasures()
        return True

    async def _take(
        self, claim: LoopClaim, now: Now, stopping: Callable[[], bool]
    ) -> bool:
        """Purge, and say whether all of it was done."""
        async for _ in self.batches():
            if stopping():
                await claim.save(lease=claim.lease.released(self.system_clock()))
                return False
            await claim.keep()
        due_at = self.system_clock() + EVERY
        await claim.save(reached_at=now.at, lease=claim.lease.released(due_at))
        return True

    async def _finish_erasures(self) -> None:
        failed = list[Exception]()
        for pseudonym in await self.erasures.left(self.clock() - CUT_OFF):
            try:
                await self.erasures.finish(pseudonym)
            except Exception as error:  # noqa: BLE001  # raised when all were tried
                # Also where the database did not answer: it may answer the next one.
                failed.append(error)
        if failed:
            raise ExceptionGroup("erasures that were cut off", failed)

    async def batches(self) -> AsyncIterator[tuple[PurgeKind, int]]:
        """Delete what is old enough now; tell of each batch that it is done.

        Raises:
            StoreUnavailable: what was told is deleted.
        """
        now = self._now()
        for kind in PurgeKind:
            before, count = self.retention.before(kind, now), 1
            while before is not None and count:
                count = await self.store.purge(kind, before, limit=BATCH)
                if count:
                    self.listener.purged(kind, count)
                    yield kind, count

    async def due(self) -> Mapping[PurgeKind, int | None]:
        """Return how much would be deleted, up to `COUNTED_MAX`; None: kept for good.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        now, found = self._now(), dict[PurgeKind, int | None]()
        for kind in PurgeKind:
            before = self.retention.before(kind, now)
            found[kind] = (
                await self.store.count(kind, before, limit=COUNTED_MAX)
                if before is not None
                else None
            )
        return found

    def _now(self) -> Now:
        return Now(at=self.clock(), system=self.system_clock())
