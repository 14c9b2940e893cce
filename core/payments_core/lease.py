"""Leases: which process works on something, until when, and when it is due again.

Rule 1: each claim of a piece of work gets the next fence. Only the holder of the latest
        fence may finish or release it.
Rule 2: a claim that is not released expires, and the work is due again.
Rule 3: failed work is due after a back-off, up to a longest wait.
"""

from datetime import datetime, timedelta
from typing import Final, Self

import attrs

_DOUBLINGS_MAX: Final = 20


@attrs.frozen
class BackOff:
    """How long to wait after a failure: `first`, then twice as long each time."""

    first: timedelta
    longest: timedelta

    def after(self, attempts: int) -> timedelta:
        times: int = 2 ** min(attempts, _DOUBLINGS_MAX)
        return min(self.first * times, self.longest)


@attrs.frozen(kw_only=True)
class Lease:
    """`attempts` counts consecutive failures, `until` is when the claim expires."""

    due_at: datetime
    attempts: int = 0
    fence: int = 0
    until: datetime | None = None

    def is_due(self, now: datetime) -> bool:
        return self.due_at <= now and (self.until is None or self.until <= now)

    def claimed(self, now: datetime, length: timedelta) -> Self:
        return attrs.evolve(self, fence=self.fence + 1, until=now + length)

    def extended(self, now: datetime, length: timedelta) -> Self:
        """Extend the claim."""
        return attrs.evolve(self, until=now + length)

    def released(self, due_at: datetime) -> Self:
        """Release it without counting a failure."""
        return attrs.evolve(self, due_at=due_at, until=None)

    def failed(self, now: datetime, back_off: BackOff) -> Self:
        """Release it after a failure."""
        return attrs.evolve(
            self,
            due_at=now + back_off.after(self.attempts),
            attempts=self.attempts + 1,
            until=None,
        )
