"""Log that access has ended: time passes, and no event reports it.

Rule 1: the job is finished in the same save as the log row, or not at all. A job that
        is run again finds the row.
"""

from datetime import UTC, datetime
from typing import Final

from payments_core.facts import AccessEndDue, SourcedFacts
from payments_core.identity import UserId
from payments_core.job import Job
from payments_core.jobs.sync import JobRun

# Later than any logged time, by either clock.
_EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


async def tell_access_end(run: JobRun, job: Job) -> None:
    user = UserId(job.key.subject)
    # The account first: a later log row comes with another version of it.
    account = await run.accounts.find(user)
    if account is None:
        await run.record.one(SourcedFacts(job=job))
        return
    logged = await run.history.verdict_at(user, _EVER)
    fact = AccessEndDue(user_id=user, version=account.version, logged=logged)
    await run.record.one(SourcedFacts(facts=(fact,), job=job))
