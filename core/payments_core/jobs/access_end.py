"""Tell that access has ended: nobody reports it, time passes.

Rule 1: the job is finished with the row of the log that tells it, or not at all. One
        that is run again finds that it was told.
"""

from datetime import UTC, datetime
from typing import Final

from payments_core.facts import AccessEndDue, SourcedFacts
from payments_core.identity import UserId
from payments_core.job import Job
from payments_core.jobs.sync import JobRun

# Whatever clock it was logged by.
_EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


async def tell_access_end(run: JobRun, job: Job) -> None:
    user = UserId(job.key.subject)
    # First the account: what is logged later makes it another one.
    account = await run.accounts.find(user)
    if account is None:
        await run.record.one(SourcedFacts(job=job))
        return
    logged = await run.history.verdict_at(user, _EVER)
    fact = AccessEndDue(user_id=user, version=account.version, logged=logged)
    await run.record.one(SourcedFacts(facts=(fact,), job=job))
