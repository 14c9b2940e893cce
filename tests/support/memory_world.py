"""The gateway's contract in memory, and the parts that its fake does not implement."""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs
import pytest

from contracts import contracts_of
from contracts.examples import NOON, an_event
from contracts.gateway_world import CHEAP_MINOR, DEAR_MINOR, FAILING, GatewayFault
from payments_adapters.memory import NOT_PAYING, FixedClock, MemoryGateway
from payments_core.card import Card
from payments_core.errors import (
    GatewayNotAttempted,
    GatewayOutcomeUnknown,
    PaymentsError,
)
from payments_core.gateway import GatewayRequest, Price
from payments_core.identity import CustomerId
from payments_core.months import months_after
from payments_core.payment import Payment, PaymentId, PaymentState
from payments_core.ports import PaymentGateway

_T = TypeVar("_T")
_BILLS: Final = "a change of plan is prorated: the fake refuses it"
_TRIALS: Final = "a trial ends by itself: the fake refuses it"
_ENDS: Final = "a period never ends by itself, and nothing expires"
_ASKS: Final = "a card pays or does not: no bank asks the payer to confirm"
# Promises of the contract that the fake does not keep, and why: a test, or one case of
# it. The Stripe adapter over the sandbox keeps all of them.
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
# The error of each fault, and whether the request is executed all the same.
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
    def gateway(self) -> PaymentGateway:
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

    def happen(self, count: int) -> Sequence[str]:
        events = self.memory.objects.events
        new = [f"evt_{len(events) + number}" for number in range(count)]
        second = self.clock.now.replace(microsecond=0)
        events += [attrs.evolve(an_event(id_), created_at=second) for id_ in new]
        return new

    def lose(self, event_id: str) -> None:
        self.memory.objects.undelivered.add(event_id)

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


Contracted = Callable[..., Awaitable[None]]


class Named:
    """A test class whose tests know their names, with the case."""

    name = ""

    @pytest.fixture(autouse=True)
    def _is_named(self, request: pytest.FixtureRequest) -> None:
        self.name = request.node.name


def _as_far_as_it_goes(test: Contracted) -> Contracted:
    """Return a test that passes if this one fails, where the fake is incomplete."""

    @functools.wraps(test)
    async def bounded(self: Named, **given: Any) -> None:
        fails = {self.name, test.__name__} & set(BEYOND_THE_FAKE)
        errors = (AssertionError, PaymentsError, pytest.fail.Exception)
        with pytest.raises(errors) if fails else nullcontext():
            await test(self, **given)

    return bounded


def listed_test(listed: str) -> Contracted:
    name = listed.partition("[")[0]
    found: Sequence[Contracted] = [
        vars(it)[name] for it in contracts_of("world") if name in vars(it)
    ]
    (test,) = found
    return test


def as_far_as_the_fake_goes(cls: type[_T]) -> type[_T]:
    """Mark the tests of a class that the fake cannot pass as expected failures."""
    for listed in BEYOND_THE_FAKE:
        test = listed_test(listed)
        setattr(cls, test.__name__, _as_far_as_it_goes(test))
    return cls
