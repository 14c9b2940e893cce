"""Syncs: what a job finds at the gateway, and the owner of what was made twice."""

import json
from datetime import timedelta
from typing import Any

import attrs
import pytest

from payments_adapters.memory import MemoryLedger
from payments_adapters.memory.tables import EventRow
from payments_adapters.stripe import translate
from payments_core.decide import set_aside, subscription_job
from payments_core.events import EventState, GatewayEvent, Outcome
from payments_core.facts import facts_of
from payments_core.intent import IntentKind, IntentState
from payments_core.job import Job, JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.payment import PaymentId, PaymentState
from payments_core.use_cases import Order
from support.deployment import ADA, Break, Crash, Deployment
from support.events import SUCCEEDED, event
from support.operations import CALLER, GOOD, charges, start

pytestmark = pytest.mark.anyio


async def test_what_the_gateway_does_not_know_ends_its_job() -> None:
    """
    What waited for it no longer waits.
    """
    async with Deployment.opened() as deployment:
        key = subscription_job("sub_gone")
        deployment.database.tables.put_job(Job.due(key, "seen", deployment.clock.now))
        await deployment.work()

        assert deployment.database.tables.jobs[key].state is JobState.DONE
        states = {it.outcome.state for it in deployment.database.tables.events.values()}
        assert EventState.PENDING not in states


async def test_an_open_intents_own_subscription_is_no_twin() -> None:
    """
    It is made, and its intent does not know yet: a sync in between must not end it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        # The reply to the last call has arrived, and the process ends before it is
        # saved.
        for at in range(1, 60):
            deployment.restart(at, Break.CRASH)
            try:
                order = Order(product=deployment.product, payment_method=GOOD)
                await deployment.start(ADA, order, caller=CALLER, key="a-key")
            except Crash:
                if deployment.subscriptions_of(ADA):
                    break
                deployment.clock.advance(timedelta(minutes=1))
        deployment.restart()
        [open_] = [
            it
            for it in deployment.open_intents
            if it.kind is IntentKind.START_SUBSCRIPTION
        ]
        [made] = deployment.subscriptions_of(ADA)
        key = subscription_job(made["id"])
        deployment.database.tables.put_job(Job.due(key, "seen", deployment.clock.now))
        for claimed in await deployment.run_work.claim(9):
            if isinstance(claimed.work, Job):
                await deployment.run_work(claimed)

        [made] = deployment.subscriptions_of(ADA)
        assert made["status"] == "active"
        await deployment.quiesce()
        ended = await deployment.intent(open_.id)
        assert ended is not None
        assert ended.state is IntentState.SUCCEEDED


async def test_what_a_start_made_that_was_given_up_is_ended() -> None:
    """
    Its call was answered, and its undoing was not: nobody may continue to pay for it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        started = await start(deployment, GOOD)
        [made] = deployment.subscriptions_of(ADA)
        tables = deployment.database.tables
        tables.put_intent(attrs.evolve(started, state=IntentState.ABANDONED))
        key = subscription_job(made["id"])
        tables.put_job(Job.due(key, "seen", deployment.clock.now))
        await deployment.work()

        [ended] = deployment.subscriptions_of(ADA)
        assert (made["status"], ended["status"]) == ("active", "canceled")


async def test_p33_a_look_that_was_overtaken_finds_nothing_and_goes() -> None:
    """
    Another worker did the job meanwhile: the result of this one does not matter.
    """
    async with Deployment.opened() as deployment:
        key, now = subscription_job("sub_gone"), deployment.clock.now
        deployment.database.tables.put_job(Job.due(key, "seen", now))
        asked: list[str] = []

        def finish(request: Any, _: Any) -> None:
            asked.append(request.path)
            deployment.database.tables.jobs.clear()

        deployment.engine.watch = finish
        assert await deployment.work_once() == 1
        assert asked
        assert not deployment.database.tables.jobs


async def test_a_payment_that_is_synced_is_kept_as_the_gateway_has_it() -> None:
    """
    Though no event of it was ever received.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD)
        [charge] = charges(deployment)
        key = JobKey(JobKind.PAYMENT, charge["id"])
        tables = deployment.database.tables
        assert charge["id"] not in tables.payments
        tables.put_job(Job.due(key, "seen", deployment.clock.now))
        await deployment.work()

        kept = deployment.database.tables.payments[PaymentId(charge["id"])]
        assert kept.payment.state is PaymentState.SUCCEEDED
        assert kept.user_id == ADA
        assert deployment.database.tables.jobs[key].state is JobState.DONE


async def sync_set_up(deployment: Deployment, set_up: str) -> list[IntentKind]:
    """Sync a card set-up to the end; return the resulting operations."""
    key = JobKey(JobKind.SET_UP, set_up)
    deployment.database.tables.put_job(Job.due(key, "seen", deployment.clock.now))
    await deployment.work()
    assert deployment.database.tables.jobs[key].state is JobState.DONE
    return [it.kind for it in deployment.intents]


async def test_a_set_up_that_is_open_puts_no_card_in_place() -> None:
    """
    There is none yet: its event arrives when there is.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        begun = await deployment.set_up_card(ADA, caller=CALLER, key=None)
        assert begun.intent.outcome is not None
        secret = begun.intent.outcome.client_secret or ""
        before = [it.kind for it in deployment.intents]

        assert await sync_set_up(deployment, secret.partition("_secret")[0]) == before


async def test_a_set_up_of_nobody_puts_no_card_in_place() -> None:
    """
    Its customer is not one of ours.
    """
    async with Deployment.opened() as deployment:
        customer = deployment.api.customer(card=None)
        set_up = deployment.api.post("setup_intents", customer=customer["id"])
        confirm = f"setup_intents/{set_up['id']}/confirm"
        done = deployment.api.post(confirm, payment_method=GOOD)
        assert done["status"] == "succeeded"

        assert await sync_set_up(deployment, set_up["id"]) == []


async def an_event_set_aside(deployment: Deployment) -> tuple[GatewayEvent, JobKey]:
    """Save an event of Ada's as one that could not be applied because of a bug."""
    await deployment.register()
    charge = event(SUCCEEDED, "ada", receipt_email="ada@example.com")
    came, now = translate(json.dumps(charge).encode()), deployment.clock.now
    decided = set_aside(facts_of(came), now, ZeroDivisionError())
    assert decided.changes is not None
    await MemoryLedger(deployment.database).save([decided.changes], at=now)
    [job] = decided.changes.jobs
    assert job.key.kind is JobKind.EVENT
    # It failed once, so it is not due at once.
    deployment.clock.now = job.lease.due_at
    return came, job.key


async def test_an_event_that_was_set_aside_is_applied_by_its_job() -> None:
    """
    From the stored body; its outcome is what it would have been.
    """
    async with Deployment.opened() as deployment:
        came, key = await an_event_set_aside(deployment)
        assert deployment.database.tables.payments == {}
        await deployment.work()

        tables = deployment.database.tables
        assert tables.events[came.key].outcome == Outcome(EventState.APPLIED)
        assert [it.user_id for it in tables.payments.values()] == [ADA]
        assert tables.jobs[key].state is JobState.DONE


async def test_an_event_that_was_applied_meanwhile_only_ends_its_job() -> None:
    """
    Another worker applied it, and could not end the job.
    """
    async with Deployment.opened() as deployment:
        came, key = await an_event_set_aside(deployment)
        applied = EventRow(came, deployment.clock.now, Outcome(EventState.APPLIED))
        deployment.database.tables.put_event(applied)
        await deployment.work()

        tables = deployment.database.tables
        assert tables.payments == {}
        assert tables.events[came.key] == applied
        assert tables.jobs[key].state is JobState.DONE


async def test_an_event_that_is_not_kept_any_more_fails_its_job() -> None:
    """
    It is retried, and is listed: it does not count as done.
    """
    async with Deployment.opened() as deployment:
        key = JobKey(JobKind.EVENT, "evt_gone charge.succeeded")
        deployment.database.tables.put_job(
            Job.due(key, "failed", deployment.clock.now),
        )
        await deployment.work_once()

        job = deployment.database.tables.jobs[key]
        assert (job.state, job.lease.attempts) == (JobState.OPEN, 1)
        assert job.lease.due_at > deployment.clock.now
