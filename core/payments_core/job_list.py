"""Jobs as people list them: the open ones, a page at a time.

Apart from `payments_core.job`, which everybody imports.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import attrs

from payments_core.job import Job
from payments_core.job_key import JobKey


@attrs.frozen
class JobPlace:
    """Where a job is in a list: by when it is due, then by its kind and subject."""

    due_at: datetime
    key: JobKey

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job.lease.due_at, job.key)

    @property
    def order(self) -> tuple[datetime, str, str]:
        return self.due_at, self.key.kind.value, self.key.subject


@attrs.frozen
class JobPage:
    """Open jobs, the first due first. `after` is where the next page begins."""

    jobs: Sequence[Job]
    after: JobPlace | None = None
