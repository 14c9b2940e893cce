"""An operation whose outcome is unknown: its result, and calling it off."""

from datetime import timedelta
from typing import Any, Final

import pytest

from payments_adapters.memory import MemoryIntentDirectory
from payments_core.errors import (
    GatewayMisconfigured,
    IntentEnded,
    IntentNotFound,
    NotToBeCalledOff,
    OperationInProgress,
)
from payments_core.gateway import CreateSubscription
from payments_core.identity import UserId
from payments_core.intent import REISSUE_AFTER, Intent, IntentState, Step
from payments_core.job import Job
from payments_core.job_key import JobKind
from payments_core.use_cases import CallOffIntent, ReadIntent
from support.deployment import ADA, Deployment, caller_of
from support.inprocess import Trouble
from support.operations import CALLER, GOOD, OTHER, card, change, ordered, start

pytestmark = pytest.mark.anyio

HOUR: Final = timedelta(hours=1)


def call_off(deployment: Deployment) -> CallOffIntent:
    read = ReadIntent(MemoryIntentDirectory(deployment.database))
    return CallOffIntent(read, deployment.execute)


def refusal_code(intent: Intent) -> str | None:
    refusal = intent.outcome.refusal if intent.outcome else None
    return refusal.code if refusal else None


@pytest.mark.parametrize("trouble", [Trouble.ERROR_NOT_MADE, Trouble.ERROR_MADE])
async def test_f27_a_500_on_creating_a_customer_freezes_nobody(
    trouble: Trouble,
) -> None:
    """
    A second customer costs nothing: another one is made at the next try, if none is
    found; there is one subscription all the same.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        deployment.line.plan(trouble)
        begun = await ordered(deployment)
        assert begun.open
        await deployment.advance(timedelta(minutes=1))
        await deployment.work()

        ended = await deployment.intent(begun.id)
        assert ended is not None
        assert ended.state is IntentState.SUCCEEDED
        assert len(deployment.engine.world.all("subscription")) == 1


async def test_a_key_that_is_refused_is_said_at_once_and_nothing_happens_later() -> (
    None
):
    """
    A repeated request with the same idempotency key, after another key is set, begins
    again.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        good, deployment.engine.api.api_key = deployment.engine.api.api_key, "other"
        refused = await deployment.update_card(ADA, GOOD, caller=CALLER, key="one")
        assert refused.intent.state is IntentState.REFUSED
        assert refusal_code(refused.intent) == GatewayMisconfigured.code
        assert not deployment.open_intents

        deployment.engine.api.api_key = good
        await deployment.advance(HOUR)
        await deployment.work()
        assert not deployment.engine.world.all("customer")
        again = await deployment.update_card(ADA, GOOD, caller=CALLER, key="one")
        assert (again.replayed, again.intent.state) == (False, IntentState.SUCCEEDED)


async def test_a_refused_key_says_nothing_of_what_was_sent_before() -> None:
    """
    It stays open, and is done once when the gateway accepts a key again.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        deployment.line.plan(Trouble.REPLY_LOST)
        begun = await start(deployment)
        assert begun.open
        good, deployment.engine.api.api_key = deployment.engine.api.api_key, "other"
        await deployment.advance(timedelta(minutes=1))
        await deployment.work_once()
        kept = await deployment.intent(begun.id)
        assert kept is not None
        assert kept.open

        deployment.engine.api.api_key = good
        await deployment.advance(HOUR)
        await deployment.work()
        ended = await deployment.intent(begun.id)
        assert ended is not None
        assert ended.state is IntentState.SUCCEEDED
        assert len(deployment.engine.world.all("subscription")) == 1


@pytest.mark.parametrize("trouble", list(Trouble))
async def test_what_was_called_off_does_not_happen_later(trouble: Trouble) -> None:
    """
    Whatever its result at the gateway: a subscription that was made is ended. The user
    may order again at once.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        deployment.line.plan(trouble)
        begun = await start(deployment)
        if not begun.open:
            with pytest.raises(IntentEnded):
                await call_off(deployment)(begun.id, caller=CALLER)
            return
        off = await call_off(deployment)(begun.id, caller=CALLER)
        assert refusal_code(off) == "called_off"
        assert await call_off(deployment)(begun.id, caller=CALLER) == off
        await deployment.advance(HOUR)
        await deployment.work()

        made = deployment.engine.world.all("subscription")
        assert {it["status"] for it in made} <= {"canceled"}
        assert not deployment.open_intents
        again = await start(deployment)
        assert again.state is IntentState.SUCCEEDED
        await deployment.work()
        account = await deployment.account()
        (only,) = (it for it in account.subscriptions if not it.is_terminal)
        assert again.outcome is not None
        assert again.outcome.subscription is not None
        assert only.gateway_id == again.outcome.subscription.gateway_id


async def test_what_nothing_gives_back_is_not_called_off() -> None:
    """
    A change or a new card may have been charged already: its outcome is waited for.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await start(deployment, GOOD)
        deployment.line.plan(Trouble.REPLY_LOST)
        changed = await change(deployment, price=deployment.pro)
        deployment.line.plan(Trouble.REPLY_LOST)
        updated = await card(deployment, OTHER)
        for begun in (changed, updated):
            assert begun.open
            with pytest.raises(NotToBeCalledOff):
                await call_off(deployment)(begun.id, caller=CALLER)
        await deployment.advance(HOUR)
        await deployment.work()
        with pytest.raises(IntentEnded, match="succeeded"):
            await call_off(deployment)(changed.id, caller=CALLER)


async def test_what_runs_at_this_moment_is_not_called_off() -> None:
    """
    Its process would continue; the caller retries a moment later.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        deployment.line.plan(Trouble.REPLY_LOST)
        begun = await start(deployment)
        tables = deployment.database.tables.copy()
        tables.put_intent(begun.claimed(deployment.clock.now))
        deployment.database.tables = tables
        with pytest.raises(OperationInProgress):
            await call_off(deployment)(begun.id, caller=CALLER)


async def test_another_users_operation_is_not_there() -> None:
    """
    For any caller who is no administrator.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        deployment.line.plan(Trouble.REPLY_LOST)
        begun = await start(deployment)
        with pytest.raises(IntentNotFound):
            await call_off(deployment)(begun.id, caller=caller_of(UserId("bob")))


async def hear_only(deployment: Deployment) -> None:
    """Record what happened, and let jobs run, but no open operation."""
    await deployment.hear(apply_only=True)
    run = deployment.run_work
    for it in await run.claim(99):
        if isinstance(it.work, Job):
            await run(it)


async def test_what_was_heard_of_before_it_was_called_off_is_ended_too() -> None:
    """
    The usual order: the reply is lost, and the event arrives before the user's request.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        await deployment.hear()
        deployment.line.plan(Trouble.REPLY_LOST)
        begun = await start(deployment)
        await hear_only(deployment)
        assert (await deployment.account()).subscriptions

        await call_off(deployment)(begun.id, caller=CALLER)
        await deployment.work()
        for _ in range(33):
            await deployment.advance(timedelta(days=1))
            await deployment.hear()

        (made,) = deployment.engine.world.all("subscription")
        assert made["status"] == "canceled"
        assert len(deployment.engine.world.all("charge")) == 1


async def test_a_sync_of_the_customer_ends_what_was_called_off() -> None:
    """
    Although it is known, and open as far as we know.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        deployment.line.plan(Trouble.REPLY_LOST)
        begun = await start(deployment)
        await hear_only(deployment)
        deployment.line.down = True
        await call_off(deployment)(begun.id, caller=CALLER)
        deployment.line.down = False

        await deployment.advance(REISSUE_AFTER)
        await deployment.work()
        (made,) = deployment.engine.world.all("subscription")
        assert made["status"] == "canceled"


async def test_what_is_made_late_of_it_is_ended_without_an_event() -> None:
    """
    The gateway is asked again when the request can no longer take effect.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        deployment.line.plan(Trouble.TIMEOUT_BEFORE)
        begun = await start(deployment)
        off = await call_off(deployment)(begun.id, caller=CALLER)
        await deployment.work()
        call = off.call(Step.START)
        assert call is not None
        customer = (await deployment.account()).customer_id
        assert customer is not None
        late = CreateSubscription(
            customer_id=customer,
            price=deployment.basic,
            quantity=1,
            payment_method=None,
            trial_days=None,
            has_card=True,
            user_id=ADA,
            intent_id=off.id,
        )
        await deployment.advance(timedelta(minutes=1))
        await deployment.gateway.send(
            late, call.frozen, idempotency_key=off.key_of(call)
        )
        await deployment.work()
        await deployment.advance(REISSUE_AFTER)
        await deployment.work()

        (made,) = deployment.engine.world.all("subscription")
        assert made["status"] == "canceled"


async def test_a_refused_key_costs_no_card_that_was_set_up() -> None:
    """
    The job that applies it is not done before a key is accepted.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        await deployment.hear()
        await deployment.set_up_card(ADA, caller=CALLER, key=None)
        (set_up,) = deployment.engine.world.all("setup_intent")
        deployment.api.post(
            f"setup_intents/{set_up['id']}/confirm", payment_method=OTHER
        )
        api = deployment.engine.api
        good = api.api_key

        def revoke(request: Any, _: Any) -> None:
            # Between the read and the change.
            if request.path.startswith("/v1/setup_intents/"):
                api.api_key = "other"

        deployment.engine.watch = revoke
        await deployment.hear({"setup_intent.succeeded"})
        shown = (await deployment.account()).card
        assert shown is not None
        assert shown.brand == "visa"
        (job,) = (
            it
            for it in deployment.database.tables.jobs.values()
            if it.key.kind is JobKind.SET_UP
        )
        # Each attempt saves an intent: their waits grow.
        assert job.lease.attempts > 0

        deployment.engine.watch = lambda _, __: None
        api.api_key = good
        await deployment.advance(HOUR)
        await deployment.work()
        shown = (await deployment.account()).card
        assert shown is not None
        assert shown.brand == "mastercard"
