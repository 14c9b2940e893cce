"""A turn of the purge: by one process, in batches, to the end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest
from typing_extensions import override

from contracts.examples import APPLIED, NOON, an_event
from payments_adapters.memory import (
    FixedClock,
    MemoryCheckpoints,
    MemoryDatabase,
    MemoryErasures,
    MemoryLedger,
    MemoryPurgeStore,
    MemoryTokenStore,
)
from payments_core.account import PaymentAccount
from payments_core.changes import Changes
from payments_core.checkpoints import LEASE
from payments_core.erasure import pseudonym
from payments_core.errors import StoreUnavailable
from payments_core.jobs import Purge, PurgeListener
from payments_core.jobs.purge import BATCH, CUT_OFF, EVERY, PURGE
from payments_core.retention import PurgeKind, Retention
from support.reconciling import told

pytestmark = pytest.mark.anyio
SECOND = timedelta(seconds=1)
COUNT = 2 * BATCH + 7


@attrs.define
class Heard(PurgeListener):
    purges: list[tuple[PurgeKind, int]] = attrs.field(factory=list)

    @override
    def purged(self, kind: PurgeKind, count: int) -> None:
        self.purges.append((kind, count))


@attrs.define
class Story:
    """Events that are old enough by the clock; the real clock shows another time."""

    clock: FixedClock
    system_clock: FixedClock
    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)
    heard: Heard = attrs.field(factory=Heard)
    store: Any = None

    @property
    def purge(self) -> Purge:
        return Purge(
            self.store or MemoryPurgeStore(self.database, MemoryTokenStore()),
            MemoryErasures(self.database),
            MemoryCheckpoints(self.database),
            self.clock,
            self.system_clock,
            Retention(),
            self.heard,
        )

    @property
    def left(self) -> int:
        return len(self.database.tables.events)


@attrs.frozen
class Meanwhile:
    """A store in which something happens after each batch."""

    store: MemoryPurgeStore
    then: Callable[[], None]

    async def purge(self, kind: PurgeKind, before: Any, *, limit: int) -> int:
        count = await self.store.purge(kind, before, limit=limit)
        self.then()
        return count


def meanwhile(story: Story, then: Callable[[], None]) -> Meanwhile:
    return Meanwhile(MemoryPurgeStore(story.database, MemoryTokenStore()), then)


@pytest.fixture
async def story() -> Story:
    it = Story(FixedClock(NOON), FixedClock(NOON))
    events = tuple((an_event(f"evt_{n}"), APPLIED) for n in range(COUNT))
    await MemoryLedger(it.database).save([Changes(key="it", events=events)], at=NOON)
    it.clock.advance(timedelta(days=401))
    return it


async def test_a_turn_deletes_all_that_is_old_enough(story: Story) -> None:
    """
    In batches, each reported; after the last one, the next turn is due in an hour.
    """
    assert await story.purge()

    assert story.left == 0
    batches = [(PurgeKind.EVENTS, BATCH), (PurgeKind.EVENTS, BATCH)]
    assert story.heard.purges == [
        (PurgeKind.BODY_DAYS, 1),
        *batches,
        (PurgeKind.EVENTS, 7),
    ]
    kept = story.database.loops[PURGE]
    assert kept.reached_at == story.clock.now
    assert (kept.lease.due_at, kept.lease.until) == (NOON + EVERY, None)

    assert not await story.purge()
    story.system_clock.advance(EVERY)
    assert await story.purge()


async def test_what_is_young_stays(story: Story) -> None:
    """
    Nothing is deleted before its time, whatever else is.
    """
    story.clock.advance(timedelta(days=-1))
    assert await story.purge()
    assert story.left == COUNT
    assert story.heard.purges == [(PurgeKind.BODY_DAYS, 1)]


async def test_a_turn_that_shall_stop_is_due_at_once(story: Story) -> None:
    """
    After a batch, and not only at its end: another process continues.
    """
    assert await story.purge(lambda: bool(story.heard.purges[1:]))
    assert story.left == COUNT - BATCH
    assert story.database.loops[PURGE].reached_at is None

    assert await story.purge()
    assert story.left == 0


async def test_p33_a_turn_keeps_its_claim_as_long_as_it_takes(story: Story) -> None:
    """
    No other process takes it over meanwhile.
    """
    checkpoints = MemoryCheckpoints(story.database)

    def take_long() -> None:
        story.system_clock.advance(LEASE - SECOND)

    story.store = meanwhile(story, take_long)
    assert await story.purge()
    assert story.left == 0
    assert story.database.loops[PURGE].lease.fence == 1
    assert (
        await checkpoints.claim(PURGE, now=story.system_clock.now, lease=LEASE) is None
    )


async def test_p33_a_turn_that_lost_its_claim_stops(story: Story) -> None:
    """
    The present holder continues, and sets when the next one is due.
    """

    def be_frozen() -> None:
        story.system_clock.advance(2 * LEASE)
        row = story.database.loops[PURGE]
        lease = row.lease.claimed(story.system_clock.now, LEASE)
        story.database.loops[PURGE] = attrs.evolve(row, lease=lease)

    story.store = meanwhile(story, be_frozen)
    assert await story.purge()

    assert story.heard.purges == [(PurgeKind.BODY_DAYS, 1)]
    row = story.database.loops[PURGE]
    assert (row.lease.fence, row.reached_at) == (2, None)
    assert story.left == COUNT


async def test_a_turn_without_a_database_is_due_after_its_lease(story: Story) -> None:
    """
    What is deleted is deleted; the rest is not reported.
    """

    def break_off() -> None:
        raise StoreUnavailable

    story.store = meanwhile(story, break_off)
    with pytest.raises(StoreUnavailable):
        await story.purge()
    story.store = None
    assert not await story.purge()
    story.system_clock.advance(LEASE)
    assert await story.purge()
    assert story.left == 0


async def test_what_is_due_is_counted_and_stays(story: Story) -> None:
    """
    Of each kind; a kind that is stored for good has no number.
    """
    purge = attrs.evolve(story.purge, retention=Retention(jobs=None))
    due = await purge.due()
    assert due == {
        PurgeKind.BODY_DAYS: 1,
        PurgeKind.BODIES: 0,
        PurgeKind.EVENTS: COUNT,
        PurgeKind.INTENTS: 0,
        PurgeKind.JOBS: None,
        PurgeKind.REVOCATIONS: 0,
        PurgeKind.HEARTBEATS: 0,
    }
    assert story.left == COUNT


async def test_p09_an_event_whose_id_was_purged_changes_nothing() -> None:
    """
    Facts merge in any order: the state of a payment, a subscription and a card follows
    from the facts, not from which events are known.
    """
    async with told() as it:
        deployment = it.deployment
        refunded = it.charge()
        it.api.post("refunds", charge=refunded)
        await deployment.hear()
        await deployment.advance(timedelta(days=40))
        await deployment.hear()
        it.api.delete(it.subscription)
        await deployment.hear()
        database = deployment.database
        heard = [row.event for row in database.tables.events.values()]
        before = await deployment.account()
        payments = dict(database.tables.payments)
        periods = dict(database.tables.periods)
        await deployment.advance(timedelta(days=401))
        purge = Purge(
            MemoryPurgeStore(database, MemoryTokenStore()),
            MemoryErasures(database),
            MemoryCheckpoints(database),
            deployment.clock,
            deployment.system_clock,
            Retention(),
        )
        assert await purge()
        assert not database.tables.events

        recorded = await deployment.apply(heard[::-1])
        await deployment.work()

        assert {it.failure for it in recorded} == {None}
        assert len(database.tables.events) == len(heard)
        after = await deployment.account()
        assert comparable(after) == comparable(before)
        assert {it.payment for it in database.tables.payments.values()} == {
            it.payment for it in payments.values()
        }
        assert database.tables.periods == periods


def comparable(account: PaymentAccount) -> Any:
    return (
        account.payment_status,
        account.payment_expire_date,
        account.card,
        [(it.report, it.user_id) for it in account.subscriptions],
    )


async def test_an_erasure_that_may_be_under_way_is_left_alone() -> None:
    """
    Its process waits for what is being recorded: a turn does not search its events too
    early. An hour after it began it is finished.
    """
    story = Story(FixedClock(NOON), FixedClock(NOON))
    story.database.tables.begin_erasure(pseudonym("1"), NOON, frozenset())
    for passed, is_left in ((SECOND, True), (CUT_OFF, True), (CUT_OFF + SECOND, False)):
        story.clock.now = NOON + passed
        story.system_clock.advance(EVERY)
        assert await story.purge()
        erasures = story.database.tables.erasures
        assert (pseudonym("1") in erasures) is is_left
