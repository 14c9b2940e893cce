"""What a queue promises: which worker claims what, and what is given back."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import attrs

from contracts.examples import (
    ADA,
    BOB,
    NOON,
    SUB_1,
    a_job,
    an_account,
    an_intent,
    moments_in,
)
from contracts.full_values import HOUR
from contracts.ledger_jobs import JOB, asked, claimed, failed_often, finished
from contracts.ledger_races import WORKERS_COUNT, at_once
from contracts.stores import SAVED, Stores
from payments_core.changes import Changes, Claimed, SaveResult
from payments_core.identity import UserId
from payments_core.intent import LEASE as INTENT_LEASE
from payments_core.intent import Intent, IntentState
from payments_core.job import LEASE, Job, JobState

MOMENT: Final = timedelta(microseconds=1)
ENDED: Final = (IntentState.SUCCEEDED, IntentState.REFUSED, IntentState.ABANDONED)


def name_of(claim: Claimed) -> str:
    work = claim.work
    return work.id if isinstance(work, Intent) else work.key.subject


def of_user(subject: str, user: str, *, due_at: float = 0) -> Job:
    job = a_job(subject, due_at=NOON + due_at * HOUR)
    return attrs.evolve(job, user_id=UserId(user))


async def names(
    stores: Stores, *, limit: int = 99, hours: float = 0, apart: Sequence[str] = ()
) -> list[str]:
    found = await stores.queue.claim(now=NOON + hours * HOUR, limit=limit)
    return [name for it in found if (name := name_of(it)) not in apart]


class ClaimsContract:
    async def test_a_claimed_job_is_what_is_kept_and_leased(
        self, stores: Stores
    ) -> None:
        """
        With the next fence, until the lease ends; every time in UTC.
        """
        job = attrs.evolve(a_job("ü 漢字", reason="weil: 🧾"), user_id=ADA)
        await asked(stores, job)
        first = await claimed(stores)
        again = await claimed(stores, hours=1)

        assert first == job.claimed(NOON)
        assert again == first.claimed(NOON + HOUR)
        assert await stores.job(job.key) == again
        assert {it.utcoffset() for it in moments_in(again)} == {timedelta(0)}

    async def test_a_claimed_intent_is_what_is_kept_and_leased(
        self, stores: Stores
    ) -> None:
        """
        With the next fence and version, and without the writer before: a writer that
        rests on the version before is refused from then on.
        """
        intent = attrs.evolve(an_intent(), writer="before")
        await stores.keep(an_account(), intents=[intent])
        (claim,) = await stores.queue.claim(now=NOON, limit=9)

        found = claim.work
        assert isinstance(found, Intent)
        assert found == await stores.intent(intent.id)
        lease = found.lease
        assert (lease.fence, lease.until) == (1, NOON + INTENT_LEASE)
        assert found == attrs.evolve(intent, version=2, writer="", lease=lease)
        late = attrs.evolve(intent, version=1, calls=())
        words = await stores.save(Changes(key="late", intents=(late,)))
        assert words == [SaveResult.CHANGED]
        assert await stores.save(Changes(key="it", intents=(found,))) == [SAVED]

    async def test_f04_a_lease_hides_work_until_it_runs_out(
        self, stores: Stores
    ) -> None:
        """
        From exactly its end on it is due again, and the fence grows.
        """
        await stores.keep(an_account(), intents=[an_intent()], jobs=[a_job()])
        for lease, whose in ((INTENT_LEASE, "int_1"), (LEASE, SUB_1)):
            other = SUB_1 if whose == "int_1" else "int_1"
            start = 99 * HOUR if whose == SUB_1 else timedelta()
            hours = start / HOUR
            assert await names(stores, hours=hours, apart=[other]) == [whose]
            for by, expected in ((-MOMENT, []), (timedelta(), [whose])):
                at = (start + lease + by) / HOUR
                assert await names(stores, hours=at, apart=[other]) == expected
        assert (await stores.job(JOB)).lease.fence > 1
        assert (await stores.intent("int_1")).lease.fence > 1

    async def test_work_is_due_from_its_very_moment_the_longest_due_first(
        self, stores: Stores
    ) -> None:
        """
        And no more of it is claimed than was requested.
        """
        due = {"a": -3, "b": -1, "c": -2, "d": -1, "now": 0, "later": 1}
        await asked(
            stores,
            *(a_job(it, due_at=NOON + hours * HOUR) for it, hours in due.items()),
        )

        assert await names(stores, limit=2) == ["a", "c"]
        assert set(await names(stores, limit=3)) == {"b", "d", "now"}
        assert await names(stores) == []
        assert await names(stores, hours=1, apart=["a", "b", "c", "d", "now"]) == [
            "later"
        ]

    async def test_open_intents_are_claimed_the_longest_due_first(
        self, stores: Stores
    ) -> None:
        """
        Ended ones never.
        """
        due = {"a": -3, "b": -1, "c": -2, "later": 1}
        await stores.keep(
            an_account(),
            *map(an_account, due),
            intents=[
                *(
                    an_intent(it, user=it, due_at=NOON + hours * HOUR)
                    for it, hours in due.items()
                ),
                *(an_intent(it, it, due_at=NOON - 9 * HOUR) for it in ENDED),
            ],
        )

        assert await names(stores, limit=2) == ["a", "c"]
        assert await names(stores) == ["b"]
        assert await names(stores, hours=1, apart=["a", "b", "c"]) == ["later"]

    async def test_many_accounts_come_before_much_of_one(self, stores: Stores) -> None:
        """
        Each account's first job before any account's second, however long it is due; a
        job without an account counts as an account of its own.
        """
        await asked(
            stores,
            *(of_user(f"ada-{it}", ADA, due_at=it - 20) for it in range(9)),
            of_user("bob-1", BOB, due_at=-2),
            of_user("bob-2", BOB, due_at=-1),
            a_job("nobody-1"),
            a_job("nobody-2"),
        )

        first = await names(stores, limit=4)
        assert set(first) == {"ada-0", "bob-1", "nobody-1", "nobody-2"}
        assert set(await names(stores, limit=2)) == {"ada-1", "bob-2"}
        assert set(await names(stores)) == {f"ada-{it}" for it in range(2, 9)}

    async def test_intents_of_a_user_are_claimed_one_at_a_time(
        self, stores: Stores
    ) -> None:
        """
        The longest due first, because the next may depend on it. One claim has room for
        both jobs and intents.
        """
        await stores.keep(
            an_account(),
            an_account(BOB),
            intents=[
                *(
                    an_intent(f"ada-{it}", subject=f"{it}", due_at=NOON - 9 * HOUR)
                    for it in range(2)
                ),
                an_intent("bob", user=BOB),
            ],
            jobs=[a_job()],
        )

        assert set(await names(stores, limit=2)) == {"ada-0", "bob"}
        assert set(await names(stores)) == {"ada-1", SUB_1}

    async def test_numbers_are_greater_than_all_that_were_drawn_before(
        self, stores: Stores
    ) -> None:
        """
        By a load or by a claim, whichever process drew them; each piece of work has its
        own.
        """
        await stores.keep(an_account(), intents=[an_intent()])
        await asked(stores, *(a_job(f"sub_{it}") for it in range(3)))
        drawn = []
        for limit in (1, 2, 9):
            drawn.append((await stores.load()).sequence)
            found = await stores.queue.claim(now=NOON, limit=limit)
            drawn += sorted(it.sequence for it in found)
            drawn.append((await stores.load(histories=frozenset({ADA}))).sequence)

        assert len(drawn) == 10
        assert drawn == sorted(set(drawn))
        assert drawn[0] > 0

    async def test_p33_of_twenty_who_claim_none_gets_what_another_has(
        self, stores: Stores
    ) -> None:
        """
        Jobs and intents: each is claimed by exactly one of concurrent claims, and none
        is lost.
        """
        jobs = [f"sub_{number}" for number in range(WORKERS_COUNT)]
        ids = [f"int_{number}" for number in range(WORKERS_COUNT)]
        await stores.keep(
            *map(an_account, ids), intents=[an_intent(it, user=it) for it in ids]
        )
        await asked(stores, *map(a_job, jobs))

        got = await at_once(lambda _: names(stores, limit=2))
        taken = [name for some in got for name in some]
        rest = await names(stores)
        assert sorted([*taken, *rest]) == sorted([*jobs, *ids])
        assert {it.lease.fence for it in (await stores.jobs()).values()} == {1}


class ReleasesContract:
    async def test_a_job_that_is_given_back_is_as_it_was_told(
        self, stores: Stores
    ) -> None:
        """
        Untried or failed, it is due at the given time, for its reason, without a lease.
        """
        await asked(stores, attrs.evolve(a_job(), user_id=ADA))
        job = await claimed(stores)
        failed = job.failed(NOON, "weil: 🧾")
        await stores.queue.release(job, failed)
        assert await stores.job(JOB) == failed
        job = await claimed(stores, hours=1)
        untried = job.released(NOON + 2 * HOUR)
        await stores.queue.release(job, untried)

        assert await stores.job(JOB) == untried
        assert (untried.lease.attempts, untried.lease.fence) == (1, 2)
        assert await names(stores, hours=2) == [SUB_1]

    async def test_f47_a_job_whose_quick_attempts_failed_is_tried_once_a_day(
        self, stores: Stores
    ) -> None:
        """
        For as long as it fails; nothing gives it up.
        """
        await asked(stores, a_job())
        await failed_often(stores, await claimed(stores))
        for days in (1, 2, 3):
            assert await names(stores, hours=24 * days - 1) == []
            job = await claimed(stores, hours=24 * days)
            assert (job.is_failing, job.reason) == (True, "it failed")
            now = NOON + 24 * days * HOUR
            await stores.queue.release(job, job.failed(now, "it failed"))

    async def test_f47_a_failing_job_that_is_asked_for_is_due_at_once(
        self, stores: Stores
    ) -> None:
        """
        With all its quick attempts.
        """
        await asked(stores, a_job())
        await failed_often(stores, await claimed(stores))
        before = await stores.job(JOB)
        wish = a_job(reason="again")
        await asked(stores, wish)

        job = await stores.job(JOB)
        assert job == before.requested(wish)
        assert (job.lease.attempts, job.lease.due_at) == (0, NOON)

    async def test_who_lost_a_job_cannot_give_it_back(self, stores: Stores) -> None:
        """
        The job stays with its present holder; a job that does not exist is not created.
        """
        await asked(stores, a_job())
        slow = await claimed(stores)
        quick = await claimed(stores, hours=1)
        await stores.queue.release(slow, slow.failed(NOON, "slow"))
        await failed_often(stores, slow)
        gone = a_job("sub_9").claimed(NOON)
        await stores.queue.release(gone, gone.released(NOON))

        assert await stores.jobs() == {JOB: quick}

    async def test_a_job_that_is_done_cannot_be_given_back(
        self, stores: Stores
    ) -> None:
        """
        A worker that lost the reply to its finish would do the job again.
        """
        await asked(stores, a_job())
        job = await claimed(stores)
        await finished(stores, job)
        before = await stores.job(JOB)
        await stores.queue.release(job, job.released(NOON))

        assert before.state is JobState.DONE
        assert await stores.job(JOB) == before

    async def test_a_job_asked_for_meanwhile_has_its_quick_attempts(
        self, stores: Stores
    ) -> None:
        """
        It stays requested: the finish after the next claim finds no newer request.
        """
        await asked(stores, a_job())
        job = await claimed(stores)
        await asked(stores, a_job(reason="again"))
        await failed_often(stores, job)

        kept_ = await stores.job(JOB)
        assert (kept_.is_failing, kept_.lease.attempts) == (False, 0)
        assert (kept_.requests, kept_.reason) == (2, "it failed")
        again = await claimed(stores)
        await finished(stores, again)
        assert (await stores.job(JOB)).state is JobState.DONE
