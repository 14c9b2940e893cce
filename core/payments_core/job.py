"""What the worker has to do: objects to sync, and events to apply again.

Rule 1: a job is its kind and its subject: asked for twice, it is one job.
Rule 2: who claims a job leases it (`payments_core.lease`). It is finished only if it
        was not asked for again meanwhile, and only by who still has the lease.
Rule 3: a job that fails is tried again, later and later; after the last try it is
        dead, and stays to be seen. One that is requested again is open again.
Rule 4: a finished job stays until retention: its fence never starts anew.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

import attrs

from payments_core.identity import UserId
from payments_core.lease import BackOff, Lease

LEASE: Final = timedelta(seconds=60)
ATTEMPTS_MAX: Final = 12
BACK_OFF: Final = BackOff(timedelta(seconds=5), timedelta(hours=1))
# Why there is a job for a subscription whose next sync is due.
OVERDUE_REASON: Final = "no event came"


class JobKind(StrEnum):
    # Sync a subscription, a customer (their card, and what subscriptions they have),
    # a payment, a card set-up.
    SUBSCRIPTION = "subscription"
    CUSTOMER = "customer"
    PAYMENT = "payment"
    SET_UP = "set_up"
    # Apply an event again that could not be applied.
    EVENT = "event"


class JobState(StrEnum):
    OPEN = "open"
    DONE = "done"
    DEAD = "dead"


@attrs.frozen
class JobKey:
    kind: JobKind
    subject: str


@attrs.frozen(kw_only=True)
class Job:
    """A job as it is kept; `requests` counts how often it was requested.

    `user_id` is whose account it concerns, if known: workers are fair across accounts.
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

    def is_due(self, now: datetime) -> bool:
        return self.state is JobState.OPEN and self.lease.is_due(now)

    def claimed(self, now: datetime) -> Self:
        return attrs.evolve(self, lease=self.lease.claimed(now, LEASE))

    def failed(self, now: datetime, reason: str) -> Self:
        """Give it back after a try that failed; after the last one it is dead."""
        lease = self.lease.failed(now, BACK_OFF)
        dead = lease.attempts >= ATTEMPTS_MAX
        state = JobState.DEAD if dead else JobState.OPEN
        return attrs.evolve(self, reason=reason, lease=lease, state=state)

    def released(self, due_at: datetime) -> Self:
        """Give it back untried, or keep it for another day."""
        return attrs.evolve(self, lease=self.lease.released(due_at))

    def finished(self) -> Self:
        lease = attrs.evolve(self.lease, attempts=0, until=None)
        return attrs.evolve(self, lease=lease, state=JobState.DONE)

    def requeued(self, now: datetime) -> Self:
        """Give it back as it was asked for meanwhile."""
        lease = attrs.evolve(self.lease.released(now), attempts=0)
        return attrs.evolve(self, lease=lease)

    def requested(self, wish: Self) -> Self:
        """Return this job, asked for once more; one that is not open is open again."""
        if self.state is not JobState.OPEN:
            lease = attrs.evolve(self.lease, due_at=wish.lease.due_at, attempts=0)
        else:
            due_at = min(self.lease.due_at, wish.lease.due_at)
            lease = attrs.evolve(self.lease, due_at=due_at)
        return attrs.evolve(
            self,
            reason=wish.reason,
            lease=lease,
            requests=self.requests + 1,
            state=JobState.OPEN,
            user_id=self.user_id or wish.user_id,
        )
