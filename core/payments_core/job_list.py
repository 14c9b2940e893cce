"""Open jobs for operators, page by page.

Separate from `payments_core.job`, which every module imports.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import attrs

from payments_core.job import Job
from payments_core.job_key import JobKey


@attrs.frozen
class JobPlace:
    """The place of a job in a list: by due time, then by kind and subject."""

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
    """Open jobs in the order of due times; `after`: where the next page begins."""

    jobs: Sequence[Job]
    after: JobPlace | None = None
