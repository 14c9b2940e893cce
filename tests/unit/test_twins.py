"""A subscription that was made twice is ended, though no event reported it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from payments_adapters.memory import MemoryIntentDirectory
from payments_core.changes import Lookup
from payments_core.facts import SourcedFacts
from payments_core.identity import CustomerId
from payments_core.intent import IntentState
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind
from payments_core.jobs.fetch import facts_of_subscription
from payments_core.use_cases import CallOffIntent, ReadIntent
from support.deployment import ADA, Deployment
from support.inprocess import Trouble
from support.operations import CALLER, GOOD, card, start
from support.reconciling import Story, reconciling

pytestmark = pytest.mark.anyio


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    async with Deployment.opened() as deployment, reconciling(deployment) as it:
        yield it


async def twins(story: Story) -> tuple[str, str]:
    """Order twice; the first order is given up, and done by the gateway all the same.

    Return what was made late, and what must stay. No event of the former is received.
    """
    deployment = story.deployment
    await deployment.register()
    await card(deployment, GOOD)
    deployment.line.plan(Trouble.TIMEOUT_BEFORE)
    begun = await start(deployment)
    assert begun.open
    read = ReadIntent(MemoryIntentDirectory(deployment.database))
    await CallOffIntent(read, deployment.execute)(begun.id, caller=CALLER)
    await deployment.quiesce()
    second = await start(deployment)
    assert second.state is IntentState.SUCCEEDED
    await deployment.hear()
    [stays] = deployment.subscriptions_of(ADA)
    late = deployment.api.subscribe(
        story.customer,
        deployment.basic,
        metadata={"user_id": ADA, "intent_id": begun.id},
    )
    await deployment.hear([], apply_only=True)
    return late["id"], stays["id"]


def statuses(story: Story) -> dict[str, str]:
    return {it["id"]: it["status"] for it in story.deployment.subscriptions_of(ADA)}


async def test_p22_a_twin_that_a_reconciliation_finds_is_ended(story: Story) -> None:
    """
    By the sync that the repair requests: it is ended, and the second order stays.
    """
    late, stays = await twins(story)

    await story.sweep(repairs=True)
    await story.deployment.work()

    assert statuses(story) == {late: "canceled", stays: "active"}


async def test_p22_a_twin_that_is_known_is_ended_by_a_sync_of_its_customer(
    story: Story,
) -> None:
    """
    It agrees with the stored state: the sync finds anew that it is one too many.
    """
    late, stays = await twins(story)
    deployment = story.deployment
    sequence = (await deployment.record.snapshot(Lookup())).sequence
    found: Any = await deployment.gateway.subscription(late)
    facts = facts_of_subscription(found, sequence)
    await deployment.record.one(SourcedFacts(facts=facts))
    tables = deployment.database.tables
    assert tables.subscriptions[late].user_id == ADA
    tables.jobs.clear()

    key = JobKey(JobKind.CUSTOMER, CustomerId(story.customer))
    tables.put_job(Job.due(key, "seen", deployment.clock.now))
    await deployment.work()

    assert statuses(story) == {late: "canceled", stays: "active"}
