"""What is locked or slow waits alone; its neighbours are answered."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from contracts.examples import ADA, APPLIED, BOB
from contracts.faults import FaultyLedger, no_fault
from contracts.worlds import World
from payments_core.changes import Changes
from payments_core.errors import AccountBusy, SaveTimedOut, StoreUnavailable
from payments_core.events import Receipt
from payments_service.ingest_queue import (
    BACK_OFF_FIRST_S,
    BACK_OFF_MAX_S,
    BATCH_EVENTS_MAX,
    SLOW_FOR_S,
    WAIT_S,
    IngestQueue,
)
from support.ingest_queue import (
    ADAS,
    BOBS,
    EVE,
    EVES,
    Time,
    all_of,
    an_event_of,
    answers,
    events,
    handed_in,
    marked_slow,
    turns,
    until,
)

pytestmark = pytest.mark.anyio


# What is locked


async def test_a_locked_group_goes_back_and_its_neighbours_are_answered(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    Those of its batch and those that come later; it is saved once the lock is released.
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
    It is retried after longer and longer waits, and at the deadline of each event for
    the last time.
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
    Twice as long each time, except for the jitter, which at most halves it.
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
    One after the other; those that are quick are applied, and share saves from then on.
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


async def test_f14_a_save_that_timed_out_but_was_done_makes_duplicates(
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
    Those events may or may not be stored, and are sent again; the others are recorded.
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
    Several of them in one batch delay the others briefly, and are refused last.
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
    Even if it is quick again; after that it shares saves like any other.
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
    Another process may be in a slow save of it: in a shared save it would slow others
    down.
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


async def test_at_most_one_save_of_slow_groups_is_under_way(
    ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    The others continue meanwhile, in as many batches as they need.
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
    A batch of a slow group has a limit too; an event beyond it does not wait for ever.
    """
    await marked_slow(ledger, ingest, ADA)
    waiting = handed_in(ingest, *events(BATCH_EVENTS_MAX + 2, first=1))
    await until(lambda: ledger.slow_now == 1)
    # Those beyond the limit are in the next batch, and are found to be slow as well.
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
