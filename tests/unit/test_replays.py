"""Replays by hand: who may, what is applied again, what is refused."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest

from contracts.examples import ADA, CH_1, NOON, a_payment, an_account, an_event
from payments_adapters.memory import (
    FixedClock,
    MemoryDatabase,
    MemoryEventLog,
    MemoryLedger,
)
from payments_adapters.memory.tables import EventRow
from payments_adapters.stripe import translate
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.decide import event_job
from payments_core.errors import (
    EventApplied,
    EventBodyGone,
    EventClosed,
    EventNotFound,
    EventOfOtherMode,
    InvalidValue,
    ScopeRequired,
)
from payments_core.events import EventKey, EventState, GatewayEvent, Outcome
from payments_core.identity import CustomerId, Email
from payments_core.policy import Policy
from payments_core.use_cases import (
    EventFilter,
    RecordFacts,
    RegisterUser,
    Replayed,
    ReplayEvents,
)
from payments_core.use_cases.replays import BATCH
from support.deciding import Kept
from support.deployment import BEGINNING, Deployment, admin, caller_of
from support.events import SUCCEEDED, event

pytestmark = pytest.mark.anyio

CLOCK: Final = FixedClock(NOON)
EVENT: Final = "evt_1"
ROOT: Final = admin()
PENDING: Final = EventState.PENDING
QUARANTINED: Final = EventState.QUARANTINED
IGNORED: Final = EventState.IGNORED
# As a database reads an event whose partition was dropped.
GONE: Final[Any] = None


@attrs.define
class Log:
    database: MemoryDatabase = attrs.field(
        factory=lambda: Kept.of(an_account(ADA)).database
    )

    @property
    def replay(self) -> ReplayEvents:
        record = RecordFacts(MemoryLedger(self.database), CLOCK, CLOCK, Policy())
        return ReplayEvents(record, MemoryEventLog(self.database))

    @property
    def changes(self) -> Sequence[ChangeByHand]:
        return [it for _, it in self.database.tables.changes_by_hand]

    def keep(self, event: GatewayEvent, state: EventState, *, seconds: int = 0) -> None:
        tables = self.database.tables.copy()
        at = NOON + timedelta(seconds=seconds)
        tables.put_event(EventRow(event, at, Outcome(state)))
        self.database.tables = tables

    async def all(self, **wanted: Any) -> Replayed:
        """Replay what a filter finds, in however many batches."""
        given = {
            it: wanted.pop(it) for it in ("state", "type", "since") if it in wanted
        }
        found = [
            it async for it in self.replay(EventFilter(**given), caller=ROOT, **wanted)
        ]
        return Replayed(
            [job for it in found for job in it.jobs],
            [one for it in found for one in it.refused],
        )


async def test_an_event_that_was_kept_apart_is_applied_again_by_a_job() -> None:
    """
    A dry run requests nothing. Who requested it, and why, is in the audit log.
    """
    log = Log()
    log.keep(an_event(EVENT), QUARANTINED)
    key = event_job(an_event(EVENT).key)

    planned = await log.replay.one(EVENT, dry_run=True, caller=ROOT)
    assert planned == Replayed([key])
    assert not log.database.tables.jobs
    assert await log.replay.one(EVENT, "mended", caller=ROOT) == Replayed([key])

    assert log.database.tables.jobs[key].is_due(NOON)
    assert log.changes == [
        ChangeByHand(
            action=ActionByHand.REPLAY_EVENT,
            subject=EVENT,
            event_type="charge.succeeded",
            decided=ByHand(by=ROOT.user_id, reason="mended"),
        )
    ]


@pytest.mark.parametrize(
    ("event", "state", "error"),
    [
        (an_event(EVENT), EventState.APPLIED, EventApplied),
        (an_event(EVENT), EventState.CLOSED, EventClosed),
        (attrs.evolve(an_event(EVENT), livemode=True), QUARANTINED, EventOfOtherMode),
        (attrs.evolve(an_event(EVENT), body=GONE), QUARANTINED, EventBodyGone),
    ],
)
async def test_t74_what_cannot_be_applied_again_is_refused(
    event: GatewayEvent, state: EventState, error: type[Exception]
) -> None:
    """
    Also if another event with its id can be: that one is requested.
    """
    log = Log()
    with pytest.raises(EventNotFound):
        await log.replay.one(EVENT, caller=ROOT)
    log.keep(event, state)
    with pytest.raises(error):
        await log.replay.one(EVENT, caller=ROOT)
    assert not log.database.tables.jobs

    sample = an_event(EVENT, type_="charge.failed")
    log.keep(sample, QUARANTINED)
    replayed = await log.replay.one(EVENT, caller=ROOT)

    assert replayed.jobs == [event_job(sample.key)]
    ((key, why),) = replayed.refused
    assert (key, type(why)) == (event.key, error)
    assert [it.event_type for it in log.changes] == ["charge.failed"]


async def test_all_open_events_are_asked_for_a_batch_a_save() -> None:
    """
    Pending and quarantined; ignored ones only if their state is named.
    """
    log = Log()
    for number in range(BATCH + 1):
        log.keep(an_event(f"evt_p{number:03}"), PENDING, seconds=number)
        log.keep(an_event(f"evt_i{number:03}"), IGNORED, seconds=number)
    log.keep(an_event("evt_q"), QUARANTINED)
    log.keep(an_event("evt_a"), EventState.APPLIED)
    log.keep(an_event("evt_c"), EventState.CLOSED)

    batches = [it async for it in log.replay(EventFilter(), caller=ROOT)]

    assert [len(it.jobs) for it in batches] == [BATCH, 1, 1]
    assert not any(it.refused for it in batches)
    subjects = {it.subject for it in log.changes}
    assert subjects == {"evt_q", *(f"evt_p{number:03}" for number in range(BATCH + 1))}
    assert len(log.database.tables.jobs) == BATCH + 2


async def test_a_limit_of_more_than_a_batch_is_several_batches() -> None:
    """
    No save has more than a batch, however many are requested.
    """
    log = Log()
    for number in range(BATCH + 3):
        log.keep(an_event(f"evt_{number:03}"), PENDING, seconds=number)

    asked = log.replay(EventFilter(), limit=BATCH + 2, caller=ROOT)

    assert [len(it.jobs) async for it in asked] == [BATCH, 2]


async def test_events_are_asked_for_by_state_type_and_time() -> None:
    """
    All at once, too. What cannot be applied is reported, and does not count against the
    limit.
    """
    log = Log()
    for number, state in enumerate((PENDING, QUARANTINED, IGNORED)):
        for type_ in ("a.a", "b.b"):
            log.keep(an_event(f"evt_{number}", type_=type_), state, seconds=number)
    gone = attrs.evolve(an_event("evt_9", type_="a.a"), body=GONE)
    log.keep(gone, QUARANTINED, seconds=9)
    at = NOON + timedelta(seconds=1)

    def keys(replayed: Replayed) -> list[str]:
        return [it.subject for it in replayed.jobs]

    assert keys(await log.all(state=PENDING)) == ["evt_0 b.b", "evt_0 a.a"]
    assert keys(await log.all(type="a.a")) == ["evt_0 a.a", "evt_1 a.a"]
    assert keys(await log.all(since=at)) == ["evt_1 b.b", "evt_1 a.a"]
    ignored = await log.all(state=IGNORED, since=NOON, type="b.b")
    assert keys(ignored) == ["evt_2 b.b"]
    assert not keys(await log.all(type="c.c"))
    limited = await log.all(state=QUARANTINED, limit=1)
    assert keys(limited) == ["evt_1 b.b"]
    ((key, why),) = limited.refused
    assert key == EventKey("evt_9", "a.a")
    assert isinstance(why, EventBodyGone)


async def test_t74_to_ask_twice_is_harmless() -> None:
    """
    It is one job, and is applied once.
    """
    log = Log()
    event = an_event(EVENT, a_payment(CH_1, user=ADA))
    log.keep(event, PENDING)

    assert await log.all(state=PENDING) == await log.all(state=PENDING)

    assert list(log.database.tables.jobs) == [event_job(event.key)]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"state": EventState.APPLIED}, "state"),
        ({"state": EventState.CLOSED}, "state"),
        ({"state": IGNORED}, "since"),
    ],
)
def test_what_cannot_be_meant_is_no_filter(wanted: dict[str, Any], field: str) -> None:
    """
    Ignored events are found by reading the log, which may have millions of them.
    """
    with pytest.raises(InvalidValue) as refused:
        EventFilter(**wanted)
    assert refused.value.field == field


async def test_only_an_administrator_may() -> None:
    """
    With a valid reason, if one is given.
    """
    log, user = Log(), caller_of(ADA)
    log.keep(an_event(EVENT), QUARANTINED)
    for asked in (
        log.replay.one(EVENT, caller=user),
        anext(log.replay(EventFilter(), caller=user)),
    ):
        with pytest.raises(ScopeRequired):
            await asked
    with pytest.raises(InvalidValue, match="reason"):
        await log.replay.one(EVENT, " ", caller=ROOT)
    with pytest.raises(InvalidValue, match="reason"):
        await log.all(reason="a\x00b")
    assert not log.changes


def charged(number: int, **fields: Any) -> GatewayEvent:
    """Return a charge's event with the body that was received."""
    body = json.dumps(event(SUCCEEDED, number, **fields)).encode()
    return translate(body, livemode=False)


async def replay_ignored(deployment: Deployment) -> None:
    """Replay what was ignored since the beginning, and do the jobs."""
    replay = ReplayEvents(deployment.record, MemoryEventLog(deployment.database))
    wanted = EventFilter(state=IGNORED, since=BEGINNING)
    assert [it async for it in replay(wanted, caller=ROOT) if it.jobs]
    await deployment.work()


def state_of(deployment: Deployment, event: GatewayEvent) -> EventState:
    return deployment.database.tables.events[event.key].outcome.state


async def test_what_an_older_release_did_not_follow_is_applied_after_an_upgrade() -> (
    None
):
    """
    Its body is read again; a type that no release follows yet is ignored again.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        paid = charged(1, customer=None, metadata={"user_id": ADA})
        plan = attrs.evolve(charged(2), type="plan.created")
        body = plan.body.replace(b'"charge.succeeded"', b'"plan.created"')
        plan = attrs.evolve(plan, body=body)
        for one in (paid, plan):
            # As stored by a release that does not follow the type.
            kept = attrs.evolve(one, report=None)
            tables = deployment.database.tables
            tables.put_event(EventRow(kept, deployment.clock.now, Outcome(IGNORED)))

        await replay_ignored(deployment)

        assert state_of(deployment, paid) is EventState.APPLIED
        assert state_of(deployment, plan) is IGNORED
        assert (await deployment.account()).payment_expire_date is not None


async def test_what_was_of_no_user_is_applied_once_it_is_somebodys() -> None:
    """
    Of a customer's cards, when the customer was not bound as the event arrived.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        customer = deployment.api.post("customers", email="ada@example.com")["id"]
        card = deployment.api.post(
            "payment_methods/pm_card_visa/attach", customer=customer
        )
        settings = {"default_payment_method": card["id"]}
        deployment.api.post(f"customers/{customer}", invoice_settings=settings)
        await deployment.hear()
        ignored = [
            it.event
            for it in deployment.database.tables.events.values()
            if it.outcome.reason == "its customer is not bound"
        ]
        assert ignored
        await RegisterUser(deployment.record)(
            ADA, Email.of("ada@example.com"), CustomerId(customer)
        )

        await replay_ignored(deployment)

        for one in ignored:
            assert state_of(deployment, one) is EventState.APPLIED
        assert (await deployment.account()).card is not None
