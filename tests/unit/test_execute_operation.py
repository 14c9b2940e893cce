"""Each step of an operation is written down before it is sent, and ends."""

from typing import Any

import attrs
import pytest

from payments_core.errors import PaymentsError, SubscriptionNotFound
from payments_core.identity import UserId
from payments_core.intent import IntentKind, IntentState, OperationParams
from payments_core.job import JobKind
from payments_core.use_cases import OperationRequest, Order
from support.operations import DAY, GOOD, OTHER, card, change, start
from support.till import ADA, Till, admin

pytestmark = pytest.mark.anyio
BOB = UserId("bob")


async def test_p23_what_can_never_be_done_does_not_stay_open() -> None:
    """
    What it is about is not there any more: no repetition brings it again.
    """
    async with Till.opened() as till:
        await till.register()
        executed = await till.execute(
            OperationRequest(
                user_id=ADA,
                kind=IntentKind.CHANGE_SUBSCRIPTION,
                wanted=OperationParams(price=till.pro),
                subject="sub_gone",
            )
        )
        ended = executed.intent
        assert ended.state is IntentState.REFUSED
        assert ended.outcome is not None
        assert ended.outcome.refusal is not None
        assert ended.outcome.refusal.code == SubscriptionNotFound.code
        assert not till.open_intents


async def test_p23_what_was_given_to_another_user_meanwhile_ends_all_the_same() -> None:
    """
    Whose it is, a look settles; the change was made.
    """
    async with Till.opened() as till:
        await till.register()
        await till.register(BOB)
        await start(till, GOOD)

        def give_away(request: Any, _: Any) -> None:
            kept = till.database.tables.subscriptions
            for id_, it in kept.items() if request.method == "POST" else ():
                kept[id_] = attrs.evolve(it, user_id=BOB)

        till.engine.watch = give_away
        changed = await change(till, price=till.pro)
        assert changed.state is IntentState.SUCCEEDED
        [kept] = till.database.tables.subscriptions.values()
        assert kept.user_id == BOB
        assert [it.key.kind for it in till.database.tables.jobs.values()] == [
            JobKind.SUBSCRIPTION
        ]
        await till.work()
        assert not till.open_intents


async def test_p24_every_change_was_committed_before_it_left() -> None:
    """
    With its key, byte for byte.
    """
    async with Till.opened() as till:
        await till.register()
        known: list[bool] = []

        def watch(request: Any, _: Any) -> None:
            key = request.headers.get("idempotency-key", "")
            if request.method != "GET" and key:
                known.append(till.is_committed(key, request))

        till.engine.watch = watch
        await start(till, GOOD)
        await change(till, price=till.pro)
        await till.advance(5 * DAY)
        await card(till, OTHER)

        assert known
        assert all(known)


@pytest.mark.parametrize("wanted", [{"product": "prod_nope"}, {"price": "price_nope"}])
async def test_what_is_not_sold_is_refused_before_an_intent(wanted: Any) -> None:
    """
    The field is named, and nothing is written down.
    """
    async with Till.opened() as till:
        await till.register()
        with pytest.raises(PaymentsError) as caught:
            await till.start(ADA, Order(**wanted), caller=admin(), key=None)
        assert getattr(caught.value, "field", None) == next(iter(wanted))
        assert till.intents == []
