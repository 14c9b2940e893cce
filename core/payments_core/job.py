"""What the worker has to do: objects to sync, and events to apply again.

Rule 1: a job is identified by its kind and subject (`payments_core.job_key`): requested
        twice, it is one job.
Rule 2: a claimed job is leased (`payments_core.lease`). It is finished only if it was
        not requested again meanwhile, and only by the holder of the lease.
Rule 3: a failed job is retried with back-off; after the quick attempts it is failing:
        tried once a day, and listed. It ends only when it is done. A failing job that
        is requested again has its quick attempts again.
Rule 4: a finished job stays until it is purged. Its fence never restarts, not even for
        a later job with the same key.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

import attrs

from payments_core.identity import UserId
from payments_core.job_key import JobKey
from payments_core.lease import BackOff, Lease

LEASE: Final = timedelta(seconds=60)
# Attempts with back-off before a job is tried once a day.
QUICK_ATTEMPTS: Final = 12
BACK_OFF: Final = BackOff(timedelta(seconds=5), timedelta(hours=1))
FAILING_AGAIN_AFTER: Final = timedelta(days=1)
# The reason of a job for a subscription whose next sync is due.
OVERDUE_REASON: Final = "no event came"
# The reason of a job for a user whose access ends.
ACCESS_END_REASON: Final = "access ends"


class JobState(StrEnum):
    OPEN = "open"
    DONE = "done"


@attrs.frozen(kw_only=True)
class Job:
    """A stored job; `requests` counts how often it was requested.

    `user_id` is the account that it concerns, if known: workers are fair across
    accounts.
    """

    key: JobKey
    reason: str
    lease: Lease
    requests: int = 1
    state: JobState = JobState.OPEN
    user_id: UserId | None = None

    @classmethod
    def due(
        cls, key: JobKey, reason: str, at: datetime, user_id: UserId | None = None
    ) -> Self:
        return cls(key=key, reason=reason, lease=Lease(due_at=at), user_id=user_id)

    @property
    def is_failing(self) -> bool:
        """Whether its quick attempts are used up: it is tried once a day."""
        return self.state is JobState.OPEN and self.lease.attempts >= QUICK_ATTEMPTS

    def is_due(self, now: datetime) -> bool:
        return self.state is JobState.OPEN and self.lease.is_due(now)

    def claimed(self, now: datetime) -> Self:
        return attrs.evolve(self, lease=self.lease.claimed(now, LEASE))

    def failed(self, now: datetime, reason: str) -> Self:
        """Release it after a failed attempt."""
        lease = self.lease.failed(now, BACK_OFF)
        if lease.attempts >= QUICK_ATTEMPTS:
            lease = attrs.evolve(lease, due_at=now + FAILING_AGAIN_AFTER)
        return attrs.evolve(self, reason=reason, lease=lease)

    def released(self, due_at: datetime) -> Self:
        """Release it without counting an attempt, due at `due_at`."""
        return attrs.evolve(self, lease=self.lease.released(due_at))

    def finished(self) -> Self:
        lease = attrs.evolve(self.lease, attempts=0, until=None)
        return attrs.evolve(self, lease=lease, state=JobState.DONE)

    def requeued(self, now: datetime) -> Self:
        """Release it, due at once, because it was requested again meanwhile."""
        lease = attrs.evolve(self.lease.released(now), attempts=0)
        return attrs.evolve(self, lease=lease)

    def requested(self, wish: Self) -> Self:
        """Return this job requested once more; a done job is open again."""
        if self.state is JobState.DONE:
            lease = attrs.evolve(self.lease, due_at=wish.lease.due_at, attempts=0)
        else:
            due_at = min(self.lease.due_at, wish.lease.due_at)
            attempts = 0 if self.is_failing else self.lease.attempts
            lease = attrs.evolve(self.lease, due_at=due_at, attempts=attempts)
        return attrs.evolve(
            self,
            reason=wish.reason,
            lease=lease,
            requests=self.requests + 1,
            state=JobState.OPEN,
            user_id=self.user_id or wish.user_id,
        )
