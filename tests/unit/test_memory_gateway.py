"""The contract of the payment gateway, on the fake in memory, as far as it goes."""

import copy

import attrs
import pytest

from contracts import every_contract_of
from contracts.examples import NOON
from contracts.gateway_world import (
    FAILING,
    GOOD,
    a_card,
    a_customer,
    a_default,
    a_payer,
    ask,
    change_wanted,
    customer_wanted,
    invoice_of,
    new_key,
    seen,
    start_wanted,
    started,
)
from payments_adapters.memory import MemoryGateway
from payments_core.errors import (
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    GatewayRefused,
)
from payments_core.gateway import PayInvoice
from payments_core.identity import CustomerId
from support.memory_world import (
    BEYOND_THE_FAKE,
    CHEAP,
    DEAR,
    MemoryWorld,
    Named,
    as_far_as_the_fake_goes,
    listed_test,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


@as_far_as_the_fake_goes
@every_contract_of("world")
class TestMemoryGateway(Named):
    """Every contract of a gateway: what the fake does not support must fail."""


def test_each_case_that_is_beyond_the_fake_is_one_of_the_contract() -> None:
    """
    A case that was renamed would otherwise be expected to pass, unnoticed.
    """
    for listed in BEYOND_THE_FAKE:
        _, _, case = listed.removesuffix("]").partition("[")
        if case:
            marks = listed_test(listed).pytestmark  # type: ignore[attr-defined]  # pytest's
            [drawn] = [mark for mark in marks if mark.name == "parametrize"]
            assert case in [drawn.kwargs["ids"](it) for it in drawn.args[1]], listed


# What only memory promises


async def test_a_decline_is_told_again(world: MemoryWorld) -> None:
    """
    The bank was asked only once.
    """
    customer = await a_customer(world)
    report = await started(world, customer, has_card=False)
    card, key = await a_card(world, customer, FAILING), new_key()
    paying = PayInvoice(invoice_id=invoice_of(report), payment_method=card)
    for _ in range(2):
        with pytest.raises(GatewayRefused) as refusal:
            await ask(world, paying, key)
        assert refusal.value.declined
    assert len(world.attempts_at(customer)) == 1


async def test_planned_faults_come_one_after_the_other(world: MemoryWorld) -> None:
    """
    Each once; what is refused was not done, and the same key does it.
    """
    request, key = customer_wanted(), new_key()
    world.memory.plan(GatewayRefused("no", "not today"))
    world.memory.plan(GatewayNotAttempted("too many requests"))
    for error in (GatewayRefused, GatewayNotAttempted):
        with pytest.raises(error):
            await ask(world, request, key)
        assert world.made_by(request.intent_id) == []
    assert (await ask(world, request, key)).id


async def test_a_refusal_that_nobody_hears_is_silence(world: MemoryWorld) -> None:
    """
    Whatever the answer was, it did not arrive; a retry gets it.
    """
    world.memory.plan(GatewayOutcomeUnknown("it got lost"), done=True)
    request, key = start_wanted(world, CustomerId("cus_nothing")), new_key()
    with pytest.raises(GatewayOutcomeUnknown):
        await ask(world, request, key)
    with pytest.raises(GatewayRefused):
        await ask(world, request, key)


async def test_every_sending_is_noted(world: MemoryWorld) -> None:
    """
    Failed ones too, with the key and the bytes that they were sent with.
    """
    request = customer_wanted()
    world.memory.plan(GatewayOutcomeUnknown("no answer in time"))
    with pytest.raises(GatewayOutcomeUnknown):
        await ask(world, request, "key-a")
    await ask(world, request, "key-a")
    assert world.memory.sent == [("key-a", world.memory.freeze(request))] * 2


@pytest.mark.parametrize("paying", [True, False])
async def test_looking_for_a_request_does_nothing(
    world: MemoryWorld,
    paying: bool,  # noqa: FBT001  # drawn
) -> None:
    """
    Not even a request that would take money, or have it declined.
    """
    customer = await a_customer(world)
    report = await started(world, customer, has_card=False)
    card = await a_card(world, customer, GOOD if paying else FAILING)
    before = copy.deepcopy(world.memory.objects)
    request = PayInvoice(invoice_id=invoice_of(report), payment_method=card)
    assert await world.memory.find(request) is None
    assert world.memory.objects == before


async def test_what_the_fake_cannot_bill_it_refuses(world: MemoryWorld) -> None:
    """
    A test of a trial or a change that passed here would prove nothing.
    """
    customer = await a_payer(world)
    report = await started(world, customer)
    change = change_wanted(report, price=world.dearer, proration_date=NOON)
    with pytest.raises(GatewayRefused, match="not prorated here"):
        await ask(world, change)
    with pytest.raises(GatewayRefused, match="not prorated here"):
        await world.memory.preview(customer, change)
    with pytest.raises(GatewayRefused) as refusal:
        await started(world, customer, trial_days=14)
    assert refusal.value.field == "trial_days"
    assert await seen(world, report) == report


@pytest.mark.parametrize("field", ["active", "recurring"])
async def test_what_is_not_sold_as_a_subscription_is_refused(
    world: MemoryWorld, field: str
) -> None:
    """
    Nothing is begun.
    """
    price = attrs.evolve(CHEAP, id="price_x", **{field: False})  # type: ignore[arg-type]  # both are bools
    world.memory.objects.prices[price.id] = price
    request = start_wanted(world, await a_payer(world), price=price.id)
    with pytest.raises(GatewayRefused) as refusal:
        await ask(world, request)
    assert refusal.value.field == "price"
    assert world.made_by(request.intent_id) == []


async def test_a_card_that_is_said_to_be_there_has_to_be(world: MemoryWorld) -> None:
    """
    Nothing is begun without somebody to charge.
    """
    request = start_wanted(world, await a_customer(world), has_card=True)
    with pytest.raises(GatewayRefused) as refusal:
        await ask(world, request)
    assert refusal.value.field == "payment_method"
    assert world.made_by(request.intent_id) == []


async def test_the_first_price_of_a_product_is_its_default(world: MemoryWorld) -> None:
    """
    In the order in which they were added.
    """
    dearer = MemoryGateway(world.clock)
    dearer.objects.prices |= {DEAR.id: DEAR, CHEAP.id: CHEAP}
    assert await world.memory.price_of(CHEAP.product) == CHEAP
    assert await dearer.price_of(CHEAP.product) == DEAR


async def test_the_same_calls_give_the_same_answers() -> None:
    """
    Ids, secrets, order: two worlds with the same calls are equal.
    """

    async def lived() -> object:
        world = MemoryWorld()
        customer = CustomerId((await ask(world, customer_wanted())).id)
        await a_default(world, customer)
        report = await started(world, customer)
        return await seen(world, report), world.memory.objects

    assert await lived() == await lived()
