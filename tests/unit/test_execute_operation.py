"""Each step of an operation is saved before it is sent, and ends."""

import itertools
from typing import Any

import attrs
import pytest

from payments_core.errors import (
    AccountBusy,
    PaymentsError,
    StoreUnavailable,
    SubscriptionNotFound,
)
from payments_core.identity import CustomerId, UserId
from payments_core.intent import IntentKind, IntentState, OperationParams
from payments_core.job_key import JobKind
from payments_core.use_cases import OperationRequest, Order
from payments_core.use_cases.execute_operation import CUSTOMER_WITHIN
from support.deployment import ADA, Break, Deployment, admin
from support.operations import DAY, GOOD, OTHER, card, change, start

pytestmark = pytest.mark.anyio
BOB = UserId("bob")


async def test_p23_what_can_never_be_done_does_not_stay_open() -> None:
    """
    Its object no longer exists: no retry brings it back.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        executed = await deployment.execute(
            OperationRequest(
                user_id=ADA,
                kind=IntentKind.CHANGE_SUBSCRIPTION,
                wanted=OperationParams(price=deployment.pro),
                subject="sub_gone",
            )
        )
        ended = executed.intent
        assert ended.state is IntentState.REFUSED
        assert ended.outcome is not None
        assert ended.outcome.refusal is not None
        assert ended.outcome.refusal.code == SubscriptionNotFound.code
        assert not deployment.open_intents


async def test_p23_what_was_given_to_another_user_meanwhile_ends_all_the_same() -> None:
    """
    A sync settles the owner; the change was made.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await deployment.register(BOB)
        await start(deployment, GOOD)

        def give_away(request: Any, _: Any) -> None:
            kept = deployment.database.tables.subscriptions
            for id_, it in kept.items() if request.method == "POST" else ():
                kept[id_] = attrs.evolve(it, user_id=BOB)

        deployment.engine.watch = give_away
        changed = await change(deployment, price=deployment.pro)
        assert changed.state is IntentState.SUCCEEDED
        [kept] = deployment.database.tables.subscriptions.values()
        assert kept.user_id == BOB
        assert [it.key.kind for it in deployment.database.tables.jobs.values()] == [
            JobKind.SUBSCRIPTION
        ]
        await deployment.work()
        assert not deployment.open_intents


async def test_p23_a_customer_that_is_another_users_is_asked_for_less_and_less() -> (
    None
):
    """
    The wait grows after each attempt, as after any failure; it is not every five
    seconds.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await deployment.register(BOB)

        def give_away(*_: Any) -> None:
            tables = deployment.database.tables
            for made in deployment.customers_of(ADA):
                theirs = CustomerId(made)
                tables.put_account(
                    attrs.evolve(tables.accounts[BOB], customer_id=theirs)
                )

        deployment.engine.watch = give_away
        waits = []
        intent = await card(deployment, GOOD)
        for _ in range(5):
            known = await deployment.intent(intent.id)
            assert known is not None
            assert known.open
            waits.append(known.lease.due_at - deployment.clock.now)
            await deployment.advance(waits[-1])
            await deployment.work()

        assert waits == sorted(set(waits))
        assert waits[-1] > 10 * CUSTOMER_WITHIN


async def test_p24_t70_every_change_was_committed_before_it_left() -> None:
    """
    With its key, byte for byte.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        known: list[bool] = []

        def watch(request: Any, _: Any) -> None:
            key = request.headers.get("idempotency-key", "")
            if request.method != "GET" and key:
                known.append(deployment.is_committed(key, request))

        deployment.engine.watch = watch
        await start(deployment, GOOD)
        await change(deployment, price=deployment.pro)
        await deployment.advance(5 * DAY)
        await card(deployment, OTHER)

        assert known
        assert all(known)


@pytest.mark.parametrize("wanted", [{"product": "prod_nope"}, {"price": "price_nope"}])
async def test_what_is_not_sold_is_refused_before_an_intent(wanted: Any) -> None:
    """
    The error names the field, and nothing is saved.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        with pytest.raises(PaymentsError) as caught:
            await deployment.start(ADA, Order(**wanted), caller=admin(), key=None)
        assert getattr(caught.value, "field", None) == next(iter(wanted))
        assert deployment.intents == []


def set_up_wanted() -> OperationRequest:
    return OperationRequest(
        user_id=ADA,
        kind=IntentKind.SET_UP_CARD,
        wanted=OperationParams(),
        about=ADA,
        key="a-key",
    )


async def test_p03_f13_a_save_whose_reply_is_lost_runs_again_and_its_caller_waits() -> (
    None
):
    """
    Each save of an operation with a new customer and a new card, before and after it.
    """
    broken = 0
    for at in itertools.count(1):
        async with Deployment.opened() as deployment:
            await deployment.register()
            deployment.restart(at, Break.NO_ANSWER)
            try:
                intent = await start(deployment, GOOD)
            except StoreUnavailable:
                # A load changes nothing: the caller asks again.
                assert deployment.fuse.broken == "load"
                continue
            if not deployment.fuse.reached:
                break
            assert intent.state is IntentState.SUCCEEDED, at
            assert len(deployment.subscriptions_of(ADA)) == 1
            broken += deployment.fuse.broken == "save"
    assert broken


async def test_an_account_that_stays_locked_begins_nothing() -> None:
    """
    The error says that it is busy, and no request was sent to the gateway.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        deployment.database.locked.add(f"user {ADA}")
        with pytest.raises(AccountBusy):
            await deployment.execute(set_up_wanted())
        assert deployment.intents == []
        assert deployment.line.changes == []


async def test_who_drains_waits_for_what_nobody_waits_for_any_more() -> None:
    """
    An operation continues after its caller's deadline; a process ends after it.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        execute = deployment.execute
        begun = await execute(set_up_wanted(), wait_s=0)
        assert begun.intent.open
        await execute.drain()

        assert {it.state for it in deployment.intents} == {IntentState.SUCCEEDED}


async def test_what_is_sold_already_at_the_gateway_is_not_sold_twice() -> None:
    """
    Made outside this service: refused, and synced, so that it is known here.
    """
    async with Deployment.opened() as deployment:
        await deployment.register()
        await card(deployment, GOOD)
        account = await deployment.account()
        assert account.customer_id is not None
        there = deployment.api.subscribe(account.customer_id, deployment.basic)
        refused = await start(deployment)
        await deployment.work()

        assert refused.state is IntentState.REFUSED
        assert refused.outcome is not None
        assert refused.outcome.refusal is not None
        assert refused.outcome.refusal.code == "already_subscribed"
        assert [it["id"] for it in deployment.subscriptions_of(ADA)] == []
        known = (await deployment.account()).subscriptions
        assert [it.gateway_id for it in known] == [there["id"]]
