"""Whatever dies, and whenever: nothing is made twice, nothing is left open.

Every operation is run with every outcome of every call to the gateway, and the process
ends before each call of a port: of the operation itself, and of what heals it. Then it
is started again, the client repeats its request with the same key, and time passes.
"""

import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import attrs
import pytest

from payments_core.errors import PaymentsError
from payments_core.intent import Intent, IntentKind, IntentState
from payments_core.subscription import Subscription
from payments_core.use_cases import Begun, Change, Order
from support.inprocess import Trouble
from support.till import ADA, Crash, Till, admin, caller_of

KEY = "a-key-of-the-client"
CALLER = caller_of(ADA)
# With two crashes the schedules multiply: by default only some of the second ones.
STRIDE = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "prove" else 23
SENDS_MAX = 4
FIGURE = "figure"
ENDED = {"canceled", "incomplete_expired"}


@attrs.frozen
class Deed:
    """An operation: what was there before, what the client asks, what must be there."""

    name: str
    prepare: Callable[[Till], Awaitable[None]]
    ask: Callable[[Till], Awaitable[Begun | None]]
    kind: IntentKind


async def _nothing(till: Till) -> None:
    await till.register()


async def _card(till: Till) -> None:
    await till.register()
    begun = await till.update_card(ADA, "pm_card_visa", caller=CALLER, key=None)
    intent = await till.settle(begun)
    assert intent.state is IntentState.SUCCEEDED


async def _subscribed(till: Till) -> None:
    await _card(till)
    begun = await till.start(ADA, Order(product=till.product), caller=CALLER, key=None)
    intent = await till.settle(begun)
    assert intent.state is IntentState.SUCCEEDED
    await till.advance(timedelta(days=3))


async def _owing(till: Till) -> None:
    await _subscribed(till)
    card = (await till.account()).card
    assert card is not None
    till.decline(card.id)
    # Renewed, collected an hour later, and declined.
    await till.advance(timedelta(days=29))
    [subscription] = till.subscriptions_of(ADA)
    assert subscription["status"] == "past_due"


async def _only(till: Till) -> Subscription:
    [subscription] = await till.read(ADA, caller=CALLER)
    return subscription


async def _start(till: Till) -> Begun:
    order = Order(product=till.product, payment_method="pm_card_visa")
    return await till.start(ADA, order, caller=CALLER, key=KEY)


async def _start_declined(till: Till) -> Begun:
    order = Order(product=till.product, payment_method="pm_card_chargeCustomerFail")
    return await till.start(ADA, order, caller=CALLER, key=KEY)


async def _change(till: Till) -> Begun:
    subscription = await _only(till)
    change = Change(price=till.pro)
    return await till.change(ADA, subscription.id, change, caller=admin(), key=KEY)


async def _end(till: Till) -> Begun | None:
    subscription = await _only(till)
    ended = await till.end(
        ADA, subscription.id, at_period_end=False, caller=CALLER, key=KEY
    )
    return ended.begun


async def _update_card(till: Till) -> Begun:
    return await till.update_card(ADA, "pm_card_visa", caller=CALLER, key=KEY)


async def _set_up(till: Till) -> Begun:
    return await till.set_up_card(ADA, caller=CALLER, key=KEY)


DEEDS = (
    Deed("start", _nothing, _start, IntentKind.START_SUBSCRIPTION),
    Deed("start declined", _nothing, _start_declined, IntentKind.START_SUBSCRIPTION),
    Deed("change", _subscribed, _change, IntentKind.CHANGE_SUBSCRIPTION),
    Deed("end", _subscribed, _end, IntentKind.END_SUBSCRIPTION),
    Deed("update card", _owing, _update_card, IntentKind.UPDATE_CARD),
    Deed("set up card", _nothing, _set_up, IntentKind.SET_UP_CARD),
)


async def _try(till: Till, deed: Deed) -> Intent | None:
    """Ask as a client does; an error is an answer too."""
    try:
        begun = await deed.ask(till)
        return await till.settle(begun) if begun else None
    except PaymentsError:
        return None


async def _lived_through(
    till: Till, deed: Deed, case: tuple[Trouble | None, int], *crashes: int
) -> bool:
    """Do the deed in a world that ends at the crashes; say whether all happened."""
    await deed.prepare(till)
    trouble, nth = case
    if trouble is not None:
        till.line.plan(trouble, after=nth)
    crashed = False
    for number, crash in enumerate(crashes):
        till.restart(crash)
        try:
            await (_healed(till, deed) if number else _try(till, deed))
            crashed = False
        except Crash:
            crashed = True
    till.restart()
    await _healed(till, deed)
    return crashed


async def _healed(till: Till, deed: Deed) -> None:
    await till.advance(timedelta(minutes=1))
    await _try(till, deed)
    await till.quiesce()


async def _check(till: Till, deed: Deed, where: object) -> None:
    account = await till.account()
    assert not till.open_intents, (where, "left open")
    customers = till.customers_of(ADA)
    assert len(customers) <= 1, (where, "customers")
    assert customers in ([], [account.customer_id]), (where, "an orphan customer")
    subscriptions = till.subscriptions_of(ADA)
    live = [it["id"] for it in subscriptions if it["status"] not in ENDED]
    known = [it.gateway_id for it in account.subscriptions if it.live]
    assert len(live) <= 1, (where, "live subscriptions", live)
    assert known == live, (where, "orphans or ghosts", known, live)
    assert till.paid_twice() == [], (where, "paid twice")
    for intent in till.intents:
        _check_made(till, intent, live, where)
    # P29: the client's repetition gets the outcome, and nothing is done again.
    before = len(till.line.changes)
    first, second = await _try(till, deed), await _try(till, deed)
    assert first == second, (where, "two answers")
    assert len(till.line.changes) == before, (where, "done again")


def _check_made(till: Till, intent: Intent, live: list[str], where: object) -> None:
    """P22: one living thing where an intent that makes one succeeded, else none."""
    made = till.made_by(intent.id)
    assert len(made) <= 1, (where, "made twice", made)
    if intent.kind is IntentKind.START_SUBSCRIPTION:
        ended = any(
            it.kind is IntentKind.END_SUBSCRIPTION and it.state is IntentState.SUCCEEDED
            for it in till.intents
        )
        wanted = intent.state is IntentState.SUCCEEDED and not ended
        assert [it for it in made if it in live] == made * wanted, (where, made)


def _cases() -> Iterator[tuple[Trouble | None, int]]:
    yield None, 0
    for trouble in Trouble:
        for nth in range(SENDS_MAX):
            yield trouble, nth


@pytest.mark.anyio
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
async def test_p22_p23_p29_f01_one_crash_anywhere_leaves_one_truth(
    deed: Deed, record_property: Callable[[str, object], None]
) -> None:
    """
    Each outcome of each call, and the end of the process before each call of a port.
    """
    schedules = 0
    for case in _cases():
        for crash in itertools.count(1):
            async with Till.opened() as till:
                crashed = await _lived_through(till, deed, case, crash)
                await _check(till, deed, (case, crash))
            schedules += 1
            if not crashed:
                break
    record_property(FIGURE, f"{deed.name}: {schedules} schedules with one crash")
    assert schedules > len(list(_cases()))


@pytest.mark.anyio
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
async def test_p22_p23_p29_f01_two_crashes_leave_one_truth(
    deed: Deed, record_property: Callable[[str, object], None]
) -> None:
    """
    The second one while the first is being mended.
    """
    schedules = 0
    for number, case in enumerate(_cases()):
        for first in itertools.count(1 + number % STRIDE, STRIDE):
            crashed = first_crashed = False
            for second in itertools.count(1 + first % STRIDE, STRIDE):
                async with Till.opened() as till:
                    crashed = await _lived_through(till, deed, case, first, second)
                    await _check(till, deed, (case, first, second))
                    first_crashed = till.crashes > 0
                schedules += 1
                if not crashed:
                    break
            if not first_crashed:
                break
    record_property(FIGURE, f"{deed.name}: {schedules} schedules with two crashes")
    assert schedules > len(list(_cases()))
