"""What the worker has to do: things to look up, and events to take up again.

Rule 1: a job is its kind and its subject: asked for twice, it is one job.
Rule 2: whoever takes a job leases it. It is done only if it was not asked for again
        meanwhile, and only by whoever still has the lease.
Rule 3: a job that fails is tried again, later and later; after the last try it is
        dead, and stays to be seen.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

import attrs

LEASE: Final = timedelta(seconds=60)
ATTEMPTS_MAX: Final = 12
BACK_OFF_FIRST: Final = timedelta(seconds=5)
BACK_OFF_MAX: Final = timedelta(hours=1)


class JobKind(StrEnum):
    # Look up a subscription, a customer (their card, and what subscriptions they have),
    # a payment, a card set-up.
    SUBSCRIPTION = "subscription"
    CUSTOMER = "customer"
    PAYMENT = "payment"
    SET_UP = "set_up"
    # Apply an event again that could not be applied.
    EVENT = "event"


@attrs.frozen
class JobKey:
    kind: JobKind
    subject: str


@attrs.frozen(kw_only=True)
class Job:
    """A job as it is kept; `asked` counts how often it was asked for."""

    key: JobKey
    reason: str
    due_at: datetime
    asked: int = 1
    attempts: int = 0
    # Grows with each lease: whoever has an older number has lost the job.
    lease_no: int = 0
    leased_until: datetime | None = None
    dead: bool = False

    def is_due(self, now: datetime) -> bool:
        leased = self.leased_until is not None and self.leased_until > now
        return not self.dead and self.due_at <= now and not leased

    def leased(self, now: datetime) -> Self:
        return attrs.evolve(self, lease_no=self.lease_no + 1, leased_until=now + LEASE)

    def failed(self, now: datetime, reason: str) -> Self:
        """Put it off after a try that failed; after the last one it is dead."""
        attempts = self.attempts + 1
        doublings = min(self.attempts, ATTEMPTS_MAX)
        return attrs.evolve(
            self,
            attempts=attempts,
            reason=reason,
            due_at=now + min(BACK_OFF_FIRST * 2**doublings, BACK_OFF_MAX),
            leased_until=None,
            dead=attempts >= ATTEMPTS_MAX,
        )

    def put_off(self, until: datetime) -> Self:
        """Give it back untried: the world is not there, which is not its fault."""
        return attrs.evolve(self, due_at=until, leased_until=None)

    def again(self, now: datetime) -> Self:
        """Give it back as it was asked for meanwhile."""
        return attrs.evolve(self, due_at=now, attempts=0, leased_until=None)

    def asked_once_more(self, wish: Self) -> Self:
        """Return this job, asked for once more; a dead one is alive again."""
        return attrs.evolve(
            self,
            reason=wish.reason,
            due_at=min(self.due_at, wish.due_at),
            asked=self.asked + 1,
            attempts=0 if self.dead else self.attempts,
            dead=False,
        )
