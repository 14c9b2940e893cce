"""Run what is due: jobs and open intents, claimed by one loop.

Rule 1: a piece of work is claimed with one statement, run outside of any transaction,
        and finished with what it found only if the claim still holds.
Rule 2: if the gateway was not called or rejected the call, that is not an attempt of
        the job; a failed call is.
Rule 3: work that is dropped is due again when its lease has expired.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.changes import Claimed
from payments_core.errors import (
    INVALID_ID,
    AccountBusy,
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayRefused,
    OperationInProgress,
    PaymentsError,
    StoreUnavailable,
)
from payments_core.events import EventState, Outcome
from payments_core.facts import LinkRequested, SourcedFacts
from payments_core.intent import Intent
from payments_core.job import OVERDUE_REASON, Job
from payments_core.job_key import JobKind
from payments_core.jobs.access_end import tell_access_end
from payments_core.jobs.sync import (
    JobRun,
    apply_event,
    sync_card_setup,
    sync_customer,
    sync_payment,
    sync_subscription,
)
from payments_core.now import Now
from payments_core.ports import (
    AccountDirectory,
    AccountHistory,
    Clock,
    EventLog,
    EventReader,
    IntentDirectory,
    PaymentGateway,
    SystemClock,
    WorkQueue,
)
from payments_core.use_cases.execute_operation import ExecuteOperation
from payments_core.use_cases.record_facts import RecordedState, RecordFacts

JOBS: Final[Mapping[JobKind, Callable[[JobRun, Job], Awaitable[None]]]] = (
    MappingProxyType(
        {
            JobKind.SUBSCRIPTION: sync_subscription,
            JobKind.CUSTOMER: sync_customer,
            JobKind.SET_UP: sync_card_setup,
            JobKind.PAYMENT: sync_payment,
            JobKind.EVENT: apply_event,
            JobKind.ACCESS_END: tell_access_end,
        }
    )
)
# The pause after the gateway was not called or rejected a call.
PAUSE: Final = timedelta(seconds=5)
OVERDUE_MAX: Final = 16
# Many accesses end at the same time, and each job is short.
ENDED_MAX: Final = 100
LINKED_MAX: Final = 100


# What failed: a job, an intent, or the linking of a user's things.
FailedWork = Job | Intent | LinkRequested


def _ignore(_: FailedWork, __: Exception) -> None:
    """Ignore it: no listener was given."""


@attrs.frozen
class RunWork:
    queue: WorkQueue
    record: RecordFacts
    execute: ExecuteOperation
    gateway: PaymentGateway
    clock: Clock
    system_clock: SystemClock
    accounts: AccountDirectory
    intents: IntentDirectory
    events: EventLog
    reader: EventReader
    history: AccountHistory
    on_failure: Callable[[FailedWork, Exception], None] = _ignore

    async def claim(self, limit: int) -> Sequence[Claimed]:
        """Claim work that is due; what is not run is due again after its lease.

        Raises:
            StoreUnavailable: what was claimed is due again after its lease.
        """
        now = Now(at=self.clock(), system=self.system_clock())
        await self.queue.request_overdue(now=now, limit=OVERDUE_MAX)
        await self.queue.request_ended(now=now, limit=ENDED_MAX)
        return await self.queue.claim(now=now.system, limit=limit)

    async def __call__(self, claimed: Claimed) -> Exception | None:
        """Run one claimed piece of work.

        Return the error by which it failed or was released; None if it is done.

        Raises:
            StoreUnavailable: it is due again when its lease has expired.
        """
        if isinstance(claimed.work, Intent):
            return await self._go_on(claimed.work)
        return await self._do(claimed.work, claimed.sequence)

    async def link(self) -> int:
        """Link what is unlinked although its account exists by now.

        Return how many payments and subscriptions were linked.
        """
        users = await self.queue.linkable(limit=LINKED_MAX)
        facts = [LinkRequested(user) for user in users]
        recorded = await self.record([SourcedFacts(facts=(it,)) for it in facts])
        for fact, one in zip(facts, recorded, strict=True):
            # What is busy or refused is retried by the next call.
            if one.failure is not None:
                self.on_failure(fact, one.failure)
        done = {
            it.changes.key: it.changes
            for it in recorded
            if it.state is RecordedState.SAVED and it.changes
        }
        return sum(len(it.payments) + len(it.subscriptions) for it in done.values())

    async def _go_on(self, intent: Intent) -> Exception | None:
        try:
            await self.execute.resume(intent)
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  # one intent's bug is not the others'
            # Its lease expires, and it is due again.
            self.on_failure(intent, error)
            return error
        return None

    async def _do(self, job: Job, sequence: int) -> Exception | None:
        run = JobRun(
            self.gateway,
            self.record,
            self.execute,
            self.accounts,
            self.intents,
            self.events,
            self.reader,
            self.history,
            sequence,
        )
        try:
            await self._finish(run, job)
        except StoreUnavailable:
            raise
        except (GatewayNotAttempted, OperationInProgress, AccountBusy) as error:
            if isinstance(error, GatewayMisconfigured) and error.permission:
                # Only this call is refused, maybe for long: it counts as a failure.
                await self._fail(job, error)
            else:
                again_at = self.system_clock() + PAUSE
                await self.queue.release(job, job.released(again_at))
            return error
        except Exception as error:  # noqa: BLE001  # one job's bug is not the others'
            await self._fail(job, error)
            return error
        return None

    async def _fail(self, job: Job, error: Exception) -> None:
        self.on_failure(job, error)
        failed = job.failed(self.system_clock(), _named(error))
        await self.queue.release(job, failed)

    @staticmethod
    async def _finish(run: JobRun, job: Job) -> None:
        try:
            await JOBS[job.key.kind](run, job)
        except (GatewayObjectMissing, GatewayRefused) as error:
            code = error.refusal_code if isinstance(error, GatewayRefused) else None
            # An overdue sync would be requested again at once: it counts as a failure.
            if code not in {None, INVALID_ID} or job.reason == OVERDUE_REASON:
                raise
            missing = str(error)
        else:
            return
        # Events that wait for an object that the gateway does not have, or for an id
        # that it rejects, will never be applied.
        outcome = Outcome(EventState.QUARANTINED, missing)
        await run.record.one(SourcedFacts(job=job, job_outcome=outcome))


def _named(error: Exception) -> str:
    # Our own messages have only ids and reasons; others may quote any data.
    return str(error) if isinstance(error, PaymentsError) else type(error).__name__
