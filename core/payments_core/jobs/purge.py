"""Delete what has passed its retention, in small batches.

Rule 1: one process at a time takes a turn, once an hour (`payments_core.checkpoints`).
        It may also run by hand at the same time: to delete twice is harmless.
Rule 2: each kind is deleted in batches, until a batch finds nothing. Rows that are
        locked are left to the next turn: nothing waits for a purge.
Rule 3: interrupted erasures are finished after the end of a turn is saved: that takes
        minutes with many events. An erasure that fails, for any reason, delays neither
        the others nor the next turn, which retries it.
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
# An unfinished erasure older than this was interrupted: a running one may wait ten
# minutes, and then reads all events.
CUT_OFF: Final = timedelta(hours=1)
# Rows per statement, which takes some milliseconds.
BATCH: Final = 500
# Rows are counted up to this number.
COUNTED_MAX: Final = 100_000


class PurgeListener:
    """Receives what is purged; this class ignores it."""

    def purged(self, kind: PurgeKind, count: int) -> None:
        """Receive how much was deleted: rows, or days of bodies."""


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

        It stops between batches if `stopping` returns True, and is due again at once.

        Raises:
            StoreUnavailable: if its end is not saved, it is due again when its lease
                has expired.
            ExceptionGroup: these erasures failed, or the database did not answer; the
                next turn retries them.
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
        """Purge, and say whether it was completed."""
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
                # Also if the database did not answer: it may answer the next one.
                failed.append(error)
        if failed:
            raise ExceptionGroup("interrupted erasures", failed)

    async def batches(self) -> AsyncIterator[tuple[PurgeKind, int]]:
        """Delete what has passed its retention; yield each batch after it is deleted.

        Raises:
            StoreUnavailable: what was yielded is deleted.
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
        """Return how much would be deleted, up to `COUNTED_MAX`; None: kept forever.

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
