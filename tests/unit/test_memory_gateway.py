"""The contract of the payment gateway, in memory, and what only memory promises."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, BOB, NOON
from contracts.gateway_sending import REQUESTS
from contracts.gateway_world import (
    CHEAP_MINOR,
    COLLECTED,
    DEAR_MINOR,
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
from contracts.payment_gateway import PaymentGatewayContract
from payments_adapters.memory import (
    FixedClock,
    GatewayFault,
    Ledger,
    MemoryGateway,
)
from payments_adapters.memory.gateway_requests import freeze, thawed
from payments_core.errors import GatewayBusy, GatewayRefused, GatewaySilent
from payments_core.gateway import (
    AttachCard,
    EndSubscription,
    GatewayRequest,
    PayInvoice,
    Price,
)
from payments_core.identity import CustomerId
from payments_core.months import months_after
from payments_core.payment import Payment, PaymentId
from payments_core.subscription import SubscriptionStatus

pytestmark = pytest.mark.anyio

CHEAP: Final = Price(
    id="price_cheap",
    product="prod_1",
    currency="eur",
    amount_minor=CHEAP_MINOR,
    active=True,
    recurring=True,
)
DEAR: Final = attrs.evolve(CHEAP, id="price_dear", amount_minor=DEAR_MINOR)


@attrs.define
class MemoryWorld:
    """A gateway in memory, and its clock."""

    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))
    memory: MemoryGateway = attrs.field(init=False)
    product: str = CHEAP.product
    price: str = CHEAP.id
    dearer: str = DEAR.id

    def __attrs_post_init__(self) -> None:
        self.memory = MemoryGateway(self.clock)
        self.memory.add_price(CHEAP)
        self.memory.add_price(DEAR)

    @property
    def gateway(self) -> MemoryGateway:
        return self.memory

    def plan(self, fault: GatewayFault, request: GatewayRequest) -> None:
        self.memory.plan(fault, type(request).__name__)

    def new_card(self, name: str) -> str:
        return self.memory.make_card(name)

    def complete_set_up(self, set_up_id: str, payment_method: str) -> None:
        self.memory.complete_set_up(set_up_id, payment_method)

    def authenticate(self, invoice_id: str, *, accept: bool) -> None:
        self.memory.authenticate(invoice_id, accept=accept)

    def pass_time(self, by: timedelta) -> None:
        self.clock.advance(by)
        self.memory.catch_up()

    def pass_month(self) -> None:
        self.pass_time(months_after(self.clock.now, 1) - self.clock.now + COLLECTED)

    def made_by(self, intent_id: str) -> Sequence[str]:
        return self.memory.ledger().made_by(intent_id)

    def taken_from(self, customer_id: CustomerId) -> Sequence[int]:
        return self.memory.ledger().taken_from(customer_id)

    def attempts_at(self, customer_id: CustomerId) -> Sequence[PaymentId]:
        return [it.id for it in _attempts(self.memory) if it.customer_id == customer_id]


def _attempts(gateway: MemoryGateway) -> Sequence[Payment]:
    return list(gateway._books.charges.values())


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


class TestMemoryGateway(PaymentGatewayContract):
    """The contract, in memory."""


# Keys


async def test_a_key_is_forgotten_after_a_day(world: MemoryWorld) -> None:
    """
    A stable key alone makes twins: whoever relies on it has to be caught here.
    """
    request, key = customer_wanted(), new_key()
    first = await ask(world, request, key)
    world.clock.advance(timedelta(hours=24) - timedelta(seconds=1))
    assert await ask(world, request, key) == first
    world.clock.advance(timedelta(seconds=1))
    assert (await ask(world, request, key)).id != first.id
    assert len(world.made_by(request.intent_id)) == 2


async def test_a_decline_is_kept_and_a_refusal_is_not(world: MemoryWorld) -> None:
    """
    The bank was asked, once; who named an unknown price was not even tried.
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

    later = attrs.evolve(CHEAP, id="price_later")
    start, key = start_wanted(world, await a_payer(world), price=later.id), new_key()
    with pytest.raises(GatewayRefused):
        await ask(world, start, key)
    world.memory.add_price(later)
    assert (await ask(world, start, key)).subscription is not None


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda it: type(it).__name__)
def test_what_was_frozen_is_thawed(request_: GatewayRequest) -> None:
    """
    A frozen request holds all of it: what is done is read from nowhere else.
    """
    assert thawed(freeze(request_)) == request_


# Faults


async def test_a_planned_fault_happens_once_to_what_matches(world: MemoryWorld) -> None:
    """
    Others pass, and so do as many as it was told to let pass.
    """
    world.memory.plan(GatewayFault.RATE_LIMITED, "AttachCard")
    world.memory.plan(GatewayFault.RATE_LIMITED, "CreateCustomer", after=1)
    await ask(world, customer_wanted())
    with pytest.raises(GatewayBusy):
        await ask(world, customer_wanted())
    answer = await ask(world, customer_wanted())
    attaching = AttachCard(
        customer_id=CustomerId(answer.id), payment_method=world.new_card(GOOD)
    )
    with pytest.raises(GatewayBusy):
        await ask(world, attaching)
    await ask(world, attaching)


async def test_a_planned_refusal_does_nothing(world: MemoryWorld) -> None:
    """
    It is definite, no decline, and not kept.
    """
    request, key = customer_wanted(), new_key()
    world.memory.plan(GatewayFault.REFUSED)
    with pytest.raises(GatewayRefused) as refusal:
        await ask(world, request, key)
    assert not refusal.value.declined
    assert world.made_by(request.intent_id) == []
    assert (await ask(world, request, key)).id


@pytest.mark.parametrize("fault", [GatewayFault.REPLY_LOST, GatewayFault.TIMEOUT_AFTER])
async def test_a_refusal_that_nobody_hears_is_silence(
    world: MemoryWorld, fault: GatewayFault
) -> None:
    """
    Whatever the answer was, it did not arrive; asked again it is told.
    """
    world.memory.plan(fault)
    request, key = start_wanted(world, CustomerId("cus_nothing")), new_key()
    with pytest.raises(GatewaySilent):
        await ask(world, request, key)
    with pytest.raises(GatewayRefused):
        await ask(world, request, key)


async def test_every_sending_is_noted(world: MemoryWorld) -> None:
    """
    Those that fail too, with the key and the bytes that they were sent with.
    """
    request = customer_wanted()
    world.memory.plan(GatewayFault.TIMEOUT_BEFORE)
    with pytest.raises(GatewaySilent):
        await ask(world, request, "key-a")
    await ask(world, request, "key-a")
    assert world.memory.sent == [("key-a", freeze(request))] * 2


# What is told to it


async def test_a_magic_name_attaches_a_card_of_its_own(world: MemoryWorld) -> None:
    """
    As at Stripe: `pm_card_visa` is nobody's card, each attaching makes one.
    """
    customer = await a_customer(world)
    attaching = AttachCard(customer_id=customer, payment_method=GOOD)
    one, other = await ask(world, attaching), await ask(world, attaching)
    assert len({GOOD, one.id, other.id}) == 3
    assert one.card is not None
    assert one.card.id == one.id


async def test_the_first_price_is_the_default_until_another_is_made_it(
    world: MemoryWorld,
) -> None:
    """
    A product has one default price.
    """
    assert await world.memory.price_of(CHEAP.product) == CHEAP
    world.memory.add_price(DEAR, default=True)
    assert await world.memory.price_of(CHEAP.product) == DEAR


@pytest.mark.parametrize(
    "price",
    [
        attrs.evolve(CHEAP, id="price_x", active=False),
        attrs.evolve(CHEAP, id="price_x", recurring=False),
        attrs.evolve(CHEAP, id="price_x", amount_minor=None),
    ],
    ids=["inactive", "one-off", "tiered"],
)
async def test_what_is_not_sold_as_a_subscription_is_refused(
    world: MemoryWorld, price: Price
) -> None:
    """
    Nothing is begun, and nothing changed to it.
    """
    world.memory.add_price(price)
    customer = await a_payer(world)
    report = await started(world, customer)
    for request in (
        start_wanted(world, customer, price=price.id, intent_id="intent-x"),
        change_wanted(report, price=price.id),
    ):
        with pytest.raises(GatewayRefused) as refusal:
            await ask(world, request)
        assert refusal.value.field == "price"
    assert world.made_by("intent-x") == []
    assert await seen(world, report) == report


async def test_a_subscription_keeps_its_currency(world: MemoryWorld) -> None:
    """
    Euros are not prorated into dollars.
    """
    world.memory.add_price(attrs.evolve(CHEAP, id="price_usd", currency="usd"))
    report = await started(world, await a_payer(world))
    with pytest.raises(GatewayRefused) as refusal:
        await ask(world, change_wanted(report, price="price_usd"))
    assert refusal.value.field == "price"


async def test_a_card_that_is_said_to_be_there_has_to_be(world: MemoryWorld) -> None:
    """
    Nothing is begun by charging nobody.
    """
    request = start_wanted(world, await a_customer(world), has_card=True)
    with pytest.raises(GatewayRefused) as refusal:
        await ask(world, request)
    assert refusal.value.field == "payment_method"
    assert world.made_by(request.intent_id) == []


async def test_a_renewal_comes_and_fails_when_it_is_told_to(world: MemoryWorld) -> None:
    """
    The clock need not move; the next good one does not pay for the one that failed.
    """
    customer = await a_payer(world)
    report = await started(world, customer)
    behind = world.memory.fail_renewal(report.gateway_id)
    assert behind.status is SubscriptionStatus.PAST_DUE
    assert behind.period_start == report.period_end
    assert world.taken_from(customer) == [CHEAP_MINOR]

    after = world.memory.renew(report.gateway_id)
    assert after.status is SubscriptionStatus.ACTIVE
    assert after.period_end == months_after(report.created_at, 3)
    assert world.taken_from(customer) == [CHEAP_MINOR] * 2


async def test_months_keep_their_anchor(world: MemoryWorld) -> None:
    """
    Begun on 31 January: 28 February, 31 March, 30 April.
    """
    report = await started(world, await a_payer(world))
    ends = [report.period_end]
    ends += [world.memory.renew(report.gateway_id).period_end for _ in range(2)]
    assert [(it.month, it.day) for it in ends] == [(2, 28), (3, 31), (4, 30)]


async def test_only_what_lives_is_renewed(world: MemoryWorld) -> None:
    """
    A test that renews what waits, or has ended, is wrong.
    """
    customer = await a_payer(world)
    waiting = await started(world, customer, has_card=False)
    ended = await started(world, customer)
    await ask(world, EndSubscription(subscription=ended.gateway_id))
    for report in (waiting, ended):
        for renew in (world.memory.renew, world.memory.fail_renewal):
            with pytest.raises(ValueError, match="not renewed"):
                renew(report.gateway_id)


async def test_only_what_the_bank_asks_about_is_confirmed(world: MemoryWorld) -> None:
    """
    A test that confirms what is paid is wrong.
    """
    report = await started(world, await a_payer(world))
    with pytest.raises(ValueError, match="nobody has to confirm"):
        world.authenticate(invoice_of(report), accept=True)


async def test_the_ledger_tells_whose_everything_is(world: MemoryWorld) -> None:
    """
    Customers, subscriptions that live, what an intent made, and what was taken.
    """
    customer = await a_payer(world)
    one = await started(world, customer)
    other = await started(world, customer, intent_id="intent-other")
    await ask(world, EndSubscription(subscription=one.gateway_id))

    ledger = world.memory.ledger()
    assert ledger.customers_of(ADA) == [customer]
    assert ledger.live_subscriptions_of(ADA) == [other.gateway_id]
    assert ledger.live_subscriptions_of(BOB) == ledger.customers_of(BOB) == []
    assert ledger.made_by("intent-start") == [one.gateway_id]
    assert ledger.taken_from(customer) == [CHEAP_MINOR] * 2
    assert ledger.paid_twice() == []


async def test_a_ledger_is_of_its_moment(world: MemoryWorld) -> None:
    """
    What happens afterwards is not in it.
    """
    before = world.memory.ledger()
    await a_customer(world)
    assert before.customers_of(ADA) == []


def test_one_invoice_that_was_paid_twice_is_told() -> None:
    """
    The counter that other tests rely on does count.
    """
    charges = [
        Payment(id=PaymentId(id_), invoice_id=invoice)
        for id_, invoice in (("ch_1", "in_1"), ("ch_2", "in_2"), ("ch_3", "in_1"))
    ]
    ledger = Ledger((), (), (), (), charges)
    assert ledger.paid_twice() == ["in_1"]


async def test_the_same_calls_give_the_same_answers() -> None:
    """
    Ids, secrets, order: two worlds that lived alike are alike.
    """

    async def lived() -> object:
        world = MemoryWorld()
        customer = CustomerId((await ask(world, customer_wanted())).id)
        await a_default(world, customer)
        report = await started(world, customer)
        world.pass_month()
        return await seen(world, report), world.memory.ledger()

    assert await lived() == await lived()
