"""Whatever breaks, and whenever: nothing is made twice, nothing is left open.

Every operation is run with every outcome of every call to the gateway, and breaks at
each call of a port: of the operation itself, and of its recovery. The process ends
before the call, or after it; or a store does not answer, having done nothing, or all of
it; or the process is frozen while a worker continues with its state. Then the process
is started again, the client repeats its request with the same key, and time passes.
"""

import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from datetime import timedelta

import attrs
import pytest

from payments_core.errors import PaymentsError, StoreUnavailable
from payments_core.intent import TELLS_CARD, Intent, IntentKind, IntentState
from payments_core.subscription import Subscription
from payments_core.use_cases import Change, ExecutedOperation, Order
from support.deployment import ADA, Break, Crash, Deployment, admin, caller_of
from support.inprocess import Trouble
from support.profiles import PROVES, only_in_prove

KEY = "a-key-of-the-client"
CALLER = caller_of(ADA)
# With two breaks the schedules multiply: CI runs only some, of all kinds.
STRIDE = int(os.environ.get("BREAKS_STRIDE", "1"))
# With one break `make test` runs all crashes, and every second or third of the others,
# starting at another one for each outcome.
STRIDES = {
    Break.CRASH: 1,
    Break.NO_ANSWER: 1 if PROVES else 2,
    Break.FREEZE: 1 if PROVES else 3,
}
SENDS_MAX = 4
FIGURE = "figure"
ENDED = {"canceled", "incomplete_expired"}


@attrs.frozen
class Deed:
    """An operation: the state before, the client's request, the state after."""

    name: str
    prepare: Callable[[Deployment], Awaitable[None]]
    ask: Callable[[Deployment], Awaitable[ExecutedOperation | None]]
    kind: IntentKind


async def _nothing(deployment: Deployment) -> None:
    await deployment.register()


async def _card(deployment: Deployment) -> None:
    await deployment.register()
    begun = await deployment.update_card(ADA, "pm_card_visa", caller=CALLER, key=None)
    intent = begun.intent
    assert intent.state is IntentState.SUCCEEDED


async def _subscribed(deployment: Deployment) -> None:
    await _card(deployment)
    begun = await deployment.start(
        ADA, Order(product=deployment.product), caller=CALLER, key=None
    )
    intent = begun.intent
    assert intent.state is IntentState.SUCCEEDED
    await deployment.advance(timedelta(days=3))


async def _owing(deployment: Deployment) -> None:
    await _subscribed(deployment)
    card = (await deployment.account()).card
    assert card is not None
    deployment.decline(card.id)
    # Renewed, charged an hour later, and declined.
    await deployment.advance(timedelta(days=29))
    [subscription] = deployment.subscriptions_of(ADA)
    assert subscription["status"] == "past_due"


async def _only(deployment: Deployment) -> Subscription:
    [subscription] = await deployment.read(ADA, caller=CALLER)
    return subscription


async def _start(deployment: Deployment) -> ExecutedOperation:
    order = Order(product=deployment.product, payment_method="pm_card_visa")
    return await deployment.start(ADA, order, caller=CALLER, key=KEY)


async def _start_declined(deployment: Deployment) -> ExecutedOperation:
    order = Order(
        product=deployment.product, payment_method="pm_card_chargeCustomerFail"
    )
    return await deployment.start(ADA, order, caller=CALLER, key=KEY)


async def _change(deployment: Deployment) -> ExecutedOperation:
    subscription = await _only(deployment)
    change = Change(price=deployment.pro)
    return await deployment.change(
        ADA, subscription.id, change, caller=admin(), key=KEY
    )


async def _end(deployment: Deployment) -> ExecutedOperation | None:
    subscription = await _only(deployment)
    ended = await deployment.end(
        ADA, subscription.id, at_period_end=False, caller=CALLER, key=KEY
    )
    return ended.executed


async def _update_card(deployment: Deployment) -> ExecutedOperation:
    return await deployment.update_card(ADA, "pm_card_visa", caller=CALLER, key=KEY)


async def _set_up(deployment: Deployment) -> ExecutedOperation:
    return await deployment.set_up_card(ADA, caller=CALLER, key=KEY)


DEEDS = (
    Deed("start", _nothing, _start, IntentKind.START_SUBSCRIPTION),
    Deed("start declined", _nothing, _start_declined, IntentKind.START_SUBSCRIPTION),
    Deed("change", _subscribed, _change, IntentKind.CHANGE_SUBSCRIPTION),
    Deed("end", _subscribed, _end, IntentKind.END_SUBSCRIPTION),
    Deed("update card", _owing, _update_card, IntentKind.UPDATE_CARD),
    Deed("set up card", _nothing, _set_up, IntentKind.SET_UP_CARD),
)


async def _prepared(
    deed: Deed,
) -> Callable[[], AbstractAsyncContextManager[Deployment]]:
    """Return a factory of worlds in which the deed can be done: each its own copy."""
    async with Deployment.opened() as deployment:
        await deed.prepare(deployment)
        return deployment.saved()


async def _try(deployment: Deployment, deed: Deed) -> Intent | None:
    """Send the request as a client does; an error is an answer too."""
    with suppress(PaymentsError):
        executed = await deed.ask(deployment)
        return executed.intent if executed else None
    return None


async def _lived_through(
    deployment: Deployment,
    deed: Deed,
    case: tuple[Trouble | None, int],
    how: Break,
    *breaks: int,
) -> bool:
    """Do the deed in a world that breaks at these calls; return whether all came."""
    trouble, nth = case
    if trouble is not None:
        deployment.line.plan(trouble, after=nth)
    reached = False
    for number, at in enumerate(breaks):
        deployment.restart(at, how)
        with suppress(Crash, StoreUnavailable):
            await (_healed(deployment, deed) if number else _try(deployment, deed))
        reached = deployment.fuse.reached
    deployment.restart()
    await _healed(deployment, deed)
    return reached


async def _healed(deployment: Deployment, deed: Deed) -> None:
    await deployment.advance(timedelta(minutes=1))
    await _try(deployment, deed)
    await deployment.quiesce()


async def _check(deployment: Deployment, deed: Deed, how: Break, where: object) -> None:
    account = await deployment.account()
    assert not deployment.open_intents, (where, "left open")
    customers = deployment.customers_of(ADA)
    assert len(customers) <= 1, (where, "customers")
    assert customers in ([], [account.customer_id]), (where, "an orphan customer")
    subscriptions = deployment.subscriptions_of(ADA)
    live = [it["id"] for it in subscriptions if it["status"] not in ENDED]
    known = [it.gateway_id for it in account.subscriptions if not it.is_terminal]
    assert len(live) <= 1, (where, "live subscriptions", live)
    assert known == live, (where, "orphans or ghosts", known, live)
    assert deployment.paid_twice() == [], (where, "paid twice")
    for intent in deployment.intents:
        _check_made(deployment, intent, how, live, where)
    # P29: the client's repetition gets the outcome, and nothing is done again.
    before = len(deployment.line.changes)
    first, second = await _try(deployment, deed), await _try(deployment, deed)
    assert first == second, (where, "two answers")
    assert len(deployment.line.changes) == before, (where, "done again")
    if deed.kind in TELLS_CARD:
        await deployment.hear()
        shown = (await deployment.account()).card
        paying = _paying(deployment)
        assert (shown.id if shown else None) == paying, (where, "card", shown, paying)


def _paying(deployment: Deployment) -> str | None:
    """Return the card that pays at the gateway."""
    world = deployment.engine.world
    made = deployment.subscriptions_of(ADA)
    cards = [it["default_payment_method"] for it in made if it["status"] not in ENDED]
    cards += [
        world.get("customer", it)["invoice_settings"]["default_payment_method"]
        for it in deployment.customers_of(ADA)
    ]
    return next((str(it) for it in cards if it), None)


def _check_made(
    deployment: Deployment, intent: Intent, how: Break, live: list[str], where: object
) -> None:
    """P22: one living thing if an intent that makes one succeeded, else none."""
    made = deployment.made_by(intent.id)
    assert len(made) <= 1, (where, "made twice", made)
    if intent.kind is IntentKind.START_SUBSCRIPTION:
        ends = {
            it.state
            for it in deployment.intents
            if it.kind is IntentKind.END_SUBSCRIPTION
        }
        if how is Break.FREEZE and IntentState.REFUSED in ends:
            # A process that was frozen before it sent may afterwards do what was
            # refused meanwhile to the process that continued; the true state is known
            # above.
            return
        ended = IntentState.SUCCEEDED in ends
        wanted = intent.state is IntentState.SUCCEEDED and not ended
        assert [it for it in made if it in live] == made * wanted, (where, made)


def _cases() -> Iterator[tuple[Trouble | None, int]]:
    yield None, 0
    for trouble in Trouble:
        for nth in range(SENDS_MAX):
            yield trouble, nth


@pytest.mark.anyio
@pytest.mark.parametrize("how", Break, ids=lambda how: how.value)
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
async def test_p22_p23_p29_f01_one_break_anywhere_leaves_one_truth(
    deed: Deed, how: Break, record_property: Callable[[str, object], None]
) -> None:
    """
    Each outcome of each call, and a break before and after each call of a port.
    """
    schedules, prepared = 0, await _prepared(deed)
    for number, case in enumerate(_cases()):
        stride = STRIDES[how]
        for at in itertools.count(1 + number % stride, stride):
            async with prepared() as deployment:
                reached = await _lived_through(deployment, deed, case, how, at)
                await _check(deployment, deed, how, (case, at))
            schedules += 1
            if not reached:
                break
    record_property(FIGURE, f"{deed.name}: {schedules} schedules with one {how}")
    assert schedules > len(list(_cases()))


@only_in_prove
@pytest.mark.anyio
@pytest.mark.parametrize("how", Break, ids=lambda how: how.value)
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
async def test_p22_p23_p29_f01_two_breaks_leave_one_truth(
    deed: Deed, how: Break, record_property: Callable[[str, object], None]
) -> None:
    """
    The second break comes during the recovery from the first.
    """
    schedules, prepared = 0, await _prepared(deed)
    for number, case in enumerate(_cases()):
        for first in itertools.count(1 + number % STRIDE, STRIDE):
            reached = first_reached = False
            for second in itertools.count(1 + first % STRIDE, STRIDE):
                async with prepared() as deployment:
                    reached = await _lived_through(
                        deployment, deed, case, how, first, second
                    )
                    await _check(deployment, deed, how, (case, first, second))
                    first_reached = deployment.crashes > 0
                schedules += 1
                if not reached:
                    break
            if not first_reached:
                break
    record_property(FIGURE, f"{deed.name}: {schedules} schedules with two of {how}")
    assert schedules > len(list(_cases()))
