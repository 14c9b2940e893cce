"""An event that fails, or a store that does, harms no other event."""

from collections.abc import Sequence

import attrs
import pytest

from contracts.examples import ADA, APPLIED, BOB, a_payment, an_event
from contracts.faults import FaultyLedger, no_fault, unheard_of
from contracts.worlds import World
from payments_core.changes import Changes
from payments_core.decide import event_job
from payments_core.errors import AccountBusy, StoreUnavailable
from payments_core.events import EventState, Outcome, Receipt
from payments_core.payment import Payment
from payments_core.use_cases.record_facts import ROUNDS_MAX
from payments_service.ingest_queue import WAIT_S, IngestQueue
from support.ingest_queue import (
    ADAS,
    BOBS,
    Time,
    all_of,
    an_event_of,
    answers,
    events,
    handed_in,
    unavailable,
    until,
)

pytestmark = pytest.mark.anyio


# Events that cannot be applied


async def test_p35_a_failing_event_is_kept_and_its_neighbours_are_applied(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, failed: list[str]
) -> None:
    """
    Of the same account, in the same save; the event gets a job, and its failure is
    reported.
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
    assert world.account().summary.latest is not None
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
    Its payment is known already, linked or not, from before or from the batch.
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
    Its reason is stored, and nothing else of it; a repeat is a duplicate, which
    requests its job again.
    """
    event = an_event(report=unheard_of(a_payment(user=ADA)), body=b"poison")
    first, second = await ingest(event), await ingest(event)

    job = event_job(event.key)
    assert first.outcome == Outcome(EventState.PENDING, "failed: KeyError", job)
    assert list(world.database.tables.jobs) == [job]
    assert world.database.tables.jobs[job].requests == 2
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
    The caller gets an error; the next event is recorded normally.
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


async def test_without_a_database_all_of_the_batch_come_again(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, failed: list[str]
) -> None:
    """
    Once, not one by one: no event is set aside because a server is down.
    """
    ledger.fault = unavailable
    found = await answers(handed_in(ingest, *events(3)))

    assert found == [StoreUnavailable] * 3
    assert ledger.batches == [3]
    assert not world.database.tables.events
    assert not failed
    ledger.fault = no_fault

    assert await all_of(handed_in(ingest, *events(3))) == [Receipt(APPLIED)] * 3


async def test_p03_f13_a_batch_whose_reply_was_lost_comes_again_and_is_a_duplicate(
    world: World, ledger: FaultyLedger, ingest: IngestQueue
) -> None:
    """
    No caller learns that it was recorded; the second delivery changes nothing.
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
    At once: the other writer made progress. Its neighbours are saved at the first
    attempt.
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
    """Save Ada's account, as another writer."""
    tables = world.database.tables.copy()
    account = tables.accounts[ADA]
    tables.put_account(attrs.evolve(account, version=account.version + 1))
    world.database.tables = tables


async def test_what_is_changed_all_the_time_is_busy_in_the_end(
    world: World, ledger: FaultyLedger, ingest: IngestQueue, time: Time
) -> None:
    """
    It is decided again a bounded number of times at once, then once more a little
    later.
    """
    ledger.fault = lambda _: bump(world)
    (waiting,) = handed_in(ingest, an_event_of(ADA))
    await until(lambda: time.sleepers == 1)
    assert len(ledger.saves) == ROUNDS_MAX
    time.pass_by(WAIT_S)

    assert await answers([waiting]) == [AccountBusy]
    assert len(ledger.saves) == ROUNDS_MAX
    assert not world.database.tables.events
