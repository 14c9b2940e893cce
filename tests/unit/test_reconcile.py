"""Drift: every change without an event is found, with kind and cause, and repaired."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs
import pytest
from typing_extensions import override

from payments_adapters.memory import (
    MemoryAuditLog,
    MemoryLedger,
    MemoryPaymentDirectory,
)
from payments_adapters.stripe import translate
from payments_core.back_fill import KEPT_FOR
from payments_core.changes import Changes, SaveResult
from payments_core.events import SyncNeeded
from payments_core.facts import SourcedFacts
from payments_core.job import QUICK_ATTEMPTS, JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.jobs import DriftCause, Finding, RunSweep
from payments_core.object_lists import ObjectList
from payments_core.payment import DisputeState, PaymentId
from payments_core.sweep import SweepPlace
from payments_core.use_cases import LinkPayment, LinkSubscription, ReadPaymentLink
from support.deployment import ADA, BEGINNING, admin
from support.drifts import (
    DRIFTS,
    INVENTED,
    OURS,
    REPORTED_ONLY,
    TIMED,
    K,
    cancel,
    kinds,
    refund,
    sell_disputed,
    sell_once,
)
from support.reconciling import A_MOMENT, Story, no_wait, told

# A little more than events are waited for.
A_WHILE: Final = timedelta(minutes=65)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with told() as it:
        yield it


async def test_p26_what_was_heard_is_no_drift(story: Story) -> None:
    """
    It is not fetched either: a page of each list is enough.
    """
    before = story.deployment.line.reads.total()
    assert await story.sweep() == []
    assert story.deployment.line.reads.total() - before == len(ObjectList)


@pytest.mark.parametrize("name", DRIFTS)
async def test_p26_f39_f41_what_is_not_heard_is_found_and_repaired(
    story: Story, name: str
) -> None:
    """
    By its kind and its cause; a report changes nothing, and after a repair nothing
    differs.
    """
    deed, expected = DRIFTS[name]
    await story.deployment.advance(A_WHILE)
    await deed(story)
    # All of it is lost.
    await story.deployment.hear([], apply_only=True)
    await story.deployment.advance(A_WHILE)

    found = await story.sweep()
    assert kinds(found) == expected
    why = causes(found)
    if name in TIMED:
        # If the object has no time, the event that made it was received.
        assert DriftCause.WHILE_DOWN in why
        assert why <= {DriftCause.WHILE_DOWN, DriftCause.EVENT_LOST}
    elif expected:
        lost = name not in INVENTED
        assert why == {DriftCause.EVENT_LOST if lost else DriftCause.UNKNOWN}
    assert kinds(await story.sweep()) == expected

    repaired = await story.sweep(repairs=True)
    await story.deployment.work()
    assert {it.drift.kind for it in repaired if it.repaired} == expected - REPORTED_ONLY
    assert kinds(await story.sweep()) == expected & REPORTED_ONLY


# Causes


def causes(findings: list[Finding]) -> set[DriftCause]:
    return {it.cause for it in findings}


async def test_an_event_among_others_is_lost(story: Story) -> None:
    """
    Another event was received within the hour.
    """
    story.charge()
    await story.deployment.hear(["payment_intent.succeeded"], apply_only=True)

    assert causes(await story.sweep()) == {DriftCause.EVENT_LOST}


async def test_nothing_was_received_while_we_were_down(story: Story) -> None:
    """
    Not for an hour from when it was made.
    """
    await story.deployment.advance(timedelta(days=2))
    story.charge()
    await story.deployment.advance(timedelta(hours=2))
    await story.deployment.hear([], apply_only=True)

    assert causes(await story.sweep()) == {DriftCause.WHILE_DOWN}


async def compared(story: Story) -> list[Finding]:
    """Compare Ada with the gateway's objects of hers."""
    reconcile = story.reconcile
    return [
        finding
        for suspect in await reconcile.suspects_of(ADA)
        for finding in await reconcile.compare(suspect, repairs=False)
    ]


@pytest.mark.parametrize("name", OURS)
async def test_what_was_heard_and_differs_is_our_own_bug(
    story: Story, name: str
) -> None:
    """
    Back-fill has read the list of events since the stored state was right.
    """
    await story.deployment.advance(timedelta(hours=12))
    deed, expected = DRIFTS[name]
    await deed(story)
    assert causes(await compared(story)) == {DriftCause.EVENT_LOST}
    await story.deployment.back_fill()
    found = await compared(story)
    assert kinds(found) == expected
    assert causes(found) == {DriftCause.OWN_BUG}


async def test_what_changed_since_the_list_was_read_is_no_bug(story: Story) -> None:
    """
    The same holds if it was last known to be right longer ago than events are listed.
    """
    await story.deployment.back_fill()
    await story.deployment.advance(timedelta(hours=12))
    await cancel(story)
    assert causes(await compared(story)) == {DriftCause.EVENT_LOST}
    await story.deployment.advance(KEPT_FOR)
    await story.deployment.back_fill()
    assert DriftCause.OWN_BUG not in causes(await compared(story))


async def test_an_event_that_was_kept_apart_is_the_cause(story: Story) -> None:
    """
    It was received, and could not be read.
    """
    await refund()(story)
    await story.deployment.hear([], apply_only=True)
    event = {
        "id": "evt_poisoned",
        "object": "event",
        "type": "charge.refunded",
        "created": int(BEGINNING.timestamp()),
        "livemode": False,
        "data": {"object": {"object": "charge", "id": story.paid, "amount": "many"}},
    }
    await story.deployment.apply([translate(json.dumps(event).encode())])

    assert causes(await story.sweep()) == {DriftCause.EVENT_QUARANTINED}


@pytest.mark.parametrize("attempts", [0, QUICK_ATTEMPTS])
async def test_what_is_being_synced_is_no_drift_until_its_job_fails(
    story: Story, attempts: int
) -> None:
    """
    Either the job finds the same soon, or it never does.
    """
    await cancel(story)
    await story.deployment.hear([], apply_only=True)
    id_ = story.subscription.removeprefix("subscriptions/")
    key = JobKey(JobKind.SUBSCRIPTION, id_)
    await story.deployment.record.one(SourcedFacts(facts=(SyncNeeded(key, "any"),)))
    tables = story.deployment.database.tables
    lease = attrs.evolve(tables.jobs[key].lease, attempts=attempts)
    tables.put_job(attrs.evolve(tables.jobs[key], lease=lease))

    found = await story.sweep()
    assert causes(found) == ({DriftCause.JOB_FAILED} if attempts else set())


async def test_what_a_repair_does_not_repair_is_a_bug_of_ours(story: Story) -> None:
    """
    It is reported as such, and not as repaired.
    """
    await sell_once(story)
    await story.deployment.hear([], apply_only=True)
    deployment = story.deployment
    record = attrs.evolve(deployment.record, ledger=_Forgetful(deployment.database))
    run = RunSweep(attrs.evolve(story.reconcile, record=record), sleep=no_wait)
    deployment.clock.advance(A_MOMENT)
    range_ = run.range_now(BEGINNING)
    found = [
        finding
        async for step in run(range_, SweepPlace(), repairs=True)
        for finding in step.findings
    ]
    assert [(it.cause, it.repaired) for it in found] == [(DriftCause.OWN_BUG, False)]


class _Forgetful(MemoryLedger):
    """A ledger that reports a save, and does not save."""

    @override
    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        return [SaveResult.SAVED for _ in groups]


@pytest.mark.parametrize("owned", [True, False])
async def test_what_the_gateway_has_not_is_settled_by_hand(
    story: Story, *, owned: bool
) -> None:
    """
    A person unlinks it, with or without an owner: then it is no longer reported, and
    gives access to nobody.
    """
    tables = story.deployment.database.tables
    payment, sold = PaymentId(story.invent_payment()), story.invent_subscription()
    if not owned:
        record, kept = tables.payments[payment], tables.subscriptions[sold]
        tables.put_payment(attrs.evolve(record, user_id=None))
        tables.put_subscription(attrs.evolve(kept, user_id=None))
    assert kinds(await story.sweep(repairs=True)) == {
        K.PAYMENT_MISSING,
        K.SUBSCRIPTION_MISSING,
    }
    it, log = story.deployment, MemoryAuditLog(story.deployment.database)
    read = ReadPaymentLink(MemoryPaymentDirectory(it.database), log)
    unlink_sold = LinkSubscription(it.record, it.asked, log)

    await unlink_sold(sold, None, "invented", caller=admin())
    await LinkPayment(it.record, it.asked, read)(
        payment, None, "invented", caller=admin()
    )
    await it.work()

    assert await story.sweep() == []
    assert [*await story.run.user(ADA, repairs=False)] == []
    account = await it.account()
    assert sold not in {one.gateway_id for one in account.subscriptions}
    # It is not requested again either, however long no event arrives.
    await it.advance(timedelta(days=60))
    key = JobKey(JobKind.SUBSCRIPTION, sold)
    assert it.database.tables.jobs[key].state is JobState.DONE


# The course of a sweep


async def test_what_is_not_readable_does_not_stop_a_sweep(story: Story) -> None:
    """
    It is reported, and everything after it is compared.
    """
    charge = story.charge()
    await cancel(story)
    await story.deployment.hear([], apply_only=True)
    spoilt = story.deployment.engine.world.get("charge", charge)
    dict.update(spoilt, currency="EURO")

    found = {it.drift.subject: it.drift for it in await story.sweep()}
    assert found[charge].kind is K.UNREADABLE
    assert found[charge].theirs
    assert len(found) == 2


async def test_a_sweep_goes_on_where_another_process_stopped(story: Story) -> None:
    """
    At every step: nothing is left out, and nothing is reported twice.
    """
    await cancel(story)
    await sell_once(story)
    await story.deployment.hear([], apply_only=True)
    whole = kinds(await story.sweep())

    run = story.run
    range_, found = run.range_now(BEGINNING), list[Finding]()
    place: SweepPlace | None = SweepPlace()
    while place is not None:
        step = await anext(run(range_, place, repairs=False))
        found += step.findings
        place = step.place
    assert kinds(found) == whole
    assert len(found) == len({(it.drift.kind, it.drift.subject) for it in found})


async def test_customers_on_several_pages_are_all_listed(story: Story) -> None:
    """
    Nothing is fetched before the last page is read, and no customer that was on any
    page; though that page is read twice, as after a kill.
    """
    for _ in range(101):
        story.api.post("customers")
    before = story.deployment.line.reads.total()
    assert await story.sweep() == []
    assert story.deployment.line.reads.total() - before == len(ObjectList) + 1

    range_, reconcile = story.run.range_now(), story.reconcile
    first = await reconcile.read(SweepPlace(), range_)
    assert first.place is not None
    assert first.suspects == []
    for _ in range(2):
        last = await reconcile.read(first.place, range_)
        assert last.suspects == []


async def test_a_dispute_that_is_lost_long_after_is_found(story: Story) -> None:
    """
    By the sweep of any night: disputes are few, and all are listed.
    """
    charge = sell_disputed(story)
    await story.deployment.hear()
    await story.deployment.advance(timedelta(days=60))
    await story.deployment.hear()
    [disputed] = story.api.get("disputes", charge=charge)["data"]
    story.api.post(
        f"disputes/{disputed['id']}",
        evidence={"uncategorized_text": "losing_evidence"},
        submit=True,
    )
    await story.deployment.hear([], apply_only=True)

    run, found = story.run, list[Finding]()
    async for step in run(run.range_now(), SweepPlace(), repairs=True):
        found += step.findings
    assert [(it.drift.kind, it.drift.subject) for it in found] == [
        (K.PAYMENT_DISPUTE, charge)
    ]


@pytest.mark.parametrize("evidence", ["winning_evidence", None])
async def test_a_dispute_that_is_lost_only_here_is_found(
    story: Story, evidence: str | None
) -> None:
    """
    The stored state does not hide that it is won at Stripe, or open.
    """
    charge = PaymentId(sell_disputed(story))
    await story.deployment.hear()
    if evidence is not None:
        [disputed] = story.api.get("disputes", charge=charge)["data"]
        told_ = {"uncategorized_text": evidence}
        story.api.post(f"disputes/{disputed['id']}", evidence=told_, submit=True)
        await story.deployment.hear()
    tables = story.deployment.database.tables
    record = tables.payments[charge]
    spoilt = attrs.evolve(record.payment, dispute=DisputeState.LOST)
    tables.put_payment(attrs.evolve(record, payment=spoilt))

    [found] = await story.sweep(repairs=True)

    assert (found.drift.kind, found.drift.subject) == (K.PAYMENT_DISPUTE, charge)
    assert found.repaired
    assert story.deployment.database.tables.payments[charge].payment == record.payment
    assert await story.sweep() == []
