"""The cost of jobs, and a save whose reply was lost."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import pytest

from contracts.examples import a_payment, an_event
from contracts.faults import FaultyLedger
from payments_adapters.memory import MemoryLedger
from payments_adapters.stripe import translate
from payments_core.changes import Changes
from payments_core.decide import event_job, subscription_job
from payments_core.errors import (
    INVALID_ID,
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayRefused,
    PaymentsError,
    StoreUnavailable,
)
from payments_core.events import EventState, Outcome, QuarantineNeeded
from payments_core.facts import LinkRequested
from payments_core.intent import Intent, IntentState
from payments_core.job import OVERDUE_REASON, QUICK_ATTEMPTS, Job, JobState
from payments_core.payment import PaymentRecord
from payments_core.policy import Policy
from payments_core.use_cases import Order, RecordFacts
from support.deployment import ADA, Break, Deployment, caller_of
from support.stripe_bodies import charge, event_body

pytestmark = pytest.mark.anyio

CALLER = caller_of(ADA)
GOOD = "pm_card_visa"


@pytest.mark.parametrize(
    "refusal",
    [
        GatewayNotAttempted("too many calls at once"),
        # All of it is refused: that is not a job's own failure.
        GatewayMisconfigured(),
    ],
    ids=["busy", "key refused"],
)
async def test_a_gateway_that_does_not_listen_costs_a_job_no_attempt(
    refusal: GatewayNotAttempted,
) -> None:
    """
    A job that fails itself costs one.
    """
    async with Deployment.opened() as deployment:
        key, now = subscription_job("sub_1"), deployment.clock.now
        jobs = deployment.database.tables.jobs
        jobs[key] = Job.due(key, "seen", now)
        work = deployment.run_work

        async def busy(_: str) -> None:
            raise refusal

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deployment.gateway, "subscription", busy, raising=False)
            for claimed in await work.claim(1):
                await work(claimed)
        held = deployment.database.tables.jobs[key]
        assert (held.lease.attempts, held.lease.until) == (0, None)
        assert held.lease.due_at > now

        deployment.line.down = True
        deployment.clock.advance(timedelta(minutes=1))
        for claimed in await deployment.run_work.claim(1):
            await deployment.run_work(claimed)
        assert deployment.database.tables.jobs[key].lease.attempts == 1


async def test_a_permission_that_lacks_costs_a_job_its_attempts() -> None:
    """
    It is missing until it is granted: such a job is retried after longer and longer
    waits, and listed.
    """
    async with Deployment.opened() as deployment:
        key = subscription_job("sub_1")
        jobs = deployment.database.tables.jobs
        jobs[key] = Job.due(key, "seen", deployment.clock.now)

        async def lacking(_: str) -> None:
            raise GatewayMisconfigured("it lacks", permission=True)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deployment.gateway, "subscription", lacking, raising=False)
            for _ in range(QUICK_ATTEMPTS):
                await deployment.work()
                deployment.clock.advance(timedelta(hours=1))
        assert deployment.database.tables.jobs[key].is_failing


@pytest.mark.parametrize(
    ("refusal", "reason", "ends"),
    [
        (GatewayRefused(INVALID_ID, "no id"), "seen", True),
        (GatewayObjectMissing("subscription"), "seen", True),
        # It is not the object's fault: the gateway may accept the request later.
        (GatewayRefused("parameter_unknown", "no"), "seen", False),
        # It would be requested again at once, and again.
        (GatewayObjectMissing("subscription"), OVERDUE_REASON, False),
        (GatewayRefused(INVALID_ID, "no id"), OVERDUE_REASON, False),
    ],
)
async def test_f47_only_what_no_repetition_mends_ends_a_job(
    refusal: PaymentsError,
    reason: str,
    ends: bool,  # noqa: FBT001  # a column
) -> None:
    """
    Anything else is retried after longer and longer waits.
    """
    async with Deployment.opened() as deployment:
        key = subscription_job("sub_1")
        jobs = deployment.database.tables.jobs
        jobs[key] = Job.due(key, reason, deployment.clock.now)

        async def refuse(_: str) -> None:
            raise refusal

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deployment.gateway, "subscription", refuse, raising=False)
            await deployment.work()
        job = deployment.database.tables.jobs[key]
        assert (job.state is JobState.DONE) is ends
        assert job.lease.attempts == (0 if ends else 1)


async def test_an_event_of_the_other_mode_that_is_replayed_ends_its_job() -> None:
    """
    It is still of the other mode.
    """
    async with Deployment.opened() as deployment:
        event = attrs.evolve(
            translate(event_body(charge(livemode=True), livemode=True)), livemode=True
        )
        await deployment.apply([event])
        key = event_job(event.key)
        job = Job.due(key, "by hand", deployment.clock.now)
        deployment.database.tables.jobs[key] = job
        await deployment.work()

        assert deployment.database.tables.jobs[key].state is JobState.DONE
        outcome = deployment.database.tables.events[event.key].outcome
        assert outcome == Outcome(EventState.QUARANTINED, "livemode is not ours")


async def test_an_event_without_its_body_is_kept_apart() -> None:
    """
    Its job ends, and does not fail for ever.
    """
    async with Deployment.opened() as deployment:
        event = an_event(report=QuarantineNeeded("body: not read"))
        await deployment.apply([event])
        tables = deployment.database.tables.copy()
        (row,) = tables.events.values()
        nothing: Any = None
        tables.put_event(attrs.evolve(row, event=attrs.evolve(row.event, body=nothing)))
        key = event_job(event.key)
        waits = Outcome(EventState.PENDING, "again", key)
        tables.put_event(attrs.evolve(tables.events[event.key], outcome=waits))
        tables.put_job(Job.due(key, "by hand", deployment.clock.now))
        deployment.database.tables = tables
        await deployment.work()

        outcome = deployment.database.tables.events[event.key].outcome
        assert outcome.state is EventState.QUARANTINED
        assert "not kept any more" in (outcome.reason or "")
        assert deployment.database.tables.jobs[key].state is JobState.DONE


def intents_of(deployment: Deployment) -> list[Intent]:
    return list(deployment.database.tables.intents.values())


async def test_a_bug_costs_an_intent_an_attempt() -> None:
    """
    It is retried after longer and longer waits, is reported each time, and ends once
    the bug is fixed.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        order = Order(product=deployment.product, payment_method=GOOD)

        async def bug(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(deployment.gateway, "send", bug, raising=False)
            with pytest.raises(ZeroDivisionError):
                await deployment.start(ADA, order, caller=CALLER, key="a-key")
            for attempts in (1, 2):
                (intent,) = [it for it in intents_of(deployment) if it.lease.attempts]
                assert (intent.open, intent.lease.attempts) == (True, attempts)
                assert intent.lease.due_at > deployment.clock.now
                deployment.clock.now = intent.lease.due_at
                await deployment.work_once()
        await deployment.quiesce()
        assert {it.state for it in intents_of(deployment)} == {IntentState.SUCCEEDED}


async def test_what_cannot_be_linked_is_told_and_tried_again() -> None:
    """
    The worker continues; what is linkable stays so.
    """
    heard: list[tuple[object, type[Exception]]] = []

    def broken(_: Sequence[Changes]) -> None:
        raise ZeroDivisionError

    async with Deployment.opened() as deployment:
        await deployment.register()
        unlinked = PaymentRecord(a_payment("ch_1", user=ADA), version=1)
        deployment.database.tables.put_payment(unlinked)
        work = deployment.run_work
        ledger = FaultyLedger(MemoryLedger(deployment.database), broken)
        failing = attrs.evolve(
            work,
            record=RecordFacts(ledger, deployment.clock, deployment.clock, Policy()),
            on_failure=lambda it, error: heard.append((it, type(error))),
        )

        assert await failing.link() == 0
        assert heard == [(LinkRequested(ADA), ZeroDivisionError)]
        assert await work.link() == 1


async def test_a_save_whose_reply_was_lost_is_recognised_and_the_run_goes_on() -> None:
    """
    Every save of an operation in turn: the same process ends it, at its first try.
    """
    for at in range(1, 40):
        async with Deployment.opened() as deployment:
            await deployment.register()
            deployment.restart(at, Break.NO_ANSWER)
            order = Order(product=deployment.product, payment_method=GOOD)
            try:
                done = await deployment.start(ADA, order, caller=CALLER, key="a-key")
            except StoreUnavailable:
                # A load that did not answer is an error to the caller, who retries.
                assert not deployment.subscriptions_of(ADA)
                continue
            if not deployment.fuse.reached:
                break
            if deployment.fuse.broken == "save":
                assert done.intent.state is IntentState.SUCCEEDED, at
            assert len(deployment.subscriptions_of(ADA)) <= 1
    assert at > 10
