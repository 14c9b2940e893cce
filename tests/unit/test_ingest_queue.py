"""Events that are recorded together: who shares a save shares no one else's trouble."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    NOON,
    a_payment,
    an_account,
    an_event,
)
from contracts.faults import FaultyLedger, no_fault, unheard_of
from contracts.worlds import World, a_world
from payments_adapters.memory import FixedClock, MemoryLedger
from payments_core.changes import Changes
from payments_core.decide import event_job
from payments_core.errors import (
    AccountBusy,
    Overloaded,
    SaveTimedOut,
    StoreUnavailable,
)
from payments_core.events import EventState, GatewayEvent, Outcome, Receipt
from payments_core.identity import UserId
from payments_core.payment import Payment
from payments_core.standing import Policy
from payments_core.use_cases import RecordFacts
from payments_core.use_cases.record_facts import ROUNDS_MAX
from payments_service.ingest_queue import (
    BACK_OFF_FIRST_S,
    BACK_OFF_MAX_S,
    BATCH_EVENTS_MAX,
    GATHER_MAX_S,
    SLOW_FOR_S,
    WAIT_S,
    WAITING_EVENTS_MAX,
    IngestQueue,
)

pytestmark = pytest.mark.anyio

EVE: Final = UserId("eve")
ADAS, BOBS, EVES = (f"user {user}" for user in (ADA, BOB, EVE))
TURNS_MAX: Final = 10_000


@attrs.define
class Time:
    """A clock that stands still until it is told how much later it is."""

    now: float = 0.0
    waits: list[float] = attrs.field(factory=list)
    _asleep: list[tuple[float, "asyncio.Future[None]"]] = attrs.field(factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.append((self.now + seconds, awake))
        await awake

    def pass_by(self, seconds: float) -> None:
        """Let so much time pass, and wake those who waited for no longer."""
        self.now += seconds
        for it in [it for it in self._asleep if it[0] <= self.now]:
            self._asleep.remove(it)
            it[1].set_result(None)

    @property
    def sleepers(self) -> int:
        return len(self._asleep)


async def until(holds: Callable[[], bool]) -> None:
    """Let the others have their turns until something is so."""
    for _ in range(TURNS_MAX):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never was")


async def turns() -> None:
    """Let everybody go on as far as they can without us."""
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> World:
    return await a_world(an_account(ADA), an_account(BOB), an_account(EVE))


@pytest.fixture
def ledger(world: World) -> FaultyLedger:
    return FaultyLedger(MemoryLedger(world.database))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def failed() -> list[str]:
    """
    What the service heard of: the events that could not be applied.
    """
    return []


@pytest.fixture
def ingest(ledger: FaultyLedger, time: Time, failed: list[str]) -> IngestQueue:
    record = RecordFacts(ledger, FixedClock(NOON), Policy(), time, time.sleep)
    return IngestQueue(record, lambda it, _: failed.append(it.id), time, time.sleep)


def an_event_of(user: UserId, number: int = 0) -> GatewayEvent:
    id_ = f"{user}_{number}"
    return an_event(f"evt_{id_}", a_payment(f"ch_{id_}", user=user))


def events(count: int, first: int = 0) -> list[GatewayEvent]:
    return [an_event_of(ADA, number) for number in range(first, first + count)]


def handed_in(
    ingest: IngestQueue, *events: GatewayEvent
) -> list["asyncio.Task[Receipt]"]:
    return [asyncio.create_task(ingest(event)) for event in events]


async def all_of(waiting: Sequence["asyncio.Task[Receipt]"]) -> list[Receipt]:
    """Return the receipts, which come without any time passing by."""
    await until(lambda: all(it.done() for it in waiting))
    return [it.result() for it in waiting]


async def answers(
    waiting: Sequence["asyncio.Task[Receipt]"],
) -> list[Receipt | type[BaseException]]:
    """Return what came of each: a receipt, or what kind of an error."""
    await until(lambda: all(it.done() for it in waiting))
    found = await asyncio.gather(*waiting, return_exceptions=True)
    return [type(it) if isinstance(it, BaseException) else it for it in found]


async def started(ledger: FaultyLedger, ingest: IngestQueue) -> "asyncio.Task[Receipt]":
    """Hand one event in, and hold its batch up once it has begun."""
    ledger.may_run.clear()
    (waiting,) = handed_in(ingest, *events(1))
    await ledger.running.wait()
    return waiting


async def test_events_that_wait_together_share_a_load_and_a_save(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    Ten callers, one save, ten receipts.
    """
    receipts = await all_of(handed_in(ingest, *events(10)))

    assert ledger.batches == [10]
    assert ledger.saves == [[ADAS]]
    assert receipts == [Receipt(APPLIED)] * 10
    assert len(world.database.tables.payments) == 10


async def test_while_one_batch_is_saved_the_next_one_fills(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    The first does not wait for company; those that come meanwhile go together.
    """
    first = await started(ledger, ingest)
    others = asyncio.gather(*map(ingest, events(5, first=1)))
    ledger.may_run.set()
    await asyncio.gather(first, others)

    assert ledger.batches == [1, 5]


async def answered_after(
    seconds: float, ledger: FaultyLedger, ingest: IngestQueue, time: Time, count: int
) -> None:
    """Record a batch of so many events that takes so long."""
    ledger.may_run.clear()
    waiting = handed_in(ingest, *events(count))
    await ledger.running.wait()
    time.pass_by(seconds)
    ledger.may_run.set()
    await asyncio.gather(*waiting)
    ledger.batches.clear()


async def test_a_batch_waits_for_as_many_as_were_answered_by_the_last_one(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Their callers send the next event soon; with the last of them it begins.
    """
    await answered_after(0.004, ledger, ingest, time, 3)
    first = handed_in(ingest, *events(2, first=3))
    await turns()
    assert not ledger.batches
    await all_of([*first, *handed_in(ingest, *events(1, first=5))])

    assert ledger.batches == [3]


@pytest.mark.parametrize(
    ("took_s", "wait_s"), [(0.004, 0.004), (3.0, GATHER_MAX_S)], ids=["quick", "slow"]
)
async def test_a_batch_waits_for_others_no_longer_than_the_last_one_took(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time, took_s: float, wait_s: float
) -> None:
    """
    And never longer than the limit; once it is over, nobody waits any more.
    """
    await answered_after(took_s, ledger, ingest, time, 3)
    first = handed_in(ingest, *events(2, first=3))
    await turns()
    time.pass_by(wait_s * 0.9)
    await turns()
    assert not ledger.batches
    time.pass_by(wait_s * 0.2)
    await all_of(first)
    assert ledger.batches == [2]
    await all_of(handed_in(ingest, *events(1, first=5)))
    assert ledger.batches == [2, 1]


async def test_an_event_after_a_single_one_waits_for_nothing(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    However long the last one took: a caller that is alone stays alone.
    """
    await answered_after(3.0, ledger, ingest, time, 1)
    await all_of(handed_in(ingest, *events(1, first=1)))

    assert ledger.batches == [1]
    assert not time.waits


async def test_what_is_locked_is_not_waited_for(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Its caller was not answered, and sends nothing soon.
    """
    world.database.locked = {ADAS}
    ledger.may_run.clear()
    _, *others = handed_in(ingest, *map(an_event_of, (ADA, BOB, EVE)))
    await ledger.running.wait()
    time.pass_by(0.004)
    ledger.may_run.set()
    await asyncio.gather(*others)
    ledger.batches.clear()
    await all_of(handed_in(ingest, an_event_of(BOB, 1), an_event_of(EVE, 1)))
    assert ledger.batches == [2]
    world.database.locked = set()
    time.pass_by(BACK_OFF_MAX_S)
    await ingest.drain()


async def test_p36_a_batch_has_a_limit(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    One more than fit: the last one goes alone.
    """
    await all_of(handed_in(ingest, *events(BATCH_EVENTS_MAX + 1)))
    assert ledger.batches == [BATCH_EVENTS_MAX, 1]


async def test_two_callers_with_one_event_share_it(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    One is told that it was applied, the other that it was a duplicate; and so is who
    comes after the batch.
    """
    (event,) = events(1)
    first, second = await all_of(handed_in(ingest, event, event))

    assert (first, second) == (Receipt(APPLIED), Receipt(None))
    assert await ingest(event) == Receipt(None)
    assert ledger.saves == [[ADAS]]
    assert len(world.database.tables.events) == 1


# Events that cannot be applied


async def test_p35_a_failing_event_is_kept_and_its_neighbours_are_applied(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, failed: list[str]
) -> None:
    """
    Of the same account, in the same save; the worker has it, and somebody hears of it.
    """
    poisoned = unheard_of(a_payment("ch_poison", user=ADA))
    poison = an_event("evt_poison", poisoned, body=b"poison")
    good = events(2)
    receipts = await all_of(handed_in(ingest, *(good[0], poison, good[1])))

    job = event_job(poison.key)
    aside = Outcome(EventState.PENDING, "failed: KeyError", job)
    assert [r.outcome for r in receipts] == [APPLIED, aside, APPLIED]
    assert ledger.saves == [["event evt_poison charge.succeeded", ADAS]]
    assert set(world.database.tables.payments) == {"ch_ada_0", "ch_ada_1"}
    assert world.account().checkpoint.latest is not None
    (kept,) = await world.log.find("evt_poison")
    assert (kept.outcome, kept.body) == (aside, b"poison")
    assert list(world.database.tables.jobs) == [job]
    assert failed == ["evt_poison"]


@pytest.mark.parametrize("known", [a_payment(user=ADA), a_payment()])
@pytest.mark.parametrize("together", [True, False])
async def test_p35_a_report_that_cannot_be_merged_fails_for_itself_only(
    world: World,
    ingest: IngestQueue,
    failed: list[str],
    known: Payment,
    *,
    together: bool,
) -> None:
    """
    Something is known of its payment, linked or not, from before or from the batch.
    """
    first = an_event("evt_first", known)
    poison = an_event("evt_poison", unheard_of(a_payment()))
    batches = [[first, an_event_of(ADA), poison, an_event_of(BOB)]]
    if not together:
        batches = [batches[0][:1], batches[0][1:]]
    receipts = [
        receipt
        for batch in batches
        for receipt in await all_of(handed_in(ingest, *batch))
    ]

    aside = Outcome(EventState.PENDING, "failed: KeyError", event_job(poison.key))
    assert [r.outcome for r in receipts] == [APPLIED, APPLIED, aside, APPLIED]
    payments = world.database.tables.payments
    assert set(payments) == {known.id, "ch_ada_0", "ch_bob_0"}
    assert payments[known.id].payment == known
    assert failed == ["evt_poison"]


async def test_an_event_that_failed_is_kept_pending_once(
    world: World, ingest: IngestQueue, failed: list[str]
) -> None:
    """
    Its reason is kept; nothing else of it happened; again is a duplicate.
    """
    event = an_event(report=unheard_of(a_payment(user=ADA)), body=b"poison")
    first, second = await ingest(event), await ingest(event)

    job = event_job(event.key)
    assert first.outcome == Outcome(EventState.PENDING, "failed: KeyError", job)
    assert list(world.database.tables.jobs) == [job]
    assert world.database.tables.jobs[job].asked == 1
    assert second.duplicate
    (kept,) = await world.log.find("evt_1")
    assert (kept.outcome, kept.body) == (first.outcome, b"poison")
    assert not world.database.tables.payments
    assert failed == ["evt_1"]


# A store that fails


async def test_an_event_that_cannot_even_be_kept_fails_for_its_callers_only(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, failed: list[str]
) -> None:
    """
    The caller is told; the next event finds everything working.
    """

    def broken(_: Sequence[Changes]) -> None:
        raise ZeroDivisionError

    ledger.fault = broken
    first, second = events(2)
    with pytest.raises(ZeroDivisionError):
        await ingest(first)
    ledger.fault = no_fault

    assert await ingest(second) == Receipt(APPLIED)
    assert set(world.database.tables.payments) == {"ch_ada_1"}
    assert not failed


def unavailable(_: Sequence[Changes]) -> None:
    raise StoreUnavailable


async def test_without_a_database_all_of_the_batch_come_again(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, failed: list[str]
) -> None:
    """
    Once, not one by one: nothing is set aside because a server is down.
    """
    ledger.fault = unavailable
    found = await answers(handed_in(ingest, *events(3)))

    assert found == [StoreUnavailable] * 3
    assert ledger.batches == [3]
    assert not world.database.tables.events
    assert not failed
    ledger.fault = no_fault

    assert await all_of(handed_in(ingest, *events(3))) == [Receipt(APPLIED)] * 3


async def test_p03_a_batch_whose_reply_was_lost_comes_again_and_is_a_duplicate(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    Nobody is told that it was kept; the second delivery changes nothing.
    """
    ledger.reply = unavailable
    assert await answers(handed_in(ingest, *events(3))) == [StoreUnavailable] * 3
    ledger.reply = no_fault
    before = world.database.tables

    assert await all_of(handed_in(ingest, *events(3))) == [Receipt(None)] * 3
    assert world.database.tables == before
    assert len(before.payments) == 3


@pytest.mark.parametrize("rivals", [1, ROUNDS_MAX - 1])
async def test_what_somebody_changed_meanwhile_is_decided_anew(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time, rivals: int
) -> None:
    """
    At once: who changed it made progress. Its neighbours are saved at first.
    """
    left = list(range(rivals))

    def overtaken(groups: Sequence[Changes]) -> None:
        if left and any(group.key == ADAS for group in groups):
            left.pop()
            bump(world)

    ledger.fault = overtaken
    receipts = await all_of(handed_in(ingest, an_event_of(BOB), *events(2)))

    assert receipts == [Receipt(APPLIED)] * 3
    assert ledger.saves == [[ADAS, BOBS], *[[ADAS]] * rivals]
    assert not time.waits
    assert world.account().version == 2 + rivals


def bump(world: World) -> None:
    """Save Ada's account, as somebody else."""
    tables = world.database.tables.copy()
    account = tables.accounts[ADA]
    tables.accounts[ADA] = attrs.evolve(account, version=account.version + 1)
    world.database.tables = tables


async def test_what_is_changed_all_the_time_is_busy_in_the_end(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    A bounded number of times it is decided anew at once, then a little later.
    """
    ledger.fault = lambda _: bump(world)
    (waiting,) = handed_in(ingest, an_event_of(ADA))
    await until(lambda: time.sleepers == 1)
    assert len(ledger.saves) == ROUNDS_MAX
    time.pass_by(WAIT_S)

    assert await answers([waiting]) == [AccountBusy]
    assert len(ledger.saves) == ROUNDS_MAX
    assert not world.database.tables.events


# What is locked


async def test_a_locked_group_goes_back_and_its_neighbours_are_answered(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Those of its batch and those that come later; it is saved when the lock is gone.
    """
    world.database.locked = {ADAS}
    locked, *others = handed_in(ingest, an_event_of(ADA), an_event_of(BOB))
    assert await answers(others) == [Receipt(APPLIED)]
    await until(lambda: time.sleepers == 1)
    assert await ingest(an_event_of(EVE)) == Receipt(APPLIED)
    assert not locked.done()
    world.database.locked = set()
    time.pass_by(BACK_OFF_FIRST_S)

    assert await locked == Receipt(APPLIED)
    assert ledger.saves == [[ADAS, BOBS], [EVES], [ADAS]]


async def test_what_stays_locked_is_busy_after_a_deadline_and_nothing_else_is(
    world: World, ingest: IngestQueue, time: Time
) -> None:
    """
    Tried again later and later, and at the deadline of each event for the last time.
    """
    world.database.locked = {ADAS}
    (first,) = handed_in(ingest, an_event_of(ADA))
    await until(lambda: time.sleepers == 1)
    while time.now + BACK_OFF_MAX_S < WAIT_S:
        time.pass_by(BACK_OFF_MAX_S)
        await until(lambda: time.sleepers == 1)
    assert len(time.waits) == WAIT_S / BACK_OFF_MAX_S
    second, neighbour = handed_in(ingest, an_event_of(ADA, 1), an_event_of(BOB))
    assert await neighbour == Receipt(APPLIED)
    await until(lambda: time.sleepers == 2)
    assert not first.done()
    time.pass_by(BACK_OFF_MAX_S)

    assert await answers([first]) == [AccountBusy]
    await until(lambda: time.sleepers == 1)
    assert not second.done()
    world.database.locked = set()
    time.pass_by(BACK_OFF_MAX_S)
    assert await second == Receipt(APPLIED)


async def test_the_waits_for_a_lock_grow_up_to_the_longest(
    world: World, ingest: IngestQueue, time: Time
) -> None:
    """
    Twice as long each time but for the jitter, which at most halves it.
    """
    world.database.locked = {ADAS}
    (waiting,) = handed_in(ingest, an_event_of(ADA))
    for _ in range(10):
        await until(lambda: time.sleepers == 1)
        time.pass_by(time.waits[-1])
    await until(lambda: time.sleepers == 1)

    longest = [min(BACK_OFF_FIRST_S * 2**n, BACK_OFF_MAX_S) for n in range(11)]
    for wait, most in zip(time.waits, longest, strict=True):
        assert most / 2 <= wait <= most
    assert longest[-1] == BACK_OFF_MAX_S
    assert any(earlier != later for earlier, later in pairwise(time.waits[-4:]))
    waiting.cancel()
    world.database.locked = set()
    time.pass_by(WAIT_S)
    await ingest.drain()


# What times out


async def test_after_a_save_that_timed_out_each_group_is_saved_alone(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    One after the other; those that are quick are applied, and share saves afterwards.
    """

    def too_much(groups: Sequence[Changes]) -> None:
        if len(groups) > 1:
            raise SaveTimedOut

    ledger.fault = too_much
    users = (ADA, BOB, EVE)
    receipts = await all_of(handed_in(ingest, *map(an_event_of, users)))

    assert receipts == [Receipt(APPLIED)] * 3
    assert ledger.saves == [[ADAS, BOBS, EVES], [ADAS], [BOBS], [EVES]]
    ledger.fault = no_fault
    await all_of(handed_in(ingest, *(an_event_of(user, 1) for user in users)))
    assert ledger.saves[4:] == [[ADAS, BOBS, EVES]]
    assert len(world.database.tables.payments) == 6


async def test_a_save_that_timed_out_but_was_done_makes_duplicates(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    Each event is looked up again before it is saved alone.
    """

    def slow_reply(_: Sequence[Changes]) -> None:
        ledger.reply = no_fault
        raise SaveTimedOut

    ledger.reply = slow_reply
    receipts = await all_of(handed_in(ingest, *map(an_event_of, (ADA, BOB))))

    assert receipts == [Receipt(None)] * 2
    assert ledger.saves == [[ADAS, BOBS]]
    assert len(world.database.tables.payments) == 2


async def test_a_group_that_times_out_alone_fails_for_its_own_events_only(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    They may or may not be kept, and are sent again; the others are recorded.
    """
    ledger.slow = {BOBS}
    found = await answers(handed_in(ingest, *map(an_event_of, (ADA, BOB, EVE))))

    assert found == [Receipt(APPLIED), StoreUnavailable, Receipt(APPLIED)]
    assert ledger.saves == [[ADAS, BOBS, EVES], [ADAS], [BOBS], [EVES]]
    assert set(world.database.tables.payments) == {"ch_ada_0", "ch_eve_0"}


async def test_a_group_that_takes_long_when_it_is_alone_is_tried_after_all_others(
    ledger: FaultyLedger, ingest: IngestQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Several of them in one batch cost the others a moment each, and are refused last.
    """
    moments = iter([0, 0, None, None, None])
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda _: timeout(next(moments)))

    def too_much(groups: Sequence[Changes]) -> None:
        if len(groups) > 1:
            raise SaveTimedOut

    ledger.fault = too_much
    ledger.slow = {ADAS, BOBS}
    ledger.may_time_out.clear()
    *slow, other = handed_in(ingest, *map(an_event_of, (ADA, BOB, EVE)))
    assert await other == Receipt(APPLIED)
    assert not any(it.done() for it in slow)
    ledger.may_time_out.set()

    assert await answers(slow) == [StoreUnavailable] * 2
    assert ledger.saves[1:] == [[EVES], [ADAS], [BOBS]]


async def test_a_slow_group_is_saved_alone_for_a_minute(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Even if it is quick again; after that it shares saves as everybody does.
    """
    ledger.slow = {ADAS}
    assert await answers(handed_in(ingest, an_event_of(ADA))) == [StoreUnavailable]
    ledger.slow = set()
    ledger.saves.clear()
    time.pass_by(SLOW_FOR_S - 1)
    await all_of(handed_in(ingest, *(an_event_of(user, 1) for user in (ADA, BOB))))
    assert ledger.saves == [[BOBS], [ADAS]]
    time.pass_by(1)
    ledger.saves.clear()
    await all_of(handed_in(ingest, *(an_event_of(user, 2) for user in (ADA, BOB))))

    assert ledger.saves == [[ADAS, BOBS]]


async def test_a_group_that_is_locked_while_it_is_saved_alone_stays_alone(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Another process may be in a slow save of it: shared, it would make others slow here.
    """

    def too_much(groups: Sequence[Changes]) -> None:
        if len(groups) > 1:
            raise SaveTimedOut

    ledger.fault = too_much
    world.database.locked = {ADAS}
    first, neighbour = handed_in(ingest, an_event_of(ADA), an_event_of(BOB))
    assert await neighbour == Receipt(APPLIED)
    await until(lambda: time.sleepers == 1)
    ledger.saves.clear()
    second, other = handed_in(ingest, an_event_of(ADA, 1), an_event_of(EVE))
    assert await other == Receipt(APPLIED)
    await until(lambda: time.sleepers == 2)
    assert ledger.saves == [[EVES], [ADAS]]
    assert not first.done()
    assert not second.done()
    world.database.locked = set()
    time.pass_by(BACK_OFF_FIRST_S)

    assert await all_of([first, second]) == [Receipt(APPLIED)] * 2
    ledger.fault = no_fault
    ledger.saves.clear()
    await all_of(handed_in(ingest, *(an_event_of(user, 2) for user in (ADA, BOB))))
    assert ledger.saves == [[ADAS, BOBS]]


async def marked_slow(
    ledger: FaultyLedger, ingest: IngestQueue, *users: UserId
) -> None:
    """Let events of these users time out, and hold later ones up."""
    ledger.slow = {f"user {user}" for user in users}
    found = await answers(handed_in(ingest, *map(an_event_of, users)))
    assert found == [StoreUnavailable] * len(users)
    ledger.saves.clear()
    ledger.most_slow = 0
    ledger.may_time_out.clear()


async def test_at_most_one_save_of_slow_groups_is_under_way(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    The others go on meanwhile, in as many batches as they need.
    """
    await marked_slow(ledger, ingest, ADA, BOB)
    slow = handed_in(ingest, an_event_of(ADA, 1), an_event_of(BOB, 1))
    await until(lambda: ledger.slow_now == 1)
    for number in range(1, 4):
        assert await ingest(an_event_of(EVE, number)) == Receipt(APPLIED)

    assert not any(it.done() for it in slow)
    assert ledger.saves == [[ADAS], [EVES], [EVES], [EVES]]
    ledger.may_time_out.set()
    assert await answers(slow) == [StoreUnavailable] * 2
    assert ledger.saves[4:] == [[BOBS]]
    assert ledger.most_slow == 1


async def test_what_was_never_slow_by_itself_is_saved_before_what_was(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    A batch that timed out waits for one slow account at most.
    """
    await marked_slow(ledger, ingest, ADA)
    first = handed_in(ingest, an_event_of(ADA, 1))
    await until(lambda: ledger.slow_now == 1)
    second = handed_in(ingest, an_event_of(ADA, 2))
    await turns()

    def too_much(groups: Sequence[Changes]) -> None:
        if len(groups) > 1:
            raise SaveTimedOut

    ledger.fault = too_much
    others = handed_in(ingest, an_event_of(BOB), an_event_of(EVE))
    await until(lambda: [BOBS, EVES] in ledger.saves)
    ledger.may_time_out.set()

    assert await answers(others) == [Receipt(APPLIED)] * 2
    assert await answers([*first, *second]) == [StoreUnavailable] * 2
    assert ledger.saves == [[ADAS], [BOBS, EVES], [BOBS], [EVES], [ADAS]]


async def test_p36_who_waits_behind_a_slow_batch_is_busy_after_the_deadline(
    ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    A batch of a slow group has a limit too; what did not fit does not wait for ever.
    """
    await marked_slow(ledger, ingest, ADA)
    waiting = handed_in(ingest, *events(BATCH_EVENTS_MAX + 2, first=1))
    await until(lambda: ledger.slow_now == 1)
    # Those that do not fit are in the next batch, and are found to be slow as well.
    await until(lambda: 2 in ledger.batches)
    await turns()
    time.pass_by(WAIT_S)
    ledger.may_time_out.set()
    found = await answers(waiting)

    assert set(found) == {StoreUnavailable, AccountBusy}
    assert len(found) - found.count(AccountBusy) <= BATCH_EVENTS_MAX
    assert ledger.saves == [[ADAS]]


async def test_p36_a_batch_of_a_slow_group_has_a_limit(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    What came while another slow group was saved is saved in several batches.
    """
    await marked_slow(ledger, ingest, ADA, BOB)
    first = handed_in(ingest, an_event_of(BOB, 1))
    await until(lambda: ledger.slow_now == 1)
    waiting = handed_in(ingest, *events(BATCH_EVENTS_MAX + 2, first=1))
    await turns()
    ledger.batches.clear()
    ledger.may_time_out.set()

    found = await answers([*first, *waiting])
    assert found == [StoreUnavailable] * (BATCH_EVENTS_MAX + 3)
    assert ledger.batches == [BATCH_EVENTS_MAX, 2]
    assert ledger.saves == [[BOBS], [ADAS], [ADAS]]


# Callers, limits, the end


async def test_p25_a_caller_that_goes_away_loses_nothing(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    Gone while it waited, or while its batch was saved: the event is recorded.
    """
    running = await started(ledger, ingest)
    waiting = asyncio.gather(*map(ingest, events(2, first=1)), return_exceptions=True)
    # Let the two hand their events in before they are told to go.
    await asyncio.sleep(0)
    running.cancel()
    waiting.cancel()
    ledger.may_run.set()
    await ingest.drain()

    payments = set(world.database.tables.payments)
    assert payments == {"ch_ada_0", "ch_ada_1", "ch_ada_2"}
    assert running.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_p36_too_many_waiting_are_refused_and_not_kept(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    The queue has a limit; those in it are recorded, and then there is room again.
    """
    first = await started(ledger, ingest)
    full = asyncio.gather(*map(ingest, events(WAITING_EVENTS_MAX - 1, first=1)))
    await asyncio.sleep(0)
    (one_more,) = events(1, first=WAITING_EVENTS_MAX)
    assert await answers(handed_in(ingest, one_more)) == [Overloaded]
    ledger.may_run.set()
    await asyncio.gather(first, full)

    assert len(world.database.tables.events) == WAITING_EVENTS_MAX
    assert await ingest(one_more) == Receipt(APPLIED)


async def test_p36_what_failed_makes_room(
    world: World,
    ledger: FaultyLedger,
    ingest: IngestQueue,
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Whatever an event was answered, it waits no longer: the next one is taken.
    """
    monkeypatch.setattr("payments_service.ingest_queue.WAITING_EVENTS_MAX", 1)

    ledger.fault = unavailable
    for number in range(3):
        failed = handed_in(ingest, an_event_of(BOB, number))
        assert await answers(failed) == [StoreUnavailable]
    ledger.fault = no_fault
    world.database.locked = {ADAS}
    for number in range(3):
        (locked,) = handed_in(ingest, an_event_of(ADA, number))
        await until(lambda: time.sleepers == 1)
        time.pass_by(WAIT_S)
        assert await answers([locked]) == [AccountBusy]
    assert await ingest(an_event_of(EVE)) == Receipt(APPLIED)


async def test_p36_callers_that_went_away_make_no_room(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    Their events wait all the same: the limit is one of events, not of callers.
    """
    first = await started(ledger, ingest)
    gone = handed_in(ingest, *events(WAITING_EVENTS_MAX - 1, first=1))
    await asyncio.sleep(0)
    for it in gone:
        it.cancel()
    await asyncio.wait(gone)
    (one_more,) = events(1, first=WAITING_EVENTS_MAX)
    assert await answers(handed_in(ingest, one_more)) == [Overloaded]
    ledger.may_run.set()
    await first
    await ingest.drain()

    assert await ingest(one_more) == Receipt(APPLIED)


async def test_draining_waits_for_all_and_for_nothing(
    world: World, ingest: IngestQueue
) -> None:
    """
    An idle queue is drained at once; a busy one when all is saved.
    """
    await ingest.drain()
    waiting = asyncio.gather(*map(ingest, events(BATCH_EVENTS_MAX * 2)))
    await asyncio.sleep(0)
    await ingest.drain()

    assert len(world.database.tables.events) == BATCH_EVENTS_MAX * 2
    await waiting


async def test_draining_waits_for_what_is_locked_or_slow(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    What went back into the queue, and what is saved alone, are not forgotten.
    """
    await marked_slow(ledger, ingest, BOB)
    world.database.locked = {ADAS}
    waiting = handed_in(ingest, an_event_of(ADA), an_event_of(BOB, 1))
    await until(lambda: (time.sleepers, ledger.slow_now) == (1, 1))
    drained = asyncio.create_task(ingest.drain())
    ledger.may_time_out.set()
    await until(waiting[1].done)
    await turns()
    assert not drained.done()
    world.database.locked = set()
    time.pass_by(BACK_OFF_MAX_S)
    await drained

    assert await answers(waiting) == [Receipt(APPLIED), StoreUnavailable]
