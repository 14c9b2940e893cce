"""Card testing: a user with too many declines is refused before any request is sent."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from payments_core.errors import ScopeRequired, TooManyDeclines
from payments_core.identity import UserId
from payments_core.intent import Intent, IntentState
from payments_core.use_cases import Change, Order
from payments_core.use_cases.declines import WINDOW
from payments_sandbox.api import ApiRequest, ApiResponse
from support.deployment import ADA, Deployment, admin, caller_of
from support.operations import CALLER, GOOD, card, change, only, start

pytestmark = pytest.mark.anyio

REFUSED = "pm_card_chargeDeclined"
# It can be attached, and fails when it must pay.
FAILING = "pm_card_chargeCustomerFail"
ASKING = "pm_card_authenticationRequired"
BOB = UserId("bob")
MINUTE = timedelta(minutes=1)


async def declined(deployment: Deployment, times: int, key: str | None = None) -> None:
    """Give cards that the bank declines, a minute apart."""
    for number in range(times):
        if number:
            await deployment.advance(MINUTE)
        given = key and f"{key}{number}"
        done = await deployment.update_card(ADA, REFUSED, caller=CALLER, key=given)
        assert done.intent.state is IntentState.REFUSED
        assert done.intent.is_declined


Ask = Callable[[Deployment], Awaitable[object]]


async def _set_up(it: Deployment) -> object:
    return await it.set_up_card(ADA, caller=CALLER, key=None)


async def _give(it: Deployment) -> object:
    return await it.update_card(ADA, GOOD, caller=CALLER, key=None)


async def _start(it: Deployment) -> object:
    order = Order(product=it.product, payment_method=GOOD)
    return await it.start(ADA, order, caller=CALLER, key=None)


async def _change(it: Deployment) -> object:
    known = await only(it)
    return await it.change(ADA, known.id, Change(quantity=2), caller=CALLER, key=None)


@pytest.mark.parametrize("ask", [_set_up, _give, _start, _change])
async def test_t71_after_so_many_declines_nothing_is_asked_of_the_gateway(
    ask: Ask,
) -> None:
    """
    By none of the ways in which a card could be tried: no request is sent, and nothing
    is stored. Another user is allowed to.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=3)
        await deployment.register()
        await _start(deployment)
        await declined(deployment, 3)
        sent, known = list(deployment.line.changes), list(deployment.intents)

        with pytest.raises(TooManyDeclines) as refused:
            await ask(deployment)

        assert refused.value.retry_after_s == 58 * 60
        assert deployment.line.changes == sent
        assert deployment.intents == known
        await deployment.set_up_card(BOB, caller=caller_of(BOB), key=None)


async def test_it_may_again_when_the_oldest_decline_has_left_the_hour() -> None:
    """
    And not a second before; a decline then counts as the newest of as many.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=3)
        await declined(deployment, 3)
        with pytest.raises(TooManyDeclines) as refused:
            await _give(deployment)
        wait = timedelta(seconds=refused.value.retry_after_s)

        await deployment.advance(wait - timedelta(seconds=1))
        with pytest.raises(TooManyDeclines):
            await _give(deployment)
        await deployment.advance(timedelta(seconds=1))
        await declined(deployment, 1)
        with pytest.raises(TooManyDeclines):
            await _give(deployment)
        await deployment.advance(WINDOW)
        await _give(deployment)


async def test_what_ends_or_costs_nothing_is_never_refused() -> None:
    """
    A repeated request is not refused either: its answer is the same.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=2)
        await deployment.register()
        await _start(deployment)
        await declined(deployment, 2, key="k")
        known = await only(deployment)

        again = await deployment.update_card(ADA, REFUSED, caller=CALLER, key="k0")
        assert again.replayed
        plan = Change(cancel_at_period_end=True)
        await deployment.change(ADA, known.id, plan, caller=CALLER, key=None)
        await deployment.end(
            ADA, known.id, at_period_end=False, caller=CALLER, key=None
        )
        assert (await only(deployment)).is_terminal


async def test_refusals_of_another_kind_are_no_declines() -> None:
    """
    A payment method that does not exist was not a card.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=1)
        gone = await deployment.update_card(ADA, "pm_gone", caller=CALLER, key=None)
        assert gone.intent.state is IntentState.REFUSED
        assert not gone.intent.is_declined
        await _give(deployment)


async def _tried_by_a_change(it: Deployment, name: str, **more: Any) -> Intent:
    """Attach a card, and let it pay for one more unit of the subscription."""
    assert (await card(it, name)).state is IntentState.SUCCEEDED
    return await change(it, quantity=(await only(it)).report.quantity + 1, **more)


async def test_t71_a_change_that_the_bank_declined_is_a_decline() -> None:
    """
    It succeeds, waits to be paid, and counts; the decline is stored with it.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=3)
        await deployment.register()
        await _start(deployment)
        for _ in range(3):
            changed = await _tried_by_a_change(deployment, FAILING)
            assert changed.state is IntentState.SUCCEEDED
            assert changed.is_declined
            assert changed.outcome is not None
            assert changed.outcome.client_secret
            assert changed.outcome.refusal is None
            assert changed.outcome.decline is not None
            assert changed.outcome.decline.decline_code == "generic_decline"
        sent = list(deployment.line.changes)
        for ask in (_give, _change):
            with pytest.raises(TooManyDeclines):
                await ask(deployment)
        assert deployment.line.changes == sent


async def test_t71_a_decline_counts_if_what_was_asked_for_next_is_refused() -> None:
    """
    The change of the quantity was declined; that of the planned end was refused,
    because the subscription had ended meanwhile.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=1)
        await deployment.register()
        await _start(deployment)
        await card(deployment, FAILING)
        engine, [subscription] = deployment.engine, deployment.subscriptions_of(ADA)

        def ends_it(request: ApiRequest, _: ApiResponse) -> None:
            # The bank's refusal was read from there, and nothing else was requested
            # since.
            if request.path.startswith("/v1/payment_intents/"):
                engine.watch = lambda _, __: None
                path = f"/v1/subscriptions/{subscription['id']}"
                engine.answer(attrs.evolve(request, method="DELETE", path=path))

        engine.watch = ends_it
        changed = await change(deployment, quantity=2, cancel_at_period_end=True)
        assert changed.state is IntentState.REFUSED
        assert changed.is_declined
        with pytest.raises(TooManyDeclines):
            await _give(deployment)


async def test_t71_a_payer_who_has_to_confirm_was_not_declined() -> None:
    """
    Neither by the first payment nor by that of a change: 3-D Secure is no decline. Nor
    is what costs nothing, though an earlier payment is still declined.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=2)
        await deployment.register()
        begun = await start(deployment, ASKING)
        assert begun.outcome is not None
        assert begun.outcome.requires_action
        assert not begun.is_declined
        [payment] = deployment.engine.world.all("payment_intent")
        deployment.engine.authenticate(payment["id"], succeed=True)
        await deployment.hear()

        asked = await _tried_by_a_change(deployment, ASKING)
        assert asked.outcome is not None
        assert asked.outcome.requires_action
        assert not asked.is_declined
        assert (await _tried_by_a_change(deployment, FAILING)).is_declined
        for planned in (True, False):
            planning = await change(deployment, cancel_at_period_end=planned)
            assert not planning.is_declined
        await _give(deployment)


async def test_an_administrator_is_counted_too_but_may_go_on_despite_it() -> None:
    """
    A backend calls as one and names no option; a caller who is none may not name it.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=1)
        await declined(deployment, 1)
        with pytest.raises(TooManyDeclines):
            await deployment.update_card(ADA, GOOD, caller=admin(), key=None)
        with pytest.raises(ScopeRequired):
            await deployment.update_card(
                ADA, GOOD, caller=CALLER, key=None, despite_declines=True
            )
        done = await deployment.update_card(
            ADA, GOOD, caller=admin(), key=None, despite_declines=True
        )
        assert done.intent.state is IntentState.SUCCEEDED


async def test_who_listens_hears_of_declines_and_of_refusals() -> None:
    """
    For the metrics: one of each.
    """
    async with Deployment.opened() as opened:
        deployment = attrs.evolve(opened, declines_max=1)
        heard = list[str]()
        execute = attrs.evolve(
            deployment.execute, on_declined=lambda it: heard.append(it.user_id)
        )
        limit = attrs.evolve(
            deployment.declines, on_refused=lambda it: heard.append(f"no {it}")
        )
        update = attrs.evolve(deployment.update_card, execute=execute, declines=limit)
        await update(ADA, REFUSED, caller=CALLER, key=None)
        with pytest.raises(TooManyDeclines):
            await update(ADA, REFUSED, caller=CALLER, key=None)
        assert heard == ["ada", "no ada"]
