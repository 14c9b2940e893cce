"""What every reader of the backlog promises: how much waits, and since when."""

from datetime import datetime, timedelta
from typing import Final

import attrs

from contracts.deliveries import (
    CRM,
    NOT_NOW,
    begun,
    claim,
    logged,
    numbered,
)
from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    NOON,
    a_job,
    a_payment,
    a_record,
    an_account,
    an_event,
    an_intent,
)
from contracts.full_values import HOUR
from contracts.ledger_jobs import WAITING, finished
from contracts.stores import Stores
from payments_core.backlog import NOTHING, Backlog, EndpointWaiting, Waiting
from payments_core.intent import IntentState
from payments_core.job import Job
from payments_core.payment import PaymentId

ALL: Final = 1_000
SECOND: Final = timedelta(seconds=1)
EMPTY: Final = Backlog(
    pending_since=None,
    due_jobs=NOTHING,
    unlinked_payments=0,
    intents={
        IntentState.NEW: NOTHING,
        IntentState.SENT: NOTHING,
        IntentState.UNKNOWN: NOTHING,
    },
    unnumbered_since=None,
    endpoints={},
)


async def read(stores: Stores, *, due_by: datetime = NOON, limit: int = ALL) -> Backlog:
    return await stores.backlog.read(due_by=due_by, endpoints=[CRM], limit=limit)


class BacklogContract:
    async def test_in_an_empty_store_nothing_waits(self, stores: Stores) -> None:
        """
        Each state of an open intent is reported all the same.
        """
        assert await read(stores) == EMPTY

    async def test_the_event_that_is_pending_for_longest_is_told(
        self, stores: Stores
    ) -> None:
        """
        The oldest by time of receipt; applied events do not count.
        """
        await stores.keep(events=[(an_event("evt_1"), APPLIED)])
        assert (await read(stores)).pending_since is None
        await stores.keep(events=[(an_event("evt_3"), WAITING)], seconds=9)
        await stores.keep(events=[(an_event("evt_2"), WAITING)], seconds=5)

        assert (await read(stores)).pending_since == NOON + 5 * SECOND

    async def test_jobs_are_told_that_are_due_and_not_worked_on(
        self, stores: Stores
    ) -> None:
        """
        A job that is due later, claimed or done does not count.
        """
        jobs = [
            a_job(f"sub_{number}", due_at=NOON + number * HOUR) for number in (1, 2, 9)
        ]
        await stores.keep(jobs=jobs)
        now = NOON + 3 * HOUR

        assert (await read(stores, due_by=now)).due_jobs == Waiting(2, NOON + HOUR)
        assert (await read(stores, due_by=now, limit=1)).due_jobs.count == 1
        mine, _ = await stores.queue.claim(now=now, limit=2)
        assert (await read(stores, due_by=now)).due_jobs == NOTHING
        assert isinstance(mine.work, Job)
        await finished(stores, mine.work)
        later = now + 8 * HOUR
        assert (await read(stores, due_by=later)).due_jobs == Waiting(
            2, NOON + 2 * HOUR
        )

    async def test_payments_are_counted_that_are_nobodys(self, stores: Stores) -> None:
        """
        A payment that has an owner, or that a person unlinked, does not count.
        """
        records = [
            a_record(attrs.evolve(a_payment(), id=PaymentId(f"ch_{number}")))
            for number in range(4)
        ]
        records[2] = attrs.evolve(records[2], linked_by_hand=True)
        await stores.keep(an_account(ADA), payments=records[:3])
        await stores.keep(payments=[attrs.evolve(records[3], user_id=ADA)])

        assert (await read(stores)).unlinked_payments == 2
        assert (await read(stores, limit=1)).unlinked_payments == 1

    async def test_open_intents_are_told_by_their_state(self, stores: Stores) -> None:
        """
        Each state with the time at which its oldest intent began; ended intents do not
        count.
        """
        states = {
            "int_1": IntentState.SENT,
            "int_2": IntentState.UNKNOWN,
            "int_3": IntentState.UNKNOWN,
            "int_4": IntentState.SUCCEEDED,
        }
        intents = [
            attrs.evolve(
                an_intent(id_, state, subject=f"prod_{id_}"),
                created_at=NOON - number * HOUR,
            )
            for number, (id_, state) in enumerate(states.items())
        ]
        await stores.keep(an_account(ADA), intents=intents)

        assert (await read(stores)).intents == {
            IntentState.NEW: NOTHING,
            IntentState.SENT: Waiting(1, NOON),
            IntentState.UNKNOWN: Waiting(2, NOON - 2 * HOUR),
        }
        counts = [it.count for it in (await read(stores, limit=2)).intents.values()]
        assert sum(counts) == 2

    async def test_a_change_waits_until_it_has_a_position(self, stores: Stores) -> None:
        """
        The feed does not show the change before.
        """
        await logged(stores, ADA, BOB, seconds=3)
        assert (await read(stores)).unnumbered_since == NOON + 3 * SECOND
        await numbered(stores)
        assert (await read(stores)).unnumbered_since is None

    async def test_a_change_waits_until_its_endpoint_has_it(
        self, stores: Stores
    ) -> None:
        """
        It waits whether or not it was taken over into a delivery. A dead delivery does
        not wait, but is counted.
        """
        await begun(stores, ADA, BOB)
        await logged(stores, ADA, seconds=7)
        await numbered(stores)
        expected = EndpointWaiting(since=NOON, dead=0)
        assert (await read(stores)).endpoints == {CRM: expected}
        # The cursor of an endpoint that is no longer configured remains, and counts for
        # nothing.
        others = await stores.backlog.read(due_by=NOON, endpoints=["new"], limit=ALL)
        assert others.endpoints == {}

        first, second = await claim(stores)
        assert await stores.deliveries.finish(first)
        expected = EndpointWaiting(since=NOON + SECOND, dead=0)
        assert (await read(stores)).endpoints == {CRM: expected}

        dead = attrs.evolve(second.failed(NOON, NOT_NOW, 0.5), dead=True)
        assert await stores.deliveries.release(second, dead)
        expected = EndpointWaiting(since=NOON + 7 * SECOND, dead=1)
        assert (await read(stores)).endpoints == {CRM: expected}
