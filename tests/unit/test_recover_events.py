"""Events that the gateway could not deliver are requested by hand, and recorded."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import pytest
from typing_extensions import override

from contracts.examples import ADA, CH_1, NOON, a_payment, an_account, an_event
from contracts.faults import FaultyLedger
from payments_adapters.memory import (
    FixedClock,
    MemoryAccountDirectory,
    MemoryDatabase,
    MemoryEventLog,
    MemoryGateway,
    MemoryLedger,
)
from payments_adapters.memory.tables import EventRow
from payments_core.back_fill import KEPT_FOR
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.changes import Changes
from payments_core.decide import event_job
from payments_core.errors import (
    GatewayNotAttempted,
    InvalidValue,
    ScopeRequired,
    StoreUnavailable,
)
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import EventKey, EventState, Outcome, ReadFailed
from payments_core.identity import UserId
from payments_core.policy import Policy
from payments_core.use_cases import RecordFacts, RecoveredPage, RecoverEvents
from payments_core.use_cases.back_fill_events import PAGE_EVENTS
from payments_core.use_cases.patience import TRIES_MAX
from support.deciding import Kept
from support.deployment import admin, caller_of
from support.reconciling import no_wait

pytestmark = pytest.mark.anyio

ROOT: Final = admin()
SINCE: Final = NOON - timedelta(days=3)
SECOND: Final = timedelta(seconds=1)
# As a database reads a body whose partition was dropped.
GONE: Final[Any] = None


@attrs.define(eq=False)
class Listing(MemoryGateway):
    """Counts the pages, and is busy so many times first."""

    pages: int = 0
    busy: int = 0

    @override
    async def events(self, query: EventQuery) -> ListedEvents:
        if self.busy:
            self.busy -= 1
            raise GatewayNotAttempted("busy")
        self.pages += 1
        return await super().events(query)


@attrs.define
class Recovery:
    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))
    database: MemoryDatabase = attrs.field(
        factory=lambda: Kept.of(an_account(ADA)).database
    )
    gateway: Listing = attrs.field(
        default=attrs.Factory(lambda self: Listing(self.clock), takes_self=True)
    )
    ledger: Any = None

    @property
    def recover(self) -> RecoverEvents:
        ledger = self.ledger or MemoryLedger(self.database)
        # A wait for a lock takes no real second.
        record = RecordFacts(
            ledger,
            self.clock,
            self.clock,
            Policy(),
            monotonic=itertools.count().__next__,
            sleep=no_wait,
        )
        return RecoverEvents(
            self.gateway, MemoryEventLog(self.database), record, no_wait
        )

    def happen(self, count: int, *, type_: str = "charge.succeeded") -> list[EventKey]:
        """Make so many payments, one a second, that were not delivered."""
        events = self.gateway.objects.events
        first = len(events)
        for number in range(first, first + count):
            report = a_payment(f"ch_{number}", user=ADA) if "charge" in type_ else None
            event = an_event(f"evt_{number:04}", report, type_=type_)
            made_at = SINCE + number * SECOND
            events.append(attrs.evolve(event, created_at=made_at))
            self.gateway.objects.undelivered.add(event.id)
        return [it.key for it in events[first:]]

    def keep(self, number: int, state: EventState) -> None:
        tables = self.database.tables.copy()
        event = self.gateway.objects.events[number]
        tables.put_event(EventRow(event, NOON, Outcome(state)))
        self.database.tables = tables

    async def all(self, since: datetime = SINCE, **wanted: Any) -> RecoveredPage:
        """Return the results of all pages."""
        pages = [it async for it in self.recover(since, caller=ROOT, **wanted)]
        return RecoveredPage(
            recorded=[one for it in pages for one in it.recorded],
            again=[one for it in pages for one in it.again],
            known=sum(it.known for it in pages),
            unfollowed=sum(it.unfollowed for it in pages),
            failed=[one for it in pages for one in it.failed],
        )

    @property
    def changes(self) -> list[ChangeByHand]:
        return [it for _, it in self.database.tables.changes_by_hand]

    async def paid(self) -> bool:
        account = await MemoryAccountDirectory(self.database).find(UserId(ADA))
        return account is not None and account.payment_expire_date is not None


async def test_what_was_not_delivered_is_recorded_with_who_asked() -> None:
    """
    In the save of each event; what was delivered, or made before, is not requested.
    """
    recovery = Recovery()
    early, lost, delivered = recovery.happen(3)
    recovery.gateway.objects.undelivered.discard(delivered.id)

    found = await recovery.all(SINCE + SECOND, reason="the endpoint was down")

    assert found.recorded == [(lost, EventState.APPLIED)]
    assert early not in recovery.database.tables.events
    assert delivered not in recovery.database.tables.events
    assert await recovery.paid()
    assert recovery.changes == [
        ChangeByHand(
            action=ActionByHand.RECOVER_EVENT,
            subject=lost.id,
            event_type=lost.type,
            decided=ByHand(by=ROOT.user_id, reason="the endpoint was down"),
        )
    ]


async def test_a_dry_run_records_nothing() -> None:
    """
    It says what would be done, also for stored open events.
    """
    recovery = Recovery()
    lost, apart = recovery.happen(2)
    recovery.keep(1, EventState.QUARANTINED)
    before = recovery.database.tables

    found = await recovery.all(dry_run=True)

    assert (found.recorded, found.again) == ([(lost, None)], [apart])
    assert recovery.database.tables == before


async def test_what_is_known_is_left_alone_and_what_is_open_applied_again() -> None:
    """
    Applied, ignored or closed: known. Pending or quarantined: a job has it.
    """
    recovery = Recovery()
    keys = recovery.happen(len(EventState))
    for number, state in enumerate(EventState):
        recovery.keep(number, state)
    recovery.happen(2, type_="plan.created")
    open_ = [
        key
        for key, state in zip(keys, EventState, strict=True)
        if state in {EventState.PENDING, EventState.QUARANTINED}
    ]

    found = await recovery.all()

    assert (found.recorded, found.again) == ([], open_)
    assert (found.known, found.unfollowed) == (3, 2)
    assert {*recovery.database.tables.jobs} == {*map(event_job, open_)}
    assert {it.action for it in recovery.changes} == {ActionByHand.REPLAY_EVENT}


async def test_what_is_open_without_its_body_is_known() -> None:
    """
    It cannot be applied again; its neighbour can.
    """
    recovery = Recovery()
    _, with_body = recovery.happen(2)
    events = recovery.gateway.objects.events
    kept = events[0]
    events[0] = attrs.evolve(kept, body=GONE)
    recovery.keep(0, EventState.QUARANTINED)
    recovery.keep(1, EventState.QUARANTINED)
    events[0] = kept

    found = await recovery.all()

    assert (found.recorded, found.again, found.known) == ([], [with_body], 1)
    assert {*recovery.database.tables.jobs} == {event_job(with_body)}


async def test_it_reads_page_after_page_and_is_cheap_again() -> None:
    """
    In the order in which they were made; the second time nothing is recorded, and an
    interruption costs only the pages.
    """
    recovery = Recovery()
    keys = recovery.happen(2 * PAGE_EVENTS + 1)
    halfway = recovery.recover(SINCE, caller=ROOT)
    while len(recovery.changes) < PAGE_EVENTS:
        await anext(halfway)
    before = len(recovery.changes)

    found = await recovery.all()

    assert [*recovery.database.tables.events] == keys
    assert len(recovery.changes) == len(keys)
    assert len(found.recorded) == len(keys) - before > 0
    pages = recovery.gateway.pages
    again = await recovery.all()
    assert (again.recorded, again.known) == ([], len(keys))
    assert recovery.gateway.pages - pages < 25


async def test_a_busy_gateway_is_asked_again() -> None:
    """
    It gives up in the end; what was recorded stays.
    """
    recovery = Recovery()
    recovery.happen(1)
    recovery.gateway.busy = TRIES_MAX - 1
    assert len((await recovery.all()).recorded) == 1

    recovery.gateway.busy = TRIES_MAX
    with pytest.raises(GatewayNotAttempted):
        await recovery.all()


@pytest.mark.parametrize(
    ("since", "why"),
    [
        (NOON + SECOND, "in the future"),
        (NOON - KEPT_FOR - SECOND, "30 days"),
    ],
)
async def test_what_the_gateway_does_not_list_is_not_asked_for(
    since: datetime, why: str
) -> None:
    """
    The error says what to do instead.
    """
    recovery = Recovery()
    with pytest.raises(InvalidValue, match=why) as refused:
        await recovery.all(since)
    assert refused.value.field == "since"
    assert recovery.gateway.pages == 0
    await recovery.all(NOON - KEPT_FOR)
    assert recovery.gateway.pages == 1


async def test_a_database_that_is_gone_ends_it() -> None:
    """
    What was recorded until then stays, and the next run continues.
    """
    recovery = Recovery()
    keys = recovery.happen(2)

    def gone(_: Sequence[Changes]) -> None:
        raise StoreUnavailable

    recovery.ledger = FaultyLedger(MemoryLedger(recovery.database), gone)
    with pytest.raises(StoreUnavailable):
        await recovery.all()
    recovery.ledger = None
    assert [it for it, _ in (await recovery.all()).recorded] == keys


async def test_an_event_of_a_locked_account_is_told_and_left_for_later() -> None:
    """
    The others are recorded.
    """
    recovery = Recovery()
    recovery.happen(2)
    events = recovery.gateway.objects.events
    events[1] = attrs.evolve(events[1], report=a_payment(CH_1, user="nobody"))
    recovery.database.locked.add(f"user {ADA}")

    found = await recovery.all()

    assert [it.id for it in found.failed] == ["evt_0000"]
    assert [it.id for it, _ in found.recorded] == ["evt_0001"]
    recovery.database.locked.clear()
    assert len((await recovery.all()).recorded) == 1


async def test_f47_a_bug_that_one_event_meets_is_told_with_its_trace() -> None:
    """
    Once; the event is stored, and the others are applied.
    """
    recovery, heard = Recovery(), list[tuple[str, Exception]]()

    def listen(subject: str, error: Exception) -> None:
        heard.append((subject, error))

    recovery.happen(3)
    bug = KeyError("a bug")
    events = recovery.gateway.objects.events
    events[1] = attrs.evolve(events[1], report=ReadFailed(bug))
    recover = recovery.recover
    recover = attrs.evolve(recover, record=attrs.evolve(recover.record, on_bug=listen))

    pages = [it async for it in recover(SINCE, caller=ROOT)]

    recorded = {key.id: state for it in pages for key, state in it.recorded}
    assert recorded["evt_0001"] is EventState.PENDING
    assert recorded["evt_0000"] is recorded["evt_0002"] is EventState.APPLIED
    assert heard == [("evt_0001", bug)]
    assert bug.__traceback__ is not None
    assert {it.subject for it in recovery.changes} == set(recorded)


async def test_an_event_of_the_other_mode_is_recorded_with_who_asked_too() -> None:
    """
    Nothing else of it is, and every action by hand is noted.
    """
    recovery = Recovery()
    (other,) = recovery.happen(1)
    events = recovery.gateway.objects.events
    events[0] = attrs.evolve(events[0], livemode=True)

    found = await recovery.all()

    assert found.recorded == [(other, EventState.QUARANTINED)]
    assert [it.subject for it in recovery.changes] == [other.id]


async def test_only_an_administrator_may() -> None:
    """
    With a valid reason, if one is given.
    """
    recovery = Recovery()
    pages = recovery.recover(SINCE, caller=caller_of(UserId(ADA)))
    with pytest.raises(ScopeRequired):
        await anext(pages)
    with pytest.raises(InvalidValue, match="reason"):
        await recovery.all(reason="\n")
    assert recovery.gateway.pages == 0
