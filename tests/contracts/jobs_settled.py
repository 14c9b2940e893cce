"""What a job is asked for by silence, and what its end means to waiting events."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    NOON,
    SUB_1,
    a_job,
    a_job_key,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
    key_of,
)
from contracts.jobs_kept import asked, read
from contracts.keeping import kept
from contracts.subscriptions_kept import kept_subscriptions
from contracts.taking_turns import at_once
from payments_core.events import EventKey, EventState, GatewayEvent, Outcome
from payments_core.job import JobKey, JobKind
from payments_core.ports import EventLog, OpenUnitOfWork
from payments_core.subscription import (
    A_DAY,
    COLLECTED_AFTER,
    Subscription,
    SubscriptionStatus,
)

MOMENT: Final = timedelta(microseconds=1)
# When a subscription that was never paid is looked at first.
SILENT_AT: Final = NOON + COLLECTED_AFTER
JOB, OTHER_JOB = a_job_key("sub_1"), a_job_key("sub_2")
WAITING: Final = Outcome(EventState.PENDING, "not known yet", JOB)
SET_APART: Final = Outcome(EventState.QUARANTINED, "weil: 漢字")


def silent(id_: str, *, owner: str | None = None) -> Subscription:
    return a_subscription(a_report(id_), owner=owner)


async def silent_ones(
    open_unit_of_work: OpenUnitOfWork, *, at: timedelta = timedelta(), limit: int = 9
) -> int:
    async with open_unit_of_work() as work:
        count = await work.ask_for_silent(now=SILENT_AT + at, limit=limit)
        await work.commit()
        return count


async def outcomes(log: EventLog) -> dict[EventKey, Outcome]:
    return {event.key: event.outcome for event in await log.kept()}


async def received(
    open_unit_of_work: OpenUnitOfWork, **waiting: Outcome
) -> dict[EventKey, Outcome]:
    """Keep an event of each of these ids and outcomes."""
    events: list[tuple[GatewayEvent, Outcome]] = [
        (an_event(id_), outcome) for id_, outcome in waiting.items()
    ]
    async with open_unit_of_work() as work:
        await work.keep(events=events, at=NOON)
        await work.commit()
    return {event.key: outcome for event, outcome in events}


class AskingForSilentContract:
    async def test_what_should_have_been_heard_of_is_asked_for(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        From `look_at` on, linked or not: one job each, due at once.
        """
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(
            open_unit_of_work, silent("sub_1"), silent("sub_2", owner=ADA)
        )

        assert await silent_ones(open_unit_of_work, at=-MOMENT) == 0
        assert await read(open_unit_of_work, a_job_key("sub_1")) is None
        assert await silent_ones(open_unit_of_work) == 2
        for id_ in ("sub_1", "sub_2"):
            job = await read(open_unit_of_work, a_job_key(id_))
            assert job == a_job(id_, due_at=SILENT_AT, reason="nothing was heard of it")

    @pytest.mark.parametrize(
        "subscription",
        [
            a_subscription(term=a_term()),
            a_subscription(a_report(status=SubscriptionStatus.CANCELED)),
            a_subscription(known_until=SILENT_AT),
        ],
        ids=["paid", "ended", "heard of"],
    )
    async def test_what_may_be_silent_is_not_asked_for(
        self, open_unit_of_work: OpenUnitOfWork, subscription: Subscription
    ) -> None:
        """
        While its period is paid, once it has ended, and for a day after a report.
        """
        await kept_subscriptions(open_unit_of_work, subscription)

        assert subscription.look_at != SILENT_AT
        assert await silent_ones(open_unit_of_work, at=A_DAY - MOMENT) == 0

    async def test_what_is_heard_of_is_not_silent_any_more(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        `look_at` is kept with every change of the subscription.
        """
        await kept_subscriptions(open_unit_of_work, silent(SUB_1))
        heard = attrs.evolve(silent(SUB_1), term=a_term(), version=1)
        await kept_subscriptions(open_unit_of_work, heard)

        assert await silent_ones(open_unit_of_work) == 0

    @pytest.mark.parametrize("dead", [False, True])
    async def test_what_is_asked_for_already_is_not_asked_for_again(
        self,
        open_unit_of_work: OpenUnitOfWork,
        dead: bool,  # noqa: FBT001  # a parameter
    ) -> None:
        """
        Its job stays as it is, dead or alive; another kind's is another job.
        """
        await kept_subscriptions(open_unit_of_work, silent("sub_1"), silent("sub_2"))
        job = attrs.evolve(a_job("sub_1"), dead=dead)
        await asked(open_unit_of_work, job, a_job("sub_2", JobKind.CUSTOMER))

        assert await silent_ones(open_unit_of_work) == 1
        assert await read(open_unit_of_work, job.key) == job
        assert await silent_ones(open_unit_of_work) == 0

    async def test_no_more_are_asked_for_than_the_limit(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        The others come next: those that have jobs do not count.
        """
        ones = [silent(f"sub_{number}") for number in range(5)]
        await kept_subscriptions(open_unit_of_work, *ones)

        counts = [await silent_ones(open_unit_of_work, limit=2) for _ in range(4)]
        assert counts == [2, 2, 1, 0]

    async def test_of_twenty_who_ask_for_the_silent_one_makes_the_job(
        self, open_unit_of_work: OpenUnitOfWork
    ) -> None:
        """
        Nobody fails, and it is one job that was asked for once.
        """
        await kept_subscriptions(open_unit_of_work, silent(SUB_1))
        # Nothing is due yet, but twenty connections are there afterwards.
        await at_once(lambda _: silent_ones(open_unit_of_work, at=-MOMENT))
        counts = await at_once(lambda _: silent_ones(open_unit_of_work))

        assert sum(counts) == 1
        job = await read(open_unit_of_work, a_job_key())
        assert job is not None
        assert job.asked == 1


class SettlingContract:
    """`event_log` gives an `EventLog` over the store of `open_unit_of_work`."""

    @pytest.mark.parametrize(
        "outcome", [APPLIED, SET_APART, Outcome(EventState.PENDING, "still", OTHER_JOB)]
    )
    async def test_all_that_waits_for_a_job_gets_its_outcome(
        self, open_unit_of_work: OpenUnitOfWork, event_log: EventLog, outcome: Outcome
    ) -> None:
        """
        Its reason and what it waits for next too; what waits for others waits on.
        """
        before = await received(
            open_unit_of_work,
            evt_1=WAITING,
            evt_2=attrs.evolve(WAITING, reason="ended"),
            evt_3=attrs.evolve(WAITING, waits_for=OTHER_JOB),
            evt_4=attrs.evolve(WAITING, waits_for=JobKey(JobKind.CUSTOMER, "sub_1")),
            evt_5=Outcome(EventState.PENDING, "unreadable"),
        )
        assert await outcomes(event_log) == before
        async with open_unit_of_work() as work:
            await work.settle(waiting_for=JOB, outcome=outcome)
            await work.commit()

        settled = {key_of("evt_1"): outcome, key_of("evt_2"): outcome}
        assert await outcomes(event_log) == before | settled

    @pytest.mark.parametrize("state", [s for s in EventState if s is not s.PENDING])
    async def test_what_is_not_pending_is_not_touched(
        self, open_unit_of_work: OpenUnitOfWork, event_log: EventLog, state: EventState
    ) -> None:
        """
        Whatever it waited for once; neither with its job nor by itself.
        """
        before = await received(open_unit_of_work, evt_1=Outcome(state, "done", JOB))
        async with open_unit_of_work() as work:
            await work.settle(waiting_for=JOB, outcome=SET_APART)
            await work.settle_event(key_of("evt_1"), SET_APART)
            await work.commit()

        assert await outcomes(event_log) == before

    async def test_one_event_is_settled_by_itself(
        self, open_unit_of_work: OpenUnitOfWork, event_log: EventLog
    ) -> None:
        """
        By its id and its type; its twin, and one that is not there, are not.
        """
        twin = an_event("evt_1", type_="charge.failed")
        before = await received(open_unit_of_work, evt_1=WAITING, evt_2=WAITING)
        async with open_unit_of_work() as work:
            await work.keep(events=[(twin, WAITING)], at=NOON)
            await work.settle_event(key_of("evt_1"), SET_APART)
            await work.settle_event(key_of("evt_9"), SET_APART)
            await work.commit()

        assert await outcomes(event_log) == before | {
            key_of("evt_1"): SET_APART,
            twin.key: WAITING,
        }

    async def test_without_commit_nothing_is_settled(
        self, open_unit_of_work: OpenUnitOfWork, event_log: EventLog
    ) -> None:
        """
        What waits goes on waiting.
        """
        before = await received(open_unit_of_work, evt_1=WAITING)
        async with open_unit_of_work() as work:
            await work.settle(waiting_for=JOB, outcome=APPLIED)
            await work.settle_event(key_of("evt_1"), APPLIED)

        assert await outcomes(event_log) == before

    async def test_whose_subscription_an_event_reports_is_told(
        self, open_unit_of_work: OpenUnitOfWork, event_log: EventLog
    ) -> None:
        """
        As linked now; what is nobody's is found among the unlinked.
        """
        await kept(open_unit_of_work, an_account())
        await kept_subscriptions(
            open_unit_of_work,
            a_subscription(a_report("sub_1"), owner=ADA),
            a_subscription(a_report("sub_2")),
        )
        async with open_unit_of_work() as work:
            await work.keep(
                events=[
                    (an_event("evt_1", a_report("sub_1")), APPLIED),
                    (an_event("evt_2", a_term("sub_2")), APPLIED),
                    (an_event("evt_3", a_report("sub_3")), WAITING),
                ],
                at=NOON,
            )
            await work.commit()

        owners = {event.key.id: event.user_id for event in await event_log.kept()}
        assert owners == {"evt_1": ADA, "evt_2": None, "evt_3": None}
        (unlinked,) = await event_log.kept(unlinked=True)
        assert unlinked.key == key_of("evt_2")
