"""The claim of a loop whose turn may take longer than a lease.

Rule 1: before each piece of work the claim is extended if half of it is over, and saved
        with the position if that has moved.
Rule 2: a process that lost the claim stops: another process continues.
"""

from datetime import timedelta
from typing import Any

import attrs

from payments_core.checkpoints import LoopCheckpoint
from payments_core.lease import Lease
from payments_core.ports import Checkpoints, SystemClock


class ClaimLost(Exception):  # noqa: N818  # it is not an error
    """Another process has the loop now."""


@attrs.define
class LoopClaim:
    """The row of a loop, as this process has it: claimed for `length` at a time."""

    checkpoints: Checkpoints
    system_clock: SystemClock
    kept: LoopCheckpoint
    length: timedelta

    @property
    def lease(self) -> Lease:
        return self.kept.lease

    async def keep(self, position: str | None = None) -> None:
        """Extend the claim, if half of it is over or the position has moved.

        Raises:
            ClaimLost: another process has it.
            StoreUnavailable: the database does not answer.
        """
        now, until = self.system_clock(), self.lease.until
        is_half_over = until is None or until - now < self.length / 2
        position = position or self.kept.position
        if is_half_over or position != self.kept.position:
            lease = self.lease.extended(now, self.length)
            await self.save(position=position, lease=lease)

    async def save(self, **changes: Any) -> None:
        """Save the row with these fields changed.

        Raises:
            ClaimLost: another process has the claim; nothing is saved.
            StoreUnavailable: the database does not answer.
        """
        self.kept = attrs.evolve(self.kept, **changes)
        if not await self.checkpoints.save(self.kept):
            raise ClaimLost
