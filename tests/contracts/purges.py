"""What every purge promises: what is old and settled is deleted, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    NOON,
    a_job,
    a_token,
    an_account,
    an_event,
    an_intent,
)
from contracts.ledger_jobs import JOB, OTHER_JOB, asked, claimed, finished, waited
from contracts.revocation_log import polled, revoked
from contracts.stores import SAVED, Stores, first_page
from contracts.token_store import revocation_of
from payments_core.changes import Changes
from payments_core.events import EventState, Outcome
from payments_core.intent import IntentState
from payments_core.job import JobState
from payments_core.retention import PurgeKind
from payments_core.tokens import TOKEN_AGE_MAX, UserTokenRevocation

MOMENT: Final = timedelta(microseconds=1)
DAY: Final = timedelta(days=1)
FAR_AHEAD: Final = datetime(9000, 1, 1, tzinfo=UTC)
QUARANTINED: Final = Outcome(EventState.QUARANTINED)
BODIES: Final = (PurgeKind.BODY_DAYS, PurgeKind.BODIES)
OUTCOMES: Final = {it.value: Outcome(it) for it in EventState}


async def purged(
    stores: Stores, *kinds: PurgeKind, before: datetime = NOON + MOMENT, limit: int = 99
) -> list[int]:
    """Purge each kind until nothing is left; return the size of each batch."""
    counts = list[int]()
    for kind in kinds:
        while count := await stores.purges.purge(kind, before, limit=limit):
            counts.append(count)
    return counts


async def kept_ids(stores: Stores) -> set[str]:
    return {it.key.id for it in await first_page(stores.events)}


async def bodies(stores: Stores) -> dict[str, bytes | None]:
    found = dict[str, bytes | None]()
    for id_ in await kept_ids(stores):
        (event,) = await stores.events.find(id_)
        found[id_] = event.body
    return found


class PurgesContract:
    async def test_nothing_is_purged_of_nothing(self, stores: Stores) -> None:
        """
        An empty database has nothing to delete, of any kind.
        """
        for kind in PurgeKind:
            assert await stores.purges.count(kind, NOON, limit=9) == 0
            assert await stores.purges.purge(kind, NOON, limit=9) == 0

    async def test_t27_an_old_body_goes_unless_its_event_is_not_settled(
        self, stores: Stores
    ) -> None:
        """
        Its event stays as it was; a recent event keeps its body.
        """
        events = [(an_event(name, body=b"x"), it) for name, it in OUTCOMES.items()]
        await stores.keep(events=events)
        young = an_event("young", body=b"y")
        await stores.keep(events=[(young, APPLIED)], seconds=2 * 86_400)

        await purged(stores, *BODIES, before=NOON + 2 * DAY)

        settled = dict.fromkeys(OUTCOMES.keys() - {"pending", "quarantined"})
        unsettled = dict.fromkeys(("pending", "quarantined"), b"x")
        assert await bodies(stores) == {**settled, **unsettled, "young": b"y"}

    async def test_a_body_goes_once_its_event_is_settled(self, stores: Stores) -> None:
        """
        However late that is.
        """
        event = an_event("late", body=b"x")
        await stores.keep(events=[(event, QUARANTINED)])
        await purged(stores, *BODIES, before=NOON + 2 * DAY)
        settled = Changes(key="it", resolved=((event.key, APPLIED),))
        assert await stores.save(settled) == [SAVED]
        assert await bodies(stores) == {"late": b"x"}

        assert await purged(stores, *BODIES, before=NOON + 2 * DAY) == [1]
        assert await bodies(stores) == {"late": None}

    async def test_old_events_go_unless_they_are_pending(self, stores: Stores) -> None:
        """
        From exactly that time on, in batches; a deleted event is new if it is received
        again.
        """
        await waited(stores, **OUTCOMES)
        await purged(stores, *BODIES, before=NOON + 2 * DAY)
        assert not await purged(stores, PurgeKind.EVENTS, before=NOON)
        count = await stores.purges.count(PurgeKind.EVENTS, NOON + MOMENT, limit=99)
        assert count == len(OUTCOMES) - 1
        assert await stores.purges.count(PurgeKind.EVENTS, NOON + MOMENT, limit=2) == 2

        assert await purged(stores, PurgeKind.EVENTS, limit=3) == [3, count - 3]

        assert await kept_ids(stores) == {"pending"}
        again = Changes(key="it", events=((an_event("applied"), APPLIED),))
        assert await stores.save(again) == [SAVED]

    @pytest.mark.parametrize("state", list(IntentState))
    async def test_old_intents_go_when_they_have_ended(
        self, stores: Stores, state: IntentState
    ) -> None:
        """
        With their keys, which are free then. An open intent stays, however old.
        """
        intent = an_intent(state=state, key="key")
        await stores.keep(an_account(), intents=[intent])
        assert not await purged(stores, PurgeKind.INTENTS, before=NOON)

        assert await purged(stores, PurgeKind.INTENTS) == [1] * (not intent.open)

        assert await stores.intents.find(intent.id) == (
            attrs.evolve(intent, version=1) if intent.open else None
        )
        if not intent.open:
            await stores.keep(intents=[an_intent("int_2", key="key")])

    async def test_a_late_save_of_a_purged_intent_is_refused(
        self, stores: Stores
    ) -> None:
        """
        It is not created again.
        """
        intent = an_intent(state=IntentState.SUCCEEDED)
        await stores.keep(an_account(), intents=[intent])
        await purged(stores, PurgeKind.INTENTS)
        late = attrs.evolve(intent, version=1)

        words = await stores.save(Changes(key="late", intents=(late,)))

        assert words != [SAVED]
        assert await stores.intents.find(intent.id) is None

    async def test_old_jobs_go_when_they_are_done(self, stores: Stores) -> None:
        """
        By when they were finished; an open job stays, however old.
        """
        await asked(stores, a_job(), a_job(OTHER_JOB.subject, due_at=NOON + DAY))
        await finished(stores, await claimed(stores))
        at = NOON - timedelta(seconds=5)
        assert not await purged(stores, PurgeKind.JOBS, before=at)

        assert await purged(stores, PurgeKind.JOBS, before=at + MOMENT) == [1]

        (left,) = (await stores.jobs()).values()
        assert (left.key, left.state) == (OTHER_JOB, JobState.OPEN)

    async def test_p33_a_late_workers_lease_is_none_of_a_job_made_anew(
        self, stores: Stores
    ) -> None:
        """
        The fence continues across the purge: the former holder can neither finish the
        job nor give it back.
        """
        await asked(stores, a_job())
        late = await claimed(stores)
        assert late.lease.fence == 1
        again = await claimed(stores, hours=1)
        await finished(stores, again)
        await purged(stores, PurgeKind.JOBS)
        await asked(stores, a_job())

        for former in (late, again):
            await finished(stores, former)
            await stores.queue.release(former, former.failed(NOON, "late"))
        now = await claimed(stores, hours=2)
        for former in (late, again):
            await finished(stores, former)
            await stores.queue.release(former, former.failed(NOON, "late"))

        assert now.lease.fence > again.lease.fence
        assert await stores.job(JOB) == now

    async def test_p33_a_fence_goes_on_over_every_purge(self, stores: Stores) -> None:
        """
        Also across a later purge, of a job that was claimed less often.
        """
        await asked(stores, a_job())
        await claimed(stores)
        often = await claimed(stores, hours=1)
        await asked(stores, a_job(OTHER_JOB.subject))
        seldom = await claimed(stores, hours=1)
        assert often.lease.fence > seldom.lease.fence
        for job in (often, seldom):
            await finished(stores, job)
            assert await purged(stores, PurgeKind.JOBS) == [1]

        await asked(stores, a_job())
        again = await claimed(stores, hours=2)
        assert again.lease.fence > often.lease.fence

    async def test_p31_expired_revocations_go(self, stores: Stores) -> None:
        """
        A token's when the token has expired; all of a user's when no token issued until
        then can be valid any longer.
        """
        token = a_token()
        await stores.tokens.invalidate(revocation_of(token))
        for user, at in ((ADA, NOON), (BOB, NOON + DAY)):
            one = UserTokenRevocation(user_id=user, at=at)
            await stores.tokens.revoke_issued_before(one)
        kind = PurgeKind.REVOCATIONS
        assert not await purged(stores, kind, before=token.expires_at)

        assert await purged(stores, kind, before=token.expires_at + MOMENT) == [1]
        assert not (await stores.tokens.page()).revocations
        assert await stores.tokens.is_revoked(token)
        end = NOON + TOKEN_AGE_MAX
        assert not await purged(stores, kind, before=end)
        assert await stores.purges.count(kind, end + MOMENT, limit=9) == 1
        assert await purged(stores, kind, before=end + MOMENT) == [1]
        assert not await stores.tokens.is_revoked(token)
        assert await stores.tokens.is_revoked(a_token(user=BOB))

    async def test_f43_no_process_that_polls_is_forgotten(self, stores: Stores) -> None:
        """
        Whatever the purging process's clock says: a revocation must wait for that
        process.
        """
        await polled(stores)
        (position,) = await revoked(stores, "a")

        assert not await purged(stores, PurgeKind.HEARTBEATS, before=FAR_AHEAD)

        assert not await stores.revocations.is_heard(position)
