"""The contract of the payment gateway, on the fake in memory, as far as it goes."""

import copy
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import attrs
import pytest

from contracts import contracts_of, every_contract_of
from contracts.examples import NOON
from contracts.gateway_world import (
    CHEAP_MINOR,
    DEAR_MINOR,
    FAILING,
    GOOD,
    GatewayFault,
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
from payments_adapters.memory import NOT_PAYING, FixedClock, MemoryGateway
from payments_core.card import Card
from payments_core.errors import (
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    GatewayRefused,
    PaymentsError,
)
from payments_core.gateway import GatewayRequest, PayInvoice, Price
from payments_core.identity import CustomerId
from payments_core.months import months_after
from payments_core.payment import Payment, PaymentId, PaymentState

pytestmark = pytest.mark.anyio

_BILLS: Final = "a change of plan is prorated: the fake refuses it"
_TRIALS: Final = "a trial ends by itself: the fake refuses it"
_ENDS: Final = "a period never ends by itself, and nothing expires"
_ASKS: Final = "a card pays or does not: no bank asks the payer to confirm"
# What the contract promises and the fake does not, and why: a test, or one case of it.
# All of it is promised by the Stripe adapter over the sandbox.
BEYOND_THE_FAKE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "test_nothing_is_found_before_it_was_sent_and_it_is_after[change]": _BILLS,
        "test_an_answer_is_true_for_a_second[change]": _BILLS,
        "test_what_was_reached_unheard_is_found[change]": _BILLS,
        "test_a_gateway_that_is_busy_has_done_nothing[change]": _BILLS,
        "test_a_change_costs_what_its_preview_said": _BILLS,
        "test_a_preview_holds_for_its_date": _BILLS,
        "test_a_preview_changes_nothing": _BILLS,
        "test_a_dearer_price_is_what_the_next_month_costs": _BILLS,
        "test_a_cheaper_price_is_given_at_once_and_credited": _BILLS,
        "test_what_changes_nothing_costs_nothing": _BILLS,
        "test_what_costs_more_and_cannot_be_paid_is_held": _BILLS,
        "test_a_held_change_is_found": _BILLS,
        "test_a_held_change_is_given_when_it_is_paid": _BILLS,
        "test_a_held_change_is_given_when_the_payer_confirms": _BILLS,
        "test_a_held_change_is_given_up_after_a_day": _BILLS,
        "test_another_change_takes_the_place_of_a_held_one": _BILLS,
        "test_a_change_to_an_unknown_price_is_refused": _BILLS,
        "test_a_change_outside_of_the_period_is_refused": _BILLS,
        "test_in_a_trial_a_change_costs_nothing": _TRIALS,
        "test_a_trial_is_free_until_it_ends": _TRIALS,
        "test_a_trial_needs_no_card": _TRIALS,
        "test_a_month_later_the_next_one_is_paid": _ENDS,
        "test_a_renewal_that_is_declined_falls_behind": _ENDS,
        "test_a_planned_end_comes_with_the_period": _ENDS,
        "test_a_first_payment_that_never_comes_is_given_up": _ENDS,
        "test_what_ends_before_it_was_paid_owes_nothing": "no invoice is ever closed",
        "test_the_payer_confirms_what_the_bank_asks_about": _ASKS,
        "test_what_the_payer_does_not_confirm_stays_incomplete": _ASKS,
        "test_a_card_that_asks_to_pay_is_a_no_until_it_is_confirmed": _ASKS,
        "test_a_card_that_the_bank_declines_changes_nothing": (
            "a card pays or does not: every card can be attached"
        ),
    }
)
CHEAP: Final = Price(
    id="price_cheap",
    product="prod_1",
    currency="eur",
    amount_minor=CHEAP_MINOR,
    active=True,
    recurring=True,
)
DEAR: Final = attrs.evolve(CHEAP, id="price_dear", amount_minor=DEAR_MINOR)
# What is told of each fault, and whether it is done all the same.
_poison: Final = functools.partial(GatewayOutcomeUnknown, server_error_cached=True)
FAULTS: Final[Mapping[GatewayFault, tuple[Callable[[str], PaymentsError], bool]]] = (
    MappingProxyType(
        {
            GatewayFault.REPLY_LOST: (GatewayOutcomeUnknown, True),
            GatewayFault.ERROR_MADE: (_poison, True),
            GatewayFault.ERROR_NOT_MADE: (_poison, False),
            GatewayFault.RATE_LIMITED: (GatewayNotAttempted, False),
            GatewayFault.TIMEOUT_BEFORE: (GatewayOutcomeUnknown, False),
            GatewayFault.TIMEOUT_AFTER: (GatewayOutcomeUnknown, True),
        }
    )
)


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
        self.memory.objects.prices |= {CHEAP.id: CHEAP, DEAR.id: DEAR}

    @property
    def gateway(self) -> MemoryGateway:
        return self.memory

    def plan(self, fault: GatewayFault, request: GatewayRequest) -> None:  # noqa: ARG002  # it is the next one
        told, done = FAULTS[fault]
        self.memory.plan(told(fault), done=done)

    def new_card(self, name: str) -> str:
        id_ = f"pm_{len(self.memory.objects.cards)}"
        last4 = NOT_PAYING if name == FAILING else "4242"
        self.memory.objects.cards[id_] = Card(
            id=id_, brand="visa", last4=last4, exp_month=12, exp_year=NOON.year
        )
        return id_

    def complete_set_up(self, set_up_id: str, payment_method: str) -> None:
        it = self.memory.objects
        set_up = it.set_ups[set_up_id]
        assert set_up.customer_id is not None
        it.card_owners[payment_method] = set_up.customer_id
        it.set_ups[set_up_id] = attrs.evolve(
            set_up, payment_method=payment_method, succeeded=True
        )

    def authenticate(self, invoice_id: str, *, accept: bool) -> None:
        pytest.fail(f"nobody confirms {invoice_id}, or does not: {accept}")

    def pass_time(self, by: timedelta) -> None:
        self.clock.advance(by)

    def pass_month(self) -> None:
        self.clock.now = months_after(self.clock.now, 1)

    def made_by(self, intent_id: str) -> Sequence[str]:
        made = self.memory.objects.made
        return [id_ for id_, it in made.items() if it.intent_id == intent_id]

    def taken_from(self, customer_id: CustomerId) -> Sequence[int]:
        return [
            it.amount.amount_minor
            for it in self._payments_of(customer_id)
            if it.state is PaymentState.SUCCEEDED and it.amount
        ]

    def attempts_at(self, customer_id: CustomerId) -> Sequence[PaymentId]:
        return [it.id for it in self._payments_of(customer_id)]

    def _payments_of(self, customer_id: CustomerId) -> Sequence[Payment]:
        payments = self.memory.objects.payments.values()
        return [it for it in payments if it.customer_id == customer_id]


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


@every_contract_of("world")
class TestMemoryGateway:
    """Every contract of a gateway, in memory: what is beyond the fake has to fail."""

    name = ""

    @pytest.fixture(autouse=True)
    def _is_named(self, request: pytest.FixtureRequest) -> None:
        self.name = request.node.name


Contracted = Callable[..., Awaitable[None]]


def _as_far_as_it_goes(test: Contracted) -> Contracted:
    """Return a test that passes where this one fails, if it is beyond the fake."""

    @functools.wraps(test)
    async def bounded(self: TestMemoryGateway, **given: Any) -> None:
        fails = {self.name, test.__name__} & set(BEYOND_THE_FAKE)
        errors = (AssertionError, PaymentsError, pytest.fail.Exception)
        with pytest.raises(errors) if fails else nullcontext():
            await test(self, **given)

    return bounded


def _test_of(listed: str) -> Contracted:
    name = listed.partition("[")[0]
    found: Sequence[Contracted] = [
        vars(it)[name] for it in contracts_of("world") if name in vars(it)
    ]
    (test,) = found
    return test


for _listed in BEYOND_THE_FAKE:
    _test = _test_of(_listed)
    setattr(TestMemoryGateway, _test.__name__, _as_far_as_it_goes(_test))


def test_each_case_that_is_beyond_the_fake_is_one_of_the_contract() -> None:
    """
    A case that is named otherwise by now would be expected to pass, unnoticed.
    """
    for listed in BEYOND_THE_FAKE:
        _, _, case = listed.removesuffix("]").partition("[")
        if case:
            marks = _test_of(listed).pytestmark  # type: ignore[attr-defined]  # pytest's
            [drawn] = [mark for mark in marks if mark.name == "parametrize"]
            assert case in [drawn.kwargs["ids"](it) for it in drawn.args[1]], listed


# What only memory promises


async def test_a_decline_is_told_again(world: MemoryWorld) -> None:
    """
    The bank was asked, once.
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
    Each once; what is refused was not done, and its key does it.
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
    Whatever the answer was, it did not arrive; asked again it is told.
    """
    world.memory.plan(GatewayOutcomeUnknown("it got lost"), done=True)
    request, key = start_wanted(world, CustomerId("cus_nothing")), new_key()
    with pytest.raises(GatewayOutcomeUnknown):
        await ask(world, request, key)
    with pytest.raises(GatewayRefused):
        await ask(world, request, key)


async def test_every_sending_is_noted(world: MemoryWorld) -> None:
    """
    Those that fail too, with the key and the bytes that they were sent with.
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
    Not even one that would take money, or have it declined.
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
    A test of a trial or a change that passed here would say nothing.
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
    Nothing is begun by charging nobody.
    """
    request = start_wanted(world, await a_customer(world), has_card=True)
    with pytest.raises(GatewayRefused) as refusal:
        await ask(world, request)
    assert refusal.value.field == "payment_method"
    assert world.made_by(request.intent_id) == []


async def test_the_first_price_of_a_product_is_its_default(world: MemoryWorld) -> None:
    """
    In the order in which they were put there.
    """
    dearer = MemoryGateway(world.clock)
    dearer.objects.prices |= {DEAR.id: DEAR, CHEAP.id: CHEAP}
    assert await world.memory.price_of(CHEAP.product) == CHEAP
    assert await dearer.price_of(CHEAP.product) == DEAR


async def test_the_same_calls_give_the_same_answers() -> None:
    """
    Ids, secrets, order: two worlds that lived alike are alike.
    """

    async def lived() -> object:
        world = MemoryWorld()
        customer = CustomerId((await ask(world, customer_wanted())).id)
        await a_default(world, customer)
        report = await started(world, customer)
        return await seen(world, report), world.memory.objects

    assert await lived() == await lived()
