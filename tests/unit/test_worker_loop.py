"""The worker's loop: a failure in it is reported, and ends nothing."""

import asyncio
from collections.abc import Callable, Iterator

import asyncpg
import pytest
import structlog

from payments_core.decide import subscription_job
from payments_core.errors import StoreUnavailable
from payments_core.job import Job
from payments_service.worker import Worker
from support.deployment import Deployment

pytestmark = pytest.mark.anyio

FAILURES = (
    # The answer of a pooler without support for prepared statements.
    asyncpg.InvalidSQLStatementNameError("prepared statement does not exist"),
    asyncpg.DuplicatePreparedStatementError("prepared statement already exists"),
    asyncpg.UndefinedTableError("no such table"),
    StoreUnavailable(),
    TimeoutError(),
    KeyError("a bug"),
    ExceptionGroup("several", [ValueError("a bug")]),
)


@pytest.mark.parametrize("chore", ["link", "prepare"])
async def test_a_chore_that_fails_never_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch, chore: str
) -> None:
    """
    Whatever the failure, it is reported, and the chore is done again the next time.
    """
    for name in ("LINK_EVERY_S", "PREPARE_EVERY_S"):
        monkeypatch.setattr(f"payments_service.worker.{name}", 0.0)
    failures: Iterator[Exception] = iter(FAILURES)

    async def fail() -> None:
        for failure in failures:
            raise failure
        worker.stop()

    async def do() -> None:
        """Do nothing, successfully."""

    async with Deployment.opened() as deployment:
        work = deployment.run_work
        if chore == "link":
            monkeypatch.setattr(type(work), "link", lambda _: fail())
        worker = Worker(work, fail if chore == "prepare" else do, idle_s=0)
        with structlog.testing.capture_logs() as lines:
            await worker.run()

    assert list(failures) == []
    told = [it["event"] for it in lines]
    assert told.count("worker failed") == len(FAILURES) - 1
    assert told.count("no database") == 1


async def test_work_that_cannot_even_be_given_back_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Its lease ends, and it is due again; the worker continues.
    """

    async def fail(_: object, __: object) -> None:
        worker.stop()
        raise KeyError("a bug")

    async def do() -> None:
        """Do nothing, successfully."""

    async with Deployment.opened() as deployment:
        work = deployment.run_work
        key, now = subscription_job("sub_1"), deployment.clock.now
        deployment.database.tables.jobs[key] = Job.due(key, "seen", now)
        monkeypatch.setattr(type(work), "__call__", fail)
        worker = Worker(work, do, idle_s=0)
        with structlog.testing.capture_logs() as lines:
            await worker.run()

    assert [it["event"] for it in lines] == ["work failed"]


async def do() -> None:
    """Do nothing, successfully."""


async def test_back_fill_begins_at_once_and_holds_up_no_job() -> None:
    """
    It continues while there is more, and is asked to end between its pages.
    """
    turns, was_asked = list[int](), asyncio.Event()

    async def turn(stopping: Callable[[], bool]) -> bool:
        turns.append(len(turns))
        if len(turns) < 3:
            return True
        # In the middle of a long turn the jobs continue.
        key, now = subscription_job("sub_1"), deployment.clock.now
        deployment.database.tables.jobs[key] = Job.due(key, "seen", now)
        while not stopping():
            await asyncio.sleep(0)
            if deployment.database.tables.jobs[key].lease.fence:
                worker.stop()
        was_asked.set()
        return False

    async with Deployment.opened() as deployment:
        worker = Worker(deployment.run_work, do, idle_s=0, loops={"back-fill": turn})
        await worker.run()

    assert turns == [0, 1, 2]
    assert was_asked.is_set()


async def test_back_fill_that_fails_never_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Whatever the failure, it is reported, and a later turn is taken. A database that
    does not answer is reported by the loops that use it more often.
    """
    for name in ("LOOP_POLL_S", "LOOP_WAIT_MAX_S", "IDLE_MAX_S"):
        monkeypatch.setattr(f"payments_service.worker.{name}", 0.0)
    failures: Iterator[Exception] = iter(FAILURES)

    async def turn(_: Callable[[], bool]) -> bool:
        for failure in failures:
            raise failure
        worker.stop()
        return False

    async with Deployment.opened() as deployment:
        worker = Worker(deployment.run_work, do, idle_s=0, loops={"back-fill": turn})
        with structlog.testing.capture_logs() as lines:
            await worker.run()

    told = [it["event"] for it in lines]
    assert told == ["back-fill failed"] * (len(FAILURES) - 1)


async def test_f07_a_turn_that_was_asked_to_end_is_the_last_one() -> None:
    """
    Though there is more: another worker reads on.
    """
    turns = list[bool]()

    async def turn(stopping: Callable[[], bool]) -> bool:
        worker.stop()
        turns.append(stopping())
        await asyncio.sleep(0)
        return True

    async with Deployment.opened() as deployment:
        worker = Worker(deployment.run_work, do, idle_s=0, loops={"back-fill": turn})
        with structlog.testing.capture_logs() as lines:
            await worker.run()

    assert turns == [True]
    assert not lines


async def test_f07_a_turn_that_does_not_end_is_cut_off() -> None:
    """
    Within the time that a worker has to end; its lease ends.
    """

    async def turn(_: Callable[[], bool]) -> bool:
        worker.stop()
        await asyncio.Event().wait()
        return False

    async with Deployment.opened() as deployment:
        worker = Worker(
            deployment.run_work,
            do,
            idle_s=0,
            finish_within_s=0,
            loops={"back-fill": turn},
        )
        with structlog.testing.capture_logs() as lines:
            await worker.run()

    assert [it["event"] for it in lines] == ["work was cut off"]
