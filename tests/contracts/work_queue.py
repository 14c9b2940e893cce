"""What a queue promises: claims, releases, and what is asked for by silence."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    BOB,
    CUS_1,
    CUS_2,
    NOON,
    SUB_1,
    a_job,
    a_job_key,
    a_payment,
    a_record,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_intent,
    email_of,
    moments_in,
)
from contracts.full_values import HOUR
from contracts.ledger_jobs import JOB, asked, claimed, died, finished
from contracts.ledger_races import WORKERS_COUNT, at_once
from contracts.stores import SAVED, Stores
from payments_core.changes import Changes, Claimed, SaveResult
from payments_core.identity import CustomerId, UserId
from payments_core.intent import LEASE as INTENT_LEASE
from payments_core.intent import Intent, IntentState
from payments_core.job import LEASE, Job, JobKind, JobState
from payments_core.now import Now
from payments_core.subscription import (
    A_DAY,
    COLLECTED_AFTER,
    Subscription,
    SubscriptionStatus,
)

CUS_9: Final = CustomerId("cus_9")
MOMENT: Final = timedelta(microseconds=1)
# When a subscription that was never paid is looked at first.
SILENT_AT: Final = NOON + COLLECTED_AFTER
# Not the gateway's: what is due is due by it.
REAL_TIME: Final = NOON + timedelta(minutes=7)
SILENT_NOW: Final = Now(at=SILENT_AT, system=REAL_TIME)
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


async def silent_ones(
    stores: Stores, *, at: timedelta = timedelta(), limit: int = 9
) -> int:
    now = attrs.evolve(SILENT_NOW, at=SILENT_AT + at)
    return await stores.queue.request_overdue(now=now, limit=limit)


async def kept(stores: Stores, *subscriptions: Subscription) -> None:
    await stores.keep(subscriptions=subscriptions)


def silent(id_: str, *, owner: str | None = None) -> Subscription:
    return a_subscription(a_report(id_), owner=owner)


class ClaimsContract:
    async def test_a_claimed_job_is_what_is_kept_and_leased(
        self, stores: Stores
    ) -> None:
        """
        With the next fence, until the lease runs out; every moment in UTC.
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
        With the next fence and version, and without the writer before: whoever has it
        from then on is refused what he rests on the version before.
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

    async def test_a_lease_hides_work_until_it_runs_out(self, stores: Stores) -> None:
        """
        From its very end on it is due again, and the fence grows.
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
        And no more of it is claimed than was asked for.
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
        Each account's first before any account's second, however long it is due; a
        job of nobody is its own.
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
        The longest due first: it may need the others. Beside jobs there is room for
        both in one claim.
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
        By a load or by a claim, whoever drew them; each piece of work has its own.
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
        Jobs and intents: all at once, each is claimed by one, and none is lost.
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
        Untried or failed: due when it says, for its reason, and nobody's.
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

    async def test_a_job_that_failed_for_the_last_time_is_dead(
        self, stores: Stores
    ) -> None:
        """
        It stays to be seen, and nobody claims it.
        """
        await asked(stores, a_job())
        await died(stores, await claimed(stores))

        job = await stores.job(JOB)
        assert (job.state, job.reason) == (JobState.DEAD, "it failed")
        assert await names(stores, hours=9_999) == []

    async def test_who_lost_a_job_cannot_give_it_back(self, stores: Stores) -> None:
        """
        It is whose it is now; and what is not there does not come to be.
        """
        await asked(stores, a_job())
        slow = await claimed(stores)
        quick = await claimed(stores, hours=1)
        await stores.queue.release(slow, slow.failed(NOON, "slow"))
        await died(stores, slow)
        gone = a_job("sub_9").claimed(NOON)
        await stores.queue.release(gone, gone.released(NOON))

        assert await stores.jobs() == {JOB: quick}

    async def test_a_job_asked_for_meanwhile_does_not_die(self, stores: Stores) -> None:
        """
        It stays asked for: the finish after the next claim sees nothing new in it.
        """
        await asked(stores, a_job())
        job = await claimed(stores)
        await asked(stores, a_job(reason="again"))
        await died(stores, job)

        kept_ = await stores.job(JOB)
        assert (kept_.state, kept_.requests) == (JobState.OPEN, 2)
        hours = (kept_.lease.due_at - NOON) / HOUR
        again = await claimed(stores, hours=hours)
        await finished(stores, again)
        assert (await stores.job(JOB)).state is JobState.DONE


class OverdueContract:
    async def test_what_should_have_been_heard_of_is_asked_for(
        self, stores: Stores
    ) -> None:
        """
        From `look_at` on, linked or not: one job each, due at once.
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
        `look_at` is kept with every change of the subscription.
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
        Its job stays as it is, open, claimed or dead; another kind's is another job.
        """
        ids = ("sub_open", "sub_claimed", "sub_dead", "sub_other")
        await kept(stores, *map(silent, ids))
        later = NOON + 9_999 * HOUR
        await asked(stores, a_job("sub_dead"))
        await died(stores, await claimed(stores))
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

    async def test_what_was_looked_at_once_is_asked_for_again(
        self, stores: Stores
    ) -> None:
        """
        A finished job is none: it is open again, at once, with its fence.
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
        The longest silent first; those that have jobs do not count.
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
        Nobody fails, and it is one job that was asked for once: new, or done before.
        """
        await kept(stores, silent("sub_1"), silent("sub_2"))
        await asked(stores, a_job("sub_2"))
        await finished(stores, await claimed(stores))
        # Nothing is due yet, but twenty connections are there afterwards.
        await at_once(lambda _: silent_ones(stores, at=-MOMENT))
        counts = await at_once(lambda _: silent_ones(stores))

        assert sum(counts) == 2
        found = {key.subject: it.requests for key, it in (await stores.jobs()).items()}
        assert found == {"sub_1": 1, "sub_2": 2}


class LinkableContract:
    async def test_linkable_are_users_that_came_late(self, stores: Stores) -> None:
        """
        For whom something unlinked carries one of their keys; nobody else.
        """
        await stores.keep(
            an_account("claimed"),
            an_account("customer", customer=CUS_1),
            an_account("mailed"),
            an_account("named"),
            an_account("paid", customer=CUS_2),
            an_account("idle", customer=CUS_9),
            payments=[
                a_record(a_payment("ch_1", email=email_of("mailed"))),
                a_record(a_payment("ch_2", customer=CUS_2)),
                a_record(a_payment("ch_3", user="nobody")),
                a_record(a_payment("ch_4", user="idle"), owner="idle"),
                a_record(a_payment("ch_5", user="named")),
            ],
            subscriptions=[
                a_subscription(
                    a_report("sub_1", user="claimed", customer=CustomerId("x"))
                ),
                a_subscription(a_report("sub_2", customer=CUS_1)),
                a_subscription(a_report("sub_3", customer=CUS_9), owner="idle"),
            ],
        )

        found = await stores.queue.linkable(limit=100)
        assert sorted(found) == ["claimed", "customer", "mailed", "named", "paid"]
        assert len(await stores.queue.linkable(limit=2)) == 2

    async def test_what_nobody_came_for_stands_in_nobodys_way(
        self, stores: Stores
    ) -> None:
        """
        The limit counts who can be linked, however much cannot.
        """
        await stores.keep(
            an_account(customer=CUS_1),
            payments=[a_record(a_payment(f"ch_{n}")) for n in range(5)],
            subscriptions=[
                *(
                    a_subscription(a_report(f"sub_{n}", customer=CustomerId(f"c{n}")))
                    for n in range(5)
                ),
                a_subscription(a_report("sub_9")),
                a_subscription(a_report("sub_99")),
            ],
        )

        assert list(await stores.queue.linkable(limit=1)) == [ADA]
        assert list(await stores.queue.linkable(limit=9)) == [ADA]

    async def test_an_email_links_nothing_that_names_somebody_else(
        self, stores: Stores
    ) -> None:
        """
        Who is named has not come yet; until then there is nothing to be done.
        """
        report = a_payment(user="nobody", email=email_of(ADA))
        await stores.keep(an_account(), payments=[a_record(report)])

        assert not await stores.queue.linkable(limit=100)

    async def test_what_is_in_conflict_is_nobodys(self, stores: Stores) -> None:
        """
        One user is named, the customer is another's: no account may change, so nobody
        is told of it over and over.
        """
        whose: dict[str, Any] = {"user": ADA, "customer": CUS_1}
        await stores.keep(
            an_account(BOB, customer=CUS_1),
            payments=[a_record(a_payment(**whose))],
            subscriptions=[a_subscription(a_report(**whose))],
        )
        assert not await stores.queue.linkable(limit=100)
        await stores.keep(an_account())

        assert not await stores.queue.linkable(limit=100)

    async def test_nobody_is_linkable_where_all_is_linked(self, stores: Stores) -> None:
        """
        Or where nobody has come.
        """
        await stores.keep(
            an_account(),
            subscriptions=[
                a_subscription(a_report("sub_1", user=ADA), owner=ADA),
                a_subscription(a_report("sub_2", user=BOB)),
            ],
        )

        assert not await stores.queue.linkable(limit=100)
