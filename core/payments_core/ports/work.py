"""Jobs and loops: what is due, who has it, and what waits."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from payments_core.backlog import Backlog
from payments_core.changes import Claimed
from payments_core.checkpoints import LoopCheckpoint
from payments_core.identity import UserId
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.job_list import JobPage, JobPlace
from payments_core.now import Now


class WorkQueue(Protocol):
    """Jobs and intents that are due. A claim is a lease: see `payments_core.lease`."""

    async def claim(self, *, now: datetime, limit: int) -> Sequence[Claimed]:
        """Claim work that is due, of many accounts before much of one.

        Of the open intents of a user one is claimed at a time: it may need the others.
        What another process is claiming at this moment is left out.
        """

    async def release(self, claimed: Job, after: Job) -> None:
        """Give a job back as it is then, if the claim still holds.

        One that was asked for meanwhile does not become a failing one: it is due at
        once, with its quick attempts.
        """

    async def request_overdue(self, *, now: Now, limit: int) -> int:
        """Request syncs of subscriptions that are overdue.

        That is when `Subscription.next_sync_at` has passed and no job for them is open.
        Return how many.
        """

    async def request_ended(self, *, now: Now, limit: int) -> int:
        """Request jobs for users of whom some access ends by now.

        In one moment, so that none is lost: what is requested is a job until it is
        done, and known as an end no more. Return how many.
        """

    async def linkable(self, *, limit: int) -> Sequence[UserId]:
        """Return users for whom something unlinked is there, although it is theirs."""


class JobDirectory(Protocol):
    async def find(self, key: JobKey) -> Job | None:
        """Return a job as last committed, unlocked."""

    async def page(
        self,
        *,
        failing: bool = False,
        kind: JobKind | None = None,
        since: datetime | None = None,
        after: JobPlace | None = None,
        limit: int = 100,
    ) -> JobPage:
        """Return jobs that are open, the first due first; or of them those that fail.

        That is `Job.is_failing`. `since` is when they are due at the earliest.
        """

    async def count_failing(self, *, limit: int) -> int:
        """Return how many jobs are failing, at most `limit`."""


class Checkpoints(Protocol):
    """How far each loop is: one row each, by its name."""

    async def find(self, name: str) -> LoopCheckpoint | None:
        """Return a loop's row as last committed; None if it never was claimed."""

    async def claim(
        self, name: str, *, now: datetime, lease: timedelta
    ) -> LoopCheckpoint | None:
        """Claim a loop for so long, if it is due and nobody has it; else None.

        One that is new is due.
        """

    async def save(self, claimed: LoopCheckpoint) -> bool:
        """Save how far a loop is, and its lease, if the claim still holds.

        Say whether it does: the fence is still the latest one.
        """


class BacklogReader(Protocol):
    async def read(
        self, *, due_by: datetime, endpoints: Sequence[str], limit: int
    ) -> Backlog:
        """Return what waits, of jobs what is due by then, and for which endpoints.

        Of each no more than `limit` are counted, and of all open intents together.
        """
