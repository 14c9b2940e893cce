"""Jobs and loops: which are due, which process has them, and what waits."""

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
        """Claim due work, of many accounts before much of one.

        Of a user's open intents only one is claimed at a time: it may need the others.
        Work that another process is claiming now is skipped.
        """

    async def release(self, claimed: Job, after: Job) -> None:
        """Save a job as `after` and release its claim, if the claim still holds.

        A job that was requested meanwhile does not become failing: it is due at once,
        with its quick attempts.
        """

    async def request_overdue(self, *, now: Now, limit: int) -> int:
        """Request syncs of overdue subscriptions.

        A subscription is overdue if `Subscription.next_sync_at` has passed and it has
        no open job. Return how many were requested.
        """

    async def request_ended(self, *, now: Now, limit: int) -> int:
        """Request jobs for users some of whose access has ended by now.

        Atomically, so that none is lost: a requested end exists as a job until the job
        is done, and is no longer listed as an end. Return how many were requested.
        """

    async def linkable(self, *, limit: int) -> Sequence[UserId]:
        """Return users who own something that is still unlinked."""


class JobDirectory(Protocol):
    async def find(self, key: JobKey) -> Job | None:
        """Return a job as last committed, without a lock."""

    async def page(
        self,
        *,
        failing: bool = False,
        kind: JobKind | None = None,
        since: datetime | None = None,
        after: JobPlace | None = None,
        limit: int = 100,
    ) -> JobPage:
        """Return open jobs, first due first; or only the failing ones.

        Failing is `Job.is_failing`. `since` is the earliest due time.
        """

    async def count_failing(self, *, limit: int) -> int:
        """Return how many jobs are failing, at most `limit`."""


class Checkpoints(Protocol):
    """The progress of each loop: one row for each, by its name."""

    async def find(self, name: str) -> LoopCheckpoint | None:
        """Return a loop's row as last committed; None if it was never claimed."""

    async def claim(
        self, name: str, *, now: datetime, lease: timedelta
    ) -> LoopCheckpoint | None:
        """Claim a loop for the time of `lease`, if it is due and unclaimed; else None.

        A new loop is due.
        """

    async def save(self, claimed: LoopCheckpoint) -> bool:
        """Save a loop's progress and its lease, if the claim still holds.

        Say whether it does: its fence is still the latest.
        """


class BacklogReader(Protocol):
    async def read(
        self, *, due_by: datetime, endpoints: Sequence[str], limit: int
    ) -> Backlog:
        """Return the backlog: due jobs, open intents, and endpoints' deliveries.

        Jobs are those due by `due_by`. At most `limit` of each are counted; open
        intents are counted together.
        """
