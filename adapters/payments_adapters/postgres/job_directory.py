"""Jobs as last committed: one, or a page of the open ones."""

from datetime import UTC, datetime
from typing import Final

import attrs

from payments_adapters.postgres import statements, work_rows
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import jobs
from payments_core.job import QUICK_ATTEMPTS, Job
from payments_core.job_key import JobKey, JobKind
from payments_core.job_list import JobPage, JobPlace

_COLUMNS: Final = ", ".join(statements.columns(jobs))
_FIND: Final = f"select {_COLUMNS} from jobs where kind = $1 and subject = $2"  # noqa: S608  # our own names
_FAILING: Final = f"not dead and attempts >= {QUICK_ATTEMPTS}"
# Uses the partial indexes on `due_at`; kind and subject order jobs of the same time. A
# filter is added only if it is wanted: for an optional one the planner expects almost
# no rows, and sorts all.
_PAGE: Final = f"""
select {_COLUMNS} from jobs
where kind in ({statements.JOB_KINDS}) and %s
    and due_at >= greatest($1::timestamptz, $5::timestamptz)
    and (due_at, kind, subject) > ($1, $2, $3)
order by due_at, kind, subject limit $4
"""  # noqa: S608  # our own names
_COUNT: Final = f"""
select count(*) from (select from jobs where {_FAILING} limit $1) as failing
"""  # noqa: S608  # our own names
_BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)


@attrs.frozen
class PostgresJobDirectory:
    _store: PostgresStore

    async def find(self, key: JobKey) -> Job | None:
        async with self._store.connection() as connection:
            row = await connection.fetchrow(_FIND, key.kind.value, key.subject)
        return None if row is None else work_rows.to_job(row)

    async def page(
        self,
        *,
        failing: bool = False,
        kind: JobKind | None = None,
        since: datetime | None = None,
        after: JobPlace | None = None,
        limit: int = 100,
    ) -> JobPage:
        wanted = _FAILING if failing else "not dead"
        page = _PAGE % (wanted if kind is None else f"{wanted} and kind = $6")
        place = after.order if after else (_BEGINNING, "", "")
        async with self._store.connection() as connection:
            found = await connection.fetch(
                page, *place, limit + 1, since, *([kind.value] if kind else ())
            )
        listed = [work_rows.to_job(row) for row in found[:limit]]
        return JobPage(listed, JobPlace.of(listed[-1]) if len(found) > limit else None)

    async def count_failing(self, *, limit: int) -> int:
        async with self._store.connection() as connection:
            return int(await connection.fetchval(_COUNT, limit))
