"""Jobs and intents are counted by their result, also if nothing is raised."""

import asyncio
from typing import Any

import pytest

from contracts.examples import a_job, an_intent
from payments_core.changes import Claimed
from payments_core.decide import subscription_job
from payments_core.errors import AccountNotFound, GatewayNotAttempted, StoreUnavailable
from payments_core.intent import IntentKind
from payments_core.job import Job
from payments_core.job_key import JobKind
from payments_service.tallies import BUG, CANCELLED, OK
from payments_service.work_reports import WorkReports
from payments_service.worker import Worker
from support.deployment import Deployment

pytestmark = pytest.mark.anyio

JOB = "job subscription"
INTENT = "intent start_subscription"


def outcomes(reports: WorkReports, kind: str) -> dict[str, int]:
    return dict(reports.calls.of(kind).outcomes)


async def nothing() -> None:
    """Do nothing, successfully."""


@pytest.mark.parametrize("is_once", [True, False])
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (GatewayNotAttempted("too many calls at once"), GatewayNotAttempted.code),
        (ZeroDivisionError(), BUG),
        (StoreUnavailable(), StoreUnavailable.code),
    ],
    ids=["put off", "failed", "without a database"],
)
async def test_a_job_that_is_not_done_is_counted_by_its_reason(
    error: Exception,
    outcome: str,
    is_once: bool,  # noqa: FBT001  # a column
) -> None:
    """
    Its worker continues: only a database that is gone is raised.
    """
    reports = WorkReports()

    async def fail(_: str) -> None:
        worker.stop()
        raise error

    async with Deployment.opened() as deployment:
        key = subscription_job("sub_1")
        due = Job.due(key, "seen", deployment.clock.now)
        deployment.database.tables.jobs[key] = due
        worker = Worker(deployment.run_work, nothing, idle_s=0, reports=reports)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deployment.gateway, "subscription", fail, raising=False)
            if not is_once:
                await worker.run()
            elif isinstance(error, StoreUnavailable):
                with pytest.raises(StoreUnavailable):
                    await worker.once()
            else:
                await worker.once()

    assert outcomes(reports, JOB) == {OK: 0, outcome: 1}
    assert reports.calls.of(JOB).durations.count == 1
    assert reports.calls.of(JOB).durations.total > 0


async def test_an_intent_is_counted_by_its_kind() -> None:
    """
    A failed one raises nothing, either: here there is no account.
    """
    reports = WorkReports()

    async def bug(_: object) -> None:
        raise ZeroDivisionError

    async with Deployment.opened() as deployment:
        work: Any = deployment.run_work
        await reports.run(work, Claimed(an_intent(), 1))
        with pytest.MonkeyPatch.context() as patch:
            execute = type(deployment.run_work.execute)
            patch.setattr(execute, "resume", lambda _, it: bug(it))
            await reports.run(work, Claimed(an_intent(), 1))

    assert outcomes(reports, INTENT) == {OK: 0, AccountNotFound.code: 1, BUG: 1}


async def test_what_is_ended_is_counted_and_ends() -> None:
    """
    The process ends, and another one continues with it.
    """
    reports = WorkReports()

    async def ended(_: Claimed) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await reports.run(ended, Claimed(a_job("sub_1"), 1))

    assert outcomes(reports, JOB) == {OK: 0, CANCELLED: 1}


def test_each_kind_is_there_from_the_start() -> None:
    """
    As traces name it. An alert on growth misses the first increase of a series that did
    not exist.
    """
    kinds = {f"job {it.value}" for it in JobKind}
    kinds |= {f"intent {it.value}" for it in IntentKind}
    calls = WorkReports().calls.calls
    assert set(calls) == kinds
    assert {JOB, INTENT} <= kinds
    assert all(it.outcomes == {OK: 0} for it in calls.values())
