"""The properties of the write path: order, copies and batches do not matter."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import cycle, repeat
from typing import Final

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.examples import (
    ADA,
    BOB,
    CH_1,
    CUS_2,
    NOON,
    a_payment,
    an_account,
    an_event,
    key_of,
)
from contracts.stores import first_page
from contracts.worlds import (
    World,
    a_world,
    deliveries,
    events_of,
    histories,
    model,
)
from payments_core.account import PaymentAccount
from payments_core.entitlement import PaymentStatus, standing
from payments_core.events import EventState, Outcome, Receipt, SyncNeeded
from payments_core.facts import facts_of
from payments_core.job_key import JobKey, JobKind
from payments_core.payment import DisputeState, Payment, PaymentId, PaymentState
from payments_core.policy import Policy
from support.profiles import examples

pytestmark = pytest.mark.anyio

# Ada's customer is bound by the first payment that names her, Bob's from the start.
PEOPLE: Final = (an_account(ADA), an_account(BOB, customer=CUS_2))
DAY: Final = timedelta(days=1)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """
    One loop for thousands of examples, each run by the loop itself: `Runner.run`
    restores the handler of SIGINT after each example, and then Python prints the world
    it returns.
    """
    with asyncio.Runner() as runner:
        yield runner.get_loop()


async def applied(
    reports: list[Payment], sizes: Iterator[int], *people: PaymentAccount
) -> World:
    """Apply an event for each report, in batches of these sizes."""
    world = await a_world(*people)
    events = events_of(reports)
    while events:
        batch = events[: next(sizes)]
        await world.apply(batch)
        events = events[len(batch) :]
    return world


@settings(max_examples=examples(750, proven=20_000))
@given(data=st.data(), history=histories())
def test_p01_order_and_copies_do_not_matter(
    loop: asyncio.AbstractEventLoop, data: st.DataObject, history: list[Payment]
) -> None:
    """
    Whatever the order and the copies: the accounts and payments of the model.
    """
    reports = data.draw(deliveries(history))
    world = loop.run_until_complete(applied(reports, repeat(1), *PEOPLE))

    assert world.saved() == model(history, PEOPLE)


@settings(max_examples=examples(300, proven=5_000))
@given(
    data=st.data(),
    history=histories(),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5),
)
def test_p06_batches_do_not_matter(
    loop: asyncio.AbstractEventLoop,
    data: st.DataObject,
    history: list[Payment],
    sizes: list[int],
) -> None:
    """
    However events are split into transactions, the result is the same.
    """
    reports = data.draw(deliveries(history))
    world = loop.run_until_complete(applied(reports, cycle(sizes), *PEOPLE))

    assert world.saved() == model(history, PEOPLE)


@given(data=st.data(), history=histories(), days=st.integers(-800, 800))
def test_p06_a_checkpoint_says_what_all_payments_say(
    loop: asyncio.AbstractEventLoop,
    data: st.DataObject,
    history: list[Payment],
    days: int,
) -> None:
    """
    An account's own entitlement is derived from its facts, at any time.
    """
    reports = data.draw(deliveries(history))
    accounts, records = loop.run_until_complete(
        applied(reports, repeat(2), *PEOPLE)
    ).saved()
    now = NOON + days * DAY

    for user, account in accounts.items():
        own = [r.payment for r in records.values() if r.user_id == user]
        assert account.standing(now=now, policy=Policy()) == standing(
            own, now=now, policy=Policy()
        )


@given(history=histories())
def test_p02_delivering_again_changes_nothing(
    loop: asyncio.AbstractEventLoop, history: list[Payment]
) -> None:
    """
    The same events once more: all are duplicates, and no row is saved but the jobs of
    events that were not applied.
    """
    world = loop.run_until_complete(applied(history, repeat(1)))
    before = world.database.tables
    receipts = loop.run_until_complete(world.deliver(events_of(history)))

    assert receipts == [Receipt(None)] * len(history)
    after = world.database.tables
    assert attrs.evolve(after, jobs={}) == attrs.evolve(before, jobs={})
    waited_for = {it.outcome.waits_for for it in before.events.values()}
    asked = {key for key, job in after.jobs.items() if job != before.jobs.get(key)}
    assert asked <= waited_for


def takes_back(report: Payment) -> bool:
    return (
        report.state is PaymentState.REFUNDED
        or report.refunded_minor > 0
        # Contradicted means: lost, and won as well.
        or report.dispute in {DisputeState.LOST, DisputeState.CONTRADICTED}
    )


async def dates_after_each(reports: list[Payment]) -> list[datetime]:
    """Return Ada's date after each report, if she has one."""
    world = await a_world()
    dates = []
    for event in events_of(reports):
        await world.apply([event])
        if term := world.account().summary.prepaid:
            dates.append(term.ends_at)
    return dates


@settings(max_examples=examples(300, proven=5_000))
@given(data=st.data(), history=histories())
def test_p08_only_a_refund_or_a_lost_dispute_moves_the_date_back(
    loop: asyncio.AbstractEventLoop, data: st.DataObject, history: list[Payment]
) -> None:
    """
    With nothing taken back, each report leaves the date or moves it forward.
    """
    kind = [report for report in history if not takes_back(report)]
    dates = loop.run_until_complete(dates_after_each(data.draw(st.permutations(kind))))

    assert dates == sorted(dates)


async def test_an_event_twice_in_one_batch_counts_once() -> None:
    """
    One is applied, its copy is a duplicate.
    """
    world = await a_world()
    event = an_event(report=a_payment(user=ADA))
    first, second = await world.apply([event, event])

    assert first.outcome == Outcome(EventState.APPLIED)
    assert second.duplicate
    assert len(world.database.tables.events) == 1


async def test_events_that_share_an_id_but_no_type_are_both_applied() -> None:
    """
    The gateway's own samples share one.
    """
    world = await a_world()
    failed = a_payment("ch_f", PaymentState.FAILED, user=ADA)
    receipts = await world.apply(
        [
            an_event(report=a_payment(user=ADA)),
            an_event(report=failed, type_="charge.failed"),
        ]
    )

    assert [receipt.duplicate for receipt in receipts] == [False, False]
    assert set(world.database.tables.payments) == {CH_1, "ch_f"}


async def test_nothing_to_apply_is_nothing() -> None:
    """
    An empty batch returns nothing.
    """
    world = await a_world()
    assert list(await world.apply([])) == []


@pytest.mark.parametrize("livemode", [True, False])
async def test_an_event_of_the_other_mode_is_quarantined(*, livemode: bool) -> None:
    """
    Test money pays for nothing in live mode, and the other way round.
    """
    world = await a_world()
    record = attrs.evolve(world.record, policy=Policy(livemode=livemode))
    event = attrs.evolve(an_event(report=a_payment(user=ADA)), livemode=not livemode)
    (recorded,) = await record([facts_of(event)])

    assert recorded.is_kept
    assert recorded.outcome == Outcome(EventState.QUARANTINED, "livemode is not ours")
    assert not world.database.tables.payments
    assert world.account().summary.latest is None


async def test_a_doubt_is_pending_with_its_reason() -> None:
    """
    The worker has a job for it; nothing follows from it until then.
    """
    world = await a_world()
    (receipt,) = await world.apply(
        [an_event(report=SyncNeeded.of_payment(CH_1, "unknown shape"))]
    )

    job = JobKey(JobKind.PAYMENT, CH_1)
    assert receipt.outcome == Outcome(EventState.PENDING, "unknown shape", job)
    assert list(world.database.tables.jobs) == [job]
    assert not world.database.tables.payments


async def test_a_type_that_we_do_not_follow_is_kept_and_ignored() -> None:
    """
    There is nothing to do, and nothing is lost.
    """
    world = await a_world()
    unknown = attrs.evolve(
        an_event(type_="radar.warning", body=b"\x00"),
        ignored_because="its type is not known",
    )
    (receipt,) = await world.apply([unknown])

    assert receipt.outcome == Outcome(EventState.IGNORED, "its type is not known")
    (event,) = await world.log.find("evt_1")
    assert event.body == b"\x00"


async def test_a_contradiction_is_pending_and_nobody_is_called_a_debtor() -> None:
    """
    Failed and succeeded for one charge: the month stays until the gateway is asked.
    """
    world = await a_world()
    succeeded = a_payment(user=ADA)
    failed = a_payment(state=PaymentState.FAILED, user=ADA)
    await world.apply([an_event(report=succeeded)])
    (receipt,) = await world.apply([an_event("evt_2", failed)])

    job = JobKey(JobKind.PAYMENT, CH_1)
    reason = "contradicts an earlier report"
    assert receipt.outcome == Outcome(EventState.PENDING, reason, job)
    assert list(world.database.tables.jobs) == [job]
    found = world.account().standing(now=NOON, policy=Policy())
    assert (found.payment_status, found.entitled) == (PaymentStatus.PENDING, True)


async def test_events_are_kept_with_the_time_of_the_clock() -> None:
    """
    The time of receipt is our clock's; the time at which it was made is the gateway's.
    """
    world = await a_world()
    world.clock.advance(DAY)
    await world.apply([an_event(report=a_payment(user=ADA))])

    (event,) = await first_page(world.log)
    assert event.key == key_of("evt_1")
    assert event.received_at == NOON + DAY
    assert event.created_at == an_event().created_at
    assert event.user_id == ADA


async def test_a_report_that_adds_nothing_saves_nothing() -> None:
    """
    Another event with the same report leaves account and payment as they are.
    """
    world = await a_world()
    await world.apply([an_event("evt_1", a_payment(user=ADA))])
    account, payment = world.account(), world.database.tables.payments
    await world.apply([an_event("evt_2", a_payment(user=ADA))])

    assert (world.account(), world.database.tables.payments) == (account, payment)
    assert world.owner(PaymentId(CH_1)) == ADA
    assert world.account().customer_id is None
