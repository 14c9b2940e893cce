"""Subscriptions through the write path: what is applied, and what waits for a sync."""

from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CUS_2,
    NOON,
    SUB_1,
    a_job,
    a_job_key,
    a_payment,
    a_report,
    a_subscription,
    a_term,
    an_account,
    an_event,
)
from contracts.faults import unheard_of
from contracts.worlds import World, a_world
from payments_adapters.memory import MemoryWorkQueue
from payments_core.account import PaymentAccount
from payments_core.decide import event_job
from payments_core.events import (
    EventState,
    GatewayEvent,
    Outcome,
    QuarantineNeeded,
    Receipt,
    Report,
    SyncNeeded,
)
from payments_core.facts import SourcedFacts, SubscriptionObserved, facts_of
from payments_core.job import QUICK_ATTEMPTS, Job, JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.subscription import Subscription, SubscriptionStatus
from payments_core.use_cases import RecordedState

pytestmark = pytest.mark.anyio

S: Final = SubscriptionStatus
NOT_KNOWN: Final = Outcome(EventState.PENDING, "not known yet", a_job_key())


def event(id_: str, report: Report, *, second: int = 1) -> GatewayEvent:
    """Return an event that was made so many seconds after noon."""
    return attrs.evolve(
        an_event(id_, report, type_="customer.subscription.updated"),
        created_at=NOON + timedelta(seconds=second),
    )


async def a_world_with(subscription: Subscription) -> World:
    world = await a_world(an_account(ADA), an_account(BOB, customer=CUS_2))
    kept = attrs.evolve(subscription, version=1)
    world.database.tables.put_subscription(kept)
    world.database.last_sequence = subscription.sequence
    return world


def known(world: World) -> Subscription:
    return attrs.evolve(world.database.tables.subscriptions[SUB_1], version=0)


def whole(world: World) -> PaymentAccount:
    return world.database.tables.whole(world.account())


async def outcome_of(world: World, event: GatewayEvent) -> Outcome | None:
    (receipt,) = await world.apply([event])
    return receipt.outcome


async def test_a_subscription_that_is_not_known_waits_for_a_look() -> None:
    """
    No payload says how new it is; the worker asks the gateway.
    """
    world = await a_world()

    assert await outcome_of(world, event("evt_1", a_report())) == NOT_KNOWN
    assert not world.database.tables.subscriptions
    assert world.database.tables.jobs == {a_job_key(): a_job()}


async def test_a_report_that_is_surely_newer_applies_with_its_sequence() -> None:
    """
    The number of the load that it was decided on. The account follows; nothing waits.
    """
    world = await a_world_with(a_subscription(owner=ADA))
    report = a_report(status=S.PAST_DUE)

    assert await outcome_of(world, event("evt_1", report, second=2)) == APPLIED
    assert known(world) == a_subscription(
        report, owner=ADA, as_of=NOON + timedelta(seconds=2), sequence=2
    )
    assert whole(world).payment_status == "failed"
    assert not world.database.tables.jobs


async def test_reports_of_one_batch_share_its_sequence() -> None:
    """
    The one that is surely newer applies after the other, in the order of the batch;
    what was requested before that load is older than both.
    """
    world = await a_world_with(a_subscription(owner=ADA))
    await world.apply(
        [
            event("evt_1", a_report(status=S.PAST_DUE), second=9),
            event("evt_2", a_payment(user=ADA)),
            event("evt_3", a_report(status=S.ACTIVE), second=19),
        ]
    )

    assert (known(world).status, known(world).sequence) == (S.ACTIVE, 2)
    asked_before = SubscriptionObserved(
        report=a_report(status=S.UNPAID), at=NOON + timedelta(minutes=1), sequence=2
    )
    await world.record([SourcedFacts(facts=(asked_before,))])
    assert known(world).status is S.ACTIVE


async def test_an_end_applies_and_is_looked_up_for_what_was_paid() -> None:
    """
    The event waits for that sync, the state does not.
    """
    world = await a_world_with(a_subscription(owner=ADA))
    outcome = await outcome_of(world, event("evt_1", a_report(status=S.CANCELED)))

    assert outcome == Outcome(EventState.PENDING, "ended", a_job_key())
    assert known(world).status is S.CANCELED


async def test_a_paid_term_waits_for_its_subscription() -> None:
    """
    Whether or not it has an owner, it applies once its subscription is known.
    """
    empty = await a_world()
    reason = "its subscription is not known yet"
    waiting = Outcome(EventState.PENDING, reason, a_job_key())
    assert await outcome_of(empty, event("evt_1", a_term())) == waiting

    world = await a_world_with(a_subscription(owner=ADA))
    assert await outcome_of(world, event("evt_1", a_term())) == APPLIED
    assert whole(world).payment_expire_date == a_term().ends_at


async def test_what_says_no_more_waits_for_what_it_names() -> None:
    """
    The event names its job.
    """
    job = JobKey(JobKind.CUSTOMER, "cus_1")
    world = await a_world()
    outcome = await outcome_of(world, event("evt_1", SyncNeeded(job, "a card")))

    assert outcome is not None
    assert (outcome.state, outcome.waits_for) == (EventState.PENDING, job)
    assert list(world.database.tables.jobs) == [job]


async def test_what_waits_for_nothing_is_kept_apart() -> None:
    """
    It is quarantined with its reason; there is no job, and nothing would end its wait.
    """
    world = await a_world()
    outcome = await outcome_of(
        world, event("evt_1", QuarantineNeeded("it is not ours"))
    )

    assert outcome == Outcome(EventState.QUARANTINED, "it is not ours")
    assert not world.database.tables.jobs


async def test_a_redelivery_revives_what_an_event_waits_for() -> None:
    """
    The redelivery is a duplicate all the same, and the job has its quick attempts
    again.
    """
    key = JobKey(JobKind.CUSTOMER, "cus_1")
    world = await a_world()
    letter = event("evt_1", SyncNeeded(key, "a card"))
    await world.deliver([letter])
    tables = world.database.tables.copy()
    failing = attrs.evolve(tables.jobs[key].lease, attempts=QUICK_ATTEMPTS)
    tables.put_job(attrs.evolve(tables.jobs[key], lease=failing))
    world.database.tables = tables

    assert await world.deliver([letter]) == [Receipt(None)]
    job = world.database.tables.jobs[key]
    assert (job.is_failing, job.requests) == (False, 2)
    (kept,) = world.database.tables.events.values()
    assert kept.outcome == Outcome(EventState.PENDING, "a card", key)


async def test_a_redelivery_applies_what_was_kept_apart() -> None:
    """
    The reason may have gone by now: here, that it could not be read.
    """
    world = await a_world()
    payment = a_payment(user=ADA)
    await world.deliver([event("evt_1", QuarantineNeeded("body: not read"))])
    assert not world.database.tables.payments

    assert await world.deliver([event("evt_1", payment)]) == [Receipt(None)]
    assert payment.id in world.database.tables.payments
    (kept,) = world.database.tables.events.values()
    assert kept.outcome == APPLIED


async def test_of_the_other_mode_nothing_is_recorded_or_asked_for() -> None:
    """
    It is stored as quarantined, and nothing else changes.
    """
    world = await a_world()
    before = world.database.tables
    live = attrs.evolve(event("evt_1", a_report()), livemode=True)
    outcome = await outcome_of(world, live)

    assert outcome == Outcome(EventState.QUARANTINED, "livemode is not ours")
    after = world.database.tables
    assert list(after.events) == [live.key]
    assert attrs.evolve(after, events={}) == before


async def test_t23_a_report_of_another_users_customer_is_quarantined() -> None:
    """
    Neither account changes, and nothing is fetched.
    """
    world = await a_world_with(a_subscription(owner=ADA))
    before = world.database.tables
    forged = a_report(status=S.CANCELED, customer=CUS_2)
    outcome = await outcome_of(world, event("evt_1", forged, second=9))

    assert outcome is not None
    assert outcome.state is EventState.QUARANTINED
    after = world.database.tables
    assert (after.subscriptions, after.jobs) == (before.subscriptions, before.jobs)


async def test_an_event_that_cannot_be_decided_on_is_applied_again_by_its_job() -> None:
    """
    Pending at first, with a job that is due after a first back-off.
    """
    world = await a_world_with(a_subscription(owner=ADA))
    report = a_report(status=S.PAST_DUE)
    late = event("evt_1", unheard_of(report), second=9)
    key = event_job(late.key)

    assert await outcome_of(world, late) == Outcome(
        EventState.PENDING, "failed: KeyError", key
    )
    due = Job.due(key, "failed: KeyError", NOON)
    assert world.database.tables.jobs == {key: due.failed(NOON, "failed: KeyError")}
    assert known(world).status is S.ACTIVE

    (claimed,) = await MemoryWorkQueue(world.database).claim(
        now=NOON + timedelta(hours=1), limit=9
    )
    assert isinstance(claimed.work, Job)
    mended = facts_of(attrs.evolve(late, report=report))
    (recorded,) = await world.record(
        [attrs.evolve(mended, reapplied=True, job=claimed.work)]
    )
    assert recorded.outcome == APPLIED
    assert known(world).status is S.PAST_DUE
    assert world.database.tables.events[late.key].outcome == APPLIED
    assert world.database.tables.jobs[key].state is JobState.DONE


async def test_an_event_that_was_applied_meanwhile_is_not_applied_again() -> None:
    """
    It is no longer pending: applying it again gives a duplicate.
    """
    world = await a_world_with(a_subscription(owner=ADA))
    done = event("evt_1", a_report(status=S.PAST_DUE), second=9)
    assert await outcome_of(world, done) == APPLIED
    before = world.database.tables
    again = attrs.evolve(facts_of(done), reapplied=True)
    (recorded,) = await world.record([again])

    assert recorded.state is RecordedState.DUPLICATE
    assert world.database.tables == before


async def test_registering_links_a_subscription_that_was_nobodys() -> None:
    """
    With all its effects on the account.
    """
    nobodys = a_subscription(a_report(user="eve"), term=a_term())
    world = await a_world_with(nobodys)
    eve = an_account("eve")
    await world.register(eve.user_id, eve.email)

    account = world.database.tables.whole(world.account(eve.user_id))
    assert known(world).user_id == eve.user_id
    assert account.payment_expire_date == a_term().ends_at
