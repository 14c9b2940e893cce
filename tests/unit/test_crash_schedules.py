"""Whatever breaks, and whenever: nothing is made twice, nothing is left open.

Every operation is run with every outcome of every call to the gateway, and breaks at
each call of a port: of the operation itself, and of what heals it. The process ends
before the call, or when it is done; or a store does not answer, having done nothing, or
all of it; or the process is frozen while a worker goes on with what it had. Then the
process is started again, the client repeats its request with the same key, and time
passes.
"""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import attrs
import pytest

from payments_core.errors import PaymentsError, StoreUnavailable
from payments_core.intent import Intent, IntentKind, IntentState
from payments_core.subscription import Subscription
from payments_core.use_cases import Change, ExecutedOperation, Order
from support.inprocess import Trouble
from support.profiles import PROVES
from support.till import ADA, Break, Crash, Till, admin, caller_of

KEY = "a-key-of-the-client"
CALLER = caller_of(ADA)
# With two crashes the schedules multiply: by default only some of the second ones.
STRIDE = 1 if PROVES else 19
STRIDES = {Break.CRASH: 1, Break.NO_ANSWER: 1, Break.FREEZE: 1 if PROVES else 2}
SENDS_MAX = 4
FIGURE = "figure"
ENDED = {"canceled", "incomplete_expired"}


@attrs.frozen
class Deed:
    """An operation: what was there before, what the client asks, what must be there."""

    name: str
    prepare: Callable[[Till], Awaitable[None]]
    ask: Callable[[Till], Awaitable[ExecutedOperation | None]]
    kind: IntentKind


async def _nothing(till: Till) -> None:
    await till.register()


async def _card(till: Till) -> None:
    await till.register()
    begun = await till.update_card(ADA, "pm_card_visa", caller=CALLER, key=None)
    intent = begun.intent
    assert intent.state is IntentState.SUCCEEDED


async def _subscribed(till: Till) -> None:
    await _card(till)
    begun = await till.start(ADA, Order(product=till.product), caller=CALLER, key=None)
    intent = begun.intent
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


async def _start(till: Till) -> ExecutedOperation:
    order = Order(product=till.product, payment_method="pm_card_visa")
    return await till.start(ADA, order, caller=CALLER, key=KEY)


async def _start_declined(till: Till) -> ExecutedOperation:
    order = Order(product=till.product, payment_method="pm_card_chargeCustomerFail")
    return await till.start(ADA, order, caller=CALLER, key=KEY)


async def _change(till: Till) -> ExecutedOperation:
    subscription = await _only(till)
    change = Change(price=till.pro)
    return await till.change(ADA, subscription.id, change, caller=admin(), key=KEY)


async def _end(till: Till) -> ExecutedOperation | None:
    subscription = await _only(till)
    ended = await till.end(
        ADA, subscription.id, at_period_end=False, caller=CALLER, key=KEY
    )
    return ended.executed


async def _update_card(till: Till) -> ExecutedOperation:
    return await till.update_card(ADA, "pm_card_visa", caller=CALLER, key=KEY)


async def _set_up(till: Till) -> ExecutedOperation:
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
    with suppress(PaymentsError):
        executed = await deed.ask(till)
        return executed.intent if executed else None
    return None


async def _lived_through(
    till: Till,
    deed: Deed,
    case: tuple[Trouble | None, int],
    how: Break,
    *breaks: int,
) -> bool:
    """Do the deed in a world that breaks at these calls; say whether all happened."""
    await deed.prepare(till)
    trouble, nth = case
    if trouble is not None:
        till.line.plan(trouble, after=nth)
    reached = False
    for number, at in enumerate(breaks):
        till.restart(at, how)
        with suppress(Crash, StoreUnavailable):
            await (_healed(till, deed) if number else _try(till, deed))
        reached = till.fuse.reached
    till.restart()
    await _healed(till, deed)
    return reached


async def _healed(till: Till, deed: Deed) -> None:
    await till.advance(timedelta(minutes=1))
    await _try(till, deed)
    await till.quiesce()


async def _check(till: Till, deed: Deed, how: Break, where: object) -> None:
    account = await till.account()
    assert not till.open_intents, (where, "left open")
    customers = till.customers_of(ADA)
    assert len(customers) <= 1, (where, "customers")
    assert customers in ([], [account.customer_id]), (where, "an orphan customer")
    subscriptions = till.subscriptions_of(ADA)
    live = [it["id"] for it in subscriptions if it["status"] not in ENDED]
    known = [it.gateway_id for it in account.subscriptions if not it.is_terminal]
    assert len(live) <= 1, (where, "live subscriptions", live)
    assert known == live, (where, "orphans or ghosts", known, live)
    assert till.paid_twice() == [], (where, "paid twice")
    for intent in till.intents:
        _check_made(till, intent, how, live, where)
    # P29: the client's repetition gets the outcome, and nothing is done again.
    before = len(till.line.changes)
    first, second = await _try(till, deed), await _try(till, deed)
    assert first == second, (where, "two answers")
    assert len(till.line.changes) == before, (where, "done again")


def _check_made(
    till: Till, intent: Intent, how: Break, live: list[str], where: object
) -> None:
    """P22: one living thing where an intent that makes one succeeded, else none."""
    made = till.made_by(intent.id)
    assert len(made) <= 1, (where, "made twice", made)
    if intent.kind is IntentKind.START_SUBSCRIPTION:
        ends = {
            it.state for it in till.intents if it.kind is IntentKind.END_SUBSCRIPTION
        }
        if how is Break.FREEZE and IntentState.REFUSED in ends:
            # A process that was frozen before it sent may do afterwards what was
            # refused meanwhile to the one that went on; what is true is known above.
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
    Each outcome of each call, and a break at both ends of each call of a port.
    """
    schedules = 0
    for number, case in enumerate(_cases()):
        stride = STRIDES[how]
        for at in itertools.count(1 + number % stride, stride):
            async with Till.opened() as till:
                reached = await _lived_through(till, deed, case, how, at)
                await _check(till, deed, how, (case, at))
            schedules += 1
            if not reached:
                break
    record_property(FIGURE, f"{deed.name}: {schedules} schedules with one {how}")
    assert schedules > len(list(_cases()))


@pytest.mark.anyio
@pytest.mark.parametrize("how", Break, ids=lambda how: how.value)
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
async def test_p22_p23_p29_f01_two_breaks_leave_one_truth(
    deed: Deed, how: Break, record_property: Callable[[str, object], None]
) -> None:
    """
    The second one while the first is being mended.
    """
    schedules = 0
    for number, case in enumerate(_cases()):
        for first in itertools.count(1 + number % STRIDE, STRIDE):
            reached = first_reached = False
            for second in itertools.count(1 + first % STRIDE, STRIDE):
                async with Till.opened() as till:
                    reached = await _lived_through(till, deed, case, how, first, second)
                    await _check(till, deed, how, (case, first, second))
                    first_reached = till.crashes > 0
                schedules += 1
                if not reached:
                    break
            if not first_reached:
                break
    record_property(FIGURE, f"{deed.name}: {schedules} schedules with two of {how}")
    assert schedules > len(list(_cases()))
