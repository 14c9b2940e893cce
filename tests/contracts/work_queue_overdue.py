"""What a queue promises: a sync of what is overdue is requested."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    NOON,
    SUB_1,
    a_job,
    a_job_key,
    a_report,
    a_subscription,
    a_term,
    an_account,
)
from contracts.full_values import HOUR
from contracts.ledger_jobs import JOB, asked, claimed, failed_often, finished
from contracts.ledger_races import at_once
from contracts.stores import Stores
from payments_core.job import Job, JobState
from payments_core.job_key import JobKind
from payments_core.now import Now
from payments_core.subscription import (
    A_DAY,
    COLLECTED_AFTER,
    Subscription,
    SubscriptionStatus,
)

MOMENT: Final = timedelta(microseconds=1)
# When a subscription that was never paid is synced first.
SILENT_AT: Final = NOON + COLLECTED_AFTER
# Not the gateway's time: due times are compared with this one.
REAL_TIME: Final = NOON + timedelta(minutes=7)
SILENT_NOW: Final = Now(at=SILENT_AT, system=REAL_TIME)


async def silent_ones(
    stores: Stores, *, at: timedelta = timedelta(), limit: int = 9
) -> int:
    now = attrs.evolve(SILENT_NOW, at=SILENT_AT + at)
    return await stores.queue.request_overdue(now=now, limit=limit)


async def kept(stores: Stores, *subscriptions: Subscription) -> None:
    await stores.keep(subscriptions=subscriptions)


def silent(id_: str, *, owner: str | None = None) -> Subscription:
    return a_subscription(a_report(id_), owner=owner)


class OverdueContract:
    async def test_what_should_have_been_heard_of_is_asked_for(
        self, stores: Stores
    ) -> None:
        """
        From its next sync time on, linked or not: one job each, due at once.
        """
        await stores.keep(
            an_account(), subscriptions=[silent("sub_1"), silent("sub_2", owner=ADA)]
        )

        assert await silent_ones(stores, at=-MOMENT) == 0
        assert not await stores.jobs()
        assert await silent_ones(stores) == 2
        for id_, owner in (("sub_1", None), ("sub_2", ADA)):
            reason = "no event came"
            job = a_job(id_, due_at=REAL_TIME, reason=reason)
            assert await stores.job(job.key) == attrs.evolve(job, user_id=owner)

    @pytest.mark.parametrize(
        "subscription",
        [
            a_subscription(term=a_term()),
            a_subscription(a_report(status=SubscriptionStatus.CANCELED)),
            a_subscription(as_of=SILENT_AT),
        ],
        ids=["paid", "ended", "heard of"],
    )
    async def test_what_may_be_silent_is_not_asked_for(
        self, stores: Stores, subscription: Subscription
    ) -> None:
        """
        While its period is paid, once it has ended, and for a day after a report.
        """
        await kept(stores, subscription)

        assert subscription.next_sync_at != SILENT_AT
        assert await silent_ones(stores, at=A_DAY - MOMENT) == 0

    async def test_what_is_heard_of_is_not_silent_any_more(
        self, stores: Stores
    ) -> None:
        """
        The next sync time is saved with every change of the subscription.
        """
        await kept(stores, silent(SUB_1))
        await kept(
            stores, attrs.evolve(silent(SUB_1), last_paid_period=a_term(), version=1)
        )

        assert await silent_ones(stores) == 0

    async def test_what_is_asked_for_already_is_not_asked_for_again(
        self, stores: Stores
    ) -> None:
        """
        Its job stays as it is, open or claimed; a job of another kind is another job.
        """
        ids = ("sub_open", "sub_claimed", "sub_failing", "sub_other")
        await kept(stores, *map(silent, ids))
        later = NOON + 9_999 * HOUR
        await asked(stores, a_job("sub_failing"))
        await failed_often(stores, await claimed(stores))
        await asked(stores, a_job("sub_claimed"))
        await claimed(stores)
        await asked(
            stores,
            a_job("sub_open", due_at=later),
            a_job("sub_other", JobKind.CUSTOMER, due_at=later),
        )
        before = await stores.jobs()

        assert await silent_ones(stores) == 1
        after = await stores.jobs()
        assert after.keys() - before.keys() == {a_job_key("sub_other")}
        assert {key: after[key] for key in before} == before
        assert await silent_ones(stores) == 0
        # The failing one is not forgotten: it is tried every day.
        due = await stores.queue.claim(now=NOON + 24 * HOUR, limit=99)
        keys = [it.work.key for it in due if isinstance(it.work, Job)]
        assert a_job_key("sub_failing") in keys

    async def test_what_was_looked_at_once_is_asked_for_again(
        self, stores: Stores
    ) -> None:
        """
        A finished job does not count: it is open again, at once, with its fence.
        """
        await kept(stores, silent(SUB_1))
        await asked(stores, a_job())
        await finished(stores, await claimed(stores))

        assert await silent_ones(stores) == 1
        job = await stores.job(JOB)
        assert (job.state, job.requests, job.lease.fence) == (JobState.OPEN, 2, 1)
        assert job.lease.due_at == REAL_TIME

    async def test_no_more_are_asked_for_than_the_limit(self, stores: Stores) -> None:
        """
        The longest overdue first; those that have jobs do not count.
        """
        early = a_subscription(a_report("sub_9", at=NOON - HOUR))
        await kept(stores, *(silent(f"sub_{number}") for number in range(4)), early)

        assert await silent_ones(stores, limit=1) == 1
        assert set(await stores.jobs()) == {a_job_key("sub_9")}
        counts = [await silent_ones(stores, limit=2) for _ in range(3)]
        assert counts == [2, 2, 0]

    async def test_of_twenty_who_ask_for_the_silent_one_makes_the_job(
        self, stores: Stores
    ) -> None:
        """
        Nobody fails, and there is one job that was requested once, whether it is new or
        was done before.
        """
        await kept(stores, silent("sub_1"), silent("sub_2"))
        await asked(stores, a_job("sub_2"))
        await finished(stores, await claimed(stores))
        # Nothing is due yet, but this opens twenty connections.
        await at_once(lambda _: silent_ones(stores, at=-MOMENT))
        counts = await at_once(lambda _: silent_ones(stores))

        assert sum(counts) == 2
        found = {key.subject: it.requests for key, it in (await stores.jobs()).items()}
        assert found == {"sub_1": 1, "sub_2": 2}
