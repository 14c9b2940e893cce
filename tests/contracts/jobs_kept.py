"""What one transaction promises of jobs: asked for, leased, finished, in turn."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    NOON,
    SUB_1,
    SUB_2,
    a_job,
    a_job_key,
    moments_in,
)
from contracts.taking_turns import WORKERS_COUNT, at_once
from payments_core.job import ATTEMPTS_MAX, LEASE, Job, JobKey, JobKind
from payments_core.ports import OpenUnitOfWork

HOUR: Final = timedelta(hours=1)
A_YEAR: Final = timedelta(days=365)
FULL_JOB: Final = Job(
    key=JobKey(JobKind.EVENT, "evt_1 charge.succeeded ü 漢字"),
    reason="weil: 🧾",
    due_at=NOON + 1 * HOUR,
    asked=2**40,
    attempts=11,
    lease_no=2**40,
    leased_until=NOON + 2 * HOUR,
    dead=True,
)
VARIANTS: Final = {
    "new": a_job(),
    "full": FULL_JOB,
    "not leased": attrs.evolve(FULL_JOB, leased_until=None),
    "alive": attrs.evolve(FULL_JOB, dead=False),
    **{kind.value: a_job("a subject", kind) for kind in JobKind},
}


async def asked(open_unit_of_work: OpenUnitOfWork, *jobs: Job) -> None:
    async with open_unit_of_work() as work:
        await work.ask(jobs)
        await work.commit()


async def read(open_unit_of_work: OpenUnitOfWork, key: JobKey) -> Job | None:
    async with open_unit_of_work() as work:
        return await work.job(key)


async def saved(open_unit_of_work: OpenUnitOfWork, job: Job) -> None:
    """Save a job in place of the one that is there."""
    async with open_unit_of_work() as work:
        assert await work.job(job.key)
        await work.save_job(job)
        await work.commit()


class JobsKeptContract:
    @pytest.mark.parametrize("name", VARIANTS)
    async def test_a_job_comes_back_exactly(
        self, open_unit_of_work: OpenUnitOfWork, name: str
    ) -> None:
        """
        As it was asked for, and as it was saved; every moment in UTC.
        """
        job = VARIANTS[name]
        await asked(open_unit_of_work, job)
        after = await read(open_unit_of_work, job.key)
        assert after == job
        assert {it.utcoffset() for it in moments_in(after)} == {timedelta(0)}

        other = attrs.evolve(FULL_JOB, key=job.key)
        await saved(open_unit_of_work, other)
        assert await read(open_unit_of_work, job.key) == other

    async def test_a_job_asked_for_twice_is_one_job(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        At the earlier moment, for the later reason, counted; its lease stays.
        """
        known = attrs.evolve(FULL_JOB, dead=False)
        await asked(open_unit_of_work, known)
        for by in (-1, 1):
            before = await read(open_unit_of_work, known.key)
            wish = Job(key=known.key, reason=f"{by}", due_at=NOON + by * HOUR)
            await asked(open_unit_of_work, wish)
            assert before is not None
            after = await read(open_unit_of_work, known.key)
            assert after == before.asked_once_more(wish)

    async def test_jobs_asked_for_at_once_are_each_asked_for(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Of one subject and several kinds, or one of them twice: nothing is asked
        of nobody.
        """
        jobs = [a_job(SUB_1, kind) for kind in JobKind]
        await asked(open_unit_of_work, *jobs, jobs[0])
        await asked(open_unit_of_work)

        async with open_unit_of_work() as work:
            found = await work.due_jobs(now=NOON, limit=99)
        assert {it.key.kind: it.asked for it in found} == {
            kind: 2 if kind is jobs[0].key.kind else 1 for kind in JobKind
        }

    async def test_a_dead_job_comes_alive_when_it_is_asked_for(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        With all its tries before it; nobody is handed it while it is dead.
        """
        dead = attrs.evolve(a_job(), dead=True, attempts=ATTEMPTS_MAX)
        await asked(open_unit_of_work, dead)
        async with open_unit_of_work() as work:
            assert not await work.due_jobs(now=NOON + A_YEAR, limit=9)
        await asked(open_unit_of_work, a_job())

        risen = attrs.evolve(a_job(), asked=2)
        assert await read(open_unit_of_work, dead.key) == risen

    async def test_a_lease_hides_a_job_until_it_ends(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        From its very end on it is due again, and whoever has it loses it.
        """
        await asked(open_unit_of_work, a_job())
        leased = a_job().leased(NOON)
        await saved(open_unit_of_work, leased)

        async with open_unit_of_work() as work:
            moment = timedelta(microseconds=1)
            assert not await work.due_jobs(now=NOON + LEASE - moment, limit=9)
            assert list(await work.due_jobs(now=NOON + LEASE, limit=9)) == [leased]

    async def test_due_jobs_come_the_longest_due_first(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        From their very moment on, and no more than were asked for.
        """
        due = {"a": 3, "b": 1, "c": 2, "d": 1, "later": -1, "now": 0}
        await asked(
            open_unit_of_work,
            *(a_job(it, due_at=NOON - hours * HOUR) for it, hours in due.items()),
        )

        async with open_unit_of_work() as work:
            found = await work.due_jobs(now=NOON, limit=9)
            two = await work.due_jobs(now=NOON, limit=2)
        assert [it.key.subject for it in found] == ["a", "c", "b", "d", "now"]
        assert [it.key.subject for it in two] == ["a", "c"]

    async def test_a_finished_job_is_gone(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Alone; asked for again, it is a new one.
        """
        await asked(open_unit_of_work, FULL_JOB, a_job())
        async with open_unit_of_work() as work:
            job = await work.job(FULL_JOB.key)
            assert job is not None
            await work.finish_job(job)
            await work.commit()

        assert await read(open_unit_of_work, FULL_JOB.key) is None
        assert await read(open_unit_of_work, a_job_key()) == a_job()
        new = Job(key=FULL_JOB.key, reason="again", due_at=NOON)
        await asked(open_unit_of_work, new)
        assert await read(open_unit_of_work, FULL_JOB.key) == new

    async def test_without_commit_no_job_changed(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Neither asked for, nor saved, nor finished.
        """
        await asked(open_unit_of_work, a_job())
        async with open_unit_of_work() as work:
            await work.ask([a_job(), a_job(SUB_2)])
        async with open_unit_of_work() as work:
            await work.save_job(a_job().leased(NOON))
        async with open_unit_of_work() as work:
            await work.finish_job(a_job())

        assert await read(open_unit_of_work, a_job_key()) == a_job()
        assert await read(open_unit_of_work, a_job_key(SUB_2)) is None

    async def test_p33_of_twenty_who_take_jobs_each_gets_another(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Taken and leased in one transaction: no lease is given twice.
        """
        ids = [f"sub_{number}" for number in range(WORKERS_COUNT)]
        await asked(open_unit_of_work, *map(a_job, ids))

        async def take(_: int) -> list[str]:
            async with open_unit_of_work() as work:
                due = await work.due_jobs(now=NOON, limit=1)
                for job in due:
                    await work.save_job(job.leased(NOON))
                await work.commit()
                return [job.key.subject for job in due]

        taken = [id_ for some in await at_once(take) for id_ in some]
        assert len(set(taken)) == len(taken)
        async with open_unit_of_work() as work:
            rest = await work.due_jobs(now=NOON, limit=WORKERS_COUNT)
        assert sorted([*taken, *(it.key.subject for it in rest)]) == sorted(ids)

    async def test_twenty_who_ask_for_one_job_are_all_counted(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Whoever does it sees that it was asked for meanwhile.
        """
        await at_once(lambda _: asked(open_unit_of_work, a_job(), a_job(SUB_2)))

        for subject in (SUB_1, SUB_2):
            job = await read(open_unit_of_work, a_job_key(subject))
            assert job == attrs.evolve(a_job(subject), asked=WORKERS_COUNT)

    async def test_p33_twenty_who_lease_one_job_get_twenty_numbers(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Reading a job locks it, so the greatest number is the last that was given.
        """
        await asked(open_unit_of_work, a_job())

        async def lease(_: int) -> int:
            async with open_unit_of_work() as work:
                job = await work.job(a_job_key())
                assert job is not None
                await work.save_job(job.leased(NOON))
                await work.commit()
                return job.lease_no

        assert sorted(await at_once(lease)) == list(range(WORKERS_COUNT))
