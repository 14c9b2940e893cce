"""Syncs: what a job finds at the gateway, and whose what was made twice is."""

from datetime import timedelta
from typing import Any

import pytest

from payments_core.decide import subscription_job
from payments_core.events import EventState
from payments_core.intent import IntentKind, IntentState
from payments_core.job import Job, JobState
from payments_core.use_cases import Order
from support.deployment import ADA, Break, Crash, Deployment
from support.operations import CALLER, GOOD

pytestmark = pytest.mark.anyio


async def test_what_the_gateway_does_not_know_ends_its_job() -> None:
    """
    What waited for it waits no longer.
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
    It is made, and its intent does not know yet: a sync that comes in between must not
    end it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        # The reply to the last call is there, and the process ends before it is saved.
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


async def test_p33_a_look_that_was_overtaken_finds_nothing_and_goes() -> None:
    """
    Another worker did the job meanwhile: what this one heard is of no matter.
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
