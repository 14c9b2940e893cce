"""Syncs: what a job finds at the gateway, and whose what was made twice is."""

from datetime import timedelta
from typing import Any

import pytest

from payments_core.decide import subscription_job
from payments_core.events import EventState
from payments_core.intent import IntentKind, IntentState
from payments_core.job import Job, JobState
from payments_core.use_cases import Order
from support.operations import CALLER, GOOD
from support.till import ADA, Break, Crash, Till

pytestmark = pytest.mark.anyio


async def test_what_the_gateway_does_not_know_ends_its_job() -> None:
    """
    What waited for it waits no longer.
    """
    async with Till.opened() as till:
        key = subscription_job("sub_gone")
        till.database.tables.jobs[key] = Job.due(key, "seen", till.clock.now)
        await till.work()

        assert till.database.tables.jobs[key].state is JobState.DONE
        states = {it.outcome.state for it in till.database.tables.events.values()}
        assert EventState.PENDING not in states


async def test_an_open_intents_own_subscription_is_no_twin() -> None:
    """
    It is made, and its intent does not know yet: a sync that comes in between must not
    end it.
    """
    async with Till.opened() as till:
        await till.register()
        # The reply to the last call is there, and the process ends before it is saved.
        for at in range(1, 60):
            till.restart(at, Break.CRASH)
            try:
                order = Order(product=till.product, payment_method=GOOD)
                await till.start(ADA, order, caller=CALLER, key="a-key")
            except Crash:
                if till.subscriptions_of(ADA):
                    break
                till.clock.advance(timedelta(minutes=1))
        till.restart()
        [open_] = [
            it for it in till.open_intents if it.kind is IntentKind.START_SUBSCRIPTION
        ]
        [made] = till.subscriptions_of(ADA)
        key = subscription_job(made["id"])
        till.database.tables.jobs[key] = Job.due(key, "seen", till.clock.now)
        for claimed in await till.run_work.claim(9):
            if isinstance(claimed.work, Job):
                await till.run_work(claimed)

        [made] = till.subscriptions_of(ADA)
        assert made["status"] == "active"
        await till.quiesce()
        ended = await till.intent(open_.id)
        assert ended is not None
        assert ended.state is IntentState.SUCCEEDED


async def test_p33_a_look_that_was_overtaken_finds_nothing_and_goes() -> None:
    """
    Another worker did the job meanwhile: what this one heard is of no matter.
    """
    async with Till.opened() as till:
        key, now = subscription_job("sub_gone"), till.clock.now
        till.database.tables.jobs[key] = Job.due(key, "seen", now)
        asked: list[str] = []

        def finish(request: Any, _: Any) -> None:
            asked.append(request.path)
            till.database.tables.jobs.clear()

        till.engine.watch = finish
        assert await till.work_once() == 1
        assert asked
        assert not till.database.tables.jobs
