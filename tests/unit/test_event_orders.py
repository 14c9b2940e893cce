"""Events in any order, late, twice, as other events, of one second: one truth.

A user subscribes, plans the end, changes their mind, and gets a partial refund; the
events are made once, and delivered again and again to a database that knows nothing.
"""

import copy
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from itertools import permutations
from typing import Final

import attrs
import pytest

from payments_adapters.memory.ledger import MemoryDatabase
from payments_adapters.stripe import translate
from payments_core.entitlement import PaymentStatus
from payments_core.use_cases import Order
from payments_sandbox.api_versions import NEWEST
from payments_sandbox.state import Event
from payments_sandbox.webhook_delivery import payload
from support import crowd
from support.deployment import ADA, Deployment, caller_of
from support.profiles import PROVES

# The life of a subscription, in the order in which it happened.
TYPES: Final = (
    "customer.subscription.created",
    "charge.succeeded",
    "invoice.paid",
    "customer.subscription.updated",
    "charge.refunded",
)
# 120 orders; with one more event 720.
MORE: Final = ("invoice_payment.paid",) * PROVES
AN_HOUR: Final = timedelta(hours=1)

pytestmark = pytest.mark.anyio


@attrs.frozen
class Life:
    """What happened at the gateway.

    `before` is a database from before any event, `begun` one that knows only that there
    is a subscription.
    """

    deployment: Deployment
    before: MemoryDatabase
    begun: MemoryDatabase
    events: Sequence[Event]

    def again(self, database: MemoryDatabase | None = None) -> Deployment:
        """Return a world without any event, or with the contents of a database."""
        database = copy.deepcopy(database or self.before)
        return attrs.evolve(self.deployment, database=database)

    def one_each(self, types: Iterable[str]) -> list[Event]:
        """Return the last event of each type."""
        by_type = {it.type: it for it in self.events}
        return [by_type[it] for it in types]

    async def tell(self, who: Deployment, *events: Event) -> None:
        bodies = [payload(self.deployment.engine.world, it, NEWEST) for it in events]
        for body in bodies:
            await who.apply([translate(body)])

    async def hold(self, who: Deployment, where: object) -> None:
        """Compare the state after all jobs are done with the gateway's own data."""
        await crowd.work(who)
        await crowd.compare(who, crowd.owners_of(who), where)


@pytest.fixture
async def life() -> AsyncIterator[Life]:
    async with Deployment.opened() as deployment:
        caller, api = caller_of(ADA), deployment.api
        await deployment.register()
        await deployment.update_card(ADA, "pm_card_visa", caller=caller, key=None)
        before = copy.deepcopy(deployment.database)
        order = Order(product=deployment.product)
        await deployment.start(ADA, order, caller=caller, key=None)
        [subscription] = deployment.subscriptions_of(ADA)
        [charge] = deployment.engine.world.all("charge")
        await deployment.hear()
        begun = copy.deepcopy(deployment.database)
        await deployment.advance(AN_HOUR)
        path = f"subscriptions/{subscription['id']}"
        # Within one second only the gateway knows which was the last.
        api.post(path, cancel_at_period_end=True)
        api.post(path, cancel_at_period_end=False)
        await deployment.advance(AN_HOUR)
        api.post("refunds", charge=charge["id"], amount=100)
        await deployment.advance(AN_HOUR)
        events = list(deployment.engine.world.events.values())
        yield Life(deployment, before, begun, events)


async def test_p01_f35_every_order_of_a_life_comes_to_the_same(life: Life) -> None:
    """
    Each event is delivered twice, the second time at any place after the first.
    """
    dice = random.Random(0)  # noqa: S311  # a seed's
    for order in permutations(life.one_each((*TYPES, *MORE))):
        told = [*order, *order]
        dice.shuffle(told)
        who = life.again()
        await life.tell(who, *told)
        await life.hold(who, [it.type for it in told])


async def test_f36_what_is_hours_late_takes_nothing_back(life: Life) -> None:
    """
    Neither at once nor after the worker has fetched.
    """
    who = life.again()
    oldest, *newer = life.one_each(TYPES)
    await life.tell(who, *newer)
    await crowd.work(who)
    before = await who.account()
    await life.tell(who, oldest, *life.events)
    assert (await who.account()).standing(
        now=who.clock.now, policy=who.policy
    ) == before.standing(now=who.clock.now, policy=who.policy)
    await life.hold(who, "late")


async def test_f37_two_events_of_one_change_are_one_change(life: Life) -> None:
    """
    Nothing is counted twice, and the log of changes has it once.
    """
    once, twice = life.again(), life.again()
    for event in life.events:
        await life.tell(once, event)
        await life.tell(twice, event, attrs.evolve(event, id=f"{event.id}_twin"))
    await life.hold(once, "once")
    await life.hold(twice, "twice")
    assert _logged(twice) == _logged(once)
    assert PaymentStatus.PAID in _logged(once)


def _logged(who: Deployment) -> list[PaymentStatus]:
    log = who.database.tables.account_log.values()
    return [it.payment_status for it in log]


@pytest.mark.parametrize("backwards", [True, False])
async def test_f38_of_one_second_the_gateway_says_what_was_last(
    life: Life, *, backwards: bool
) -> None:
    """
    Two changes that contradict each other, in either order.
    """
    changed = [it for it in life.events if it.type == "customer.subscription.updated"]
    planned, kept = changed[-2:]
    assert planned.created == kept.created
    assert (
        planned.object["cancel_at_period_end"]
        is not kept.object["cancel_at_period_end"]
    )
    who = life.again(life.begun)
    await life.tell(who, *([kept, planned] if backwards else [planned, kept]))
    await life.hold(who, "one second")
    [subscription] = (await who.account()).subscriptions
    assert subscription.report.cancel_at_period_end is False


async def test_p37_what_was_kept_and_the_gateway_rebuild_all(life: Life) -> None:
    """
    The bodies of all events, delivered to a database that has only its registrations.
    """
    first = life.again()
    await life.tell(first, *life.events)
    await life.hold(first, "first")
    bodies = [row.event.body for row in first.database.tables.events.values()]
    second = life.again()
    for body in bodies:
        await second.apply([translate(body)])
    await life.hold(second, "second")
    rebuilt, kept = await second.account(), await first.account()
    assert [it.report for it in rebuilt.subscriptions] == [
        it.report for it in kept.subscriptions
    ]
    assert rebuilt.card == kept.card
    payments = second.database.tables.payments
    assert {it.payment for it in payments.values()} == {
        it.payment for it in first.database.tables.payments.values()
    }
