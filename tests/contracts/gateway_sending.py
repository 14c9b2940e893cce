"""What freezing, sending and finding promise, whatever the request."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import attrs
import pytest

from contracts.examples import ADA, BOB, CUS_1, CUS_2
from contracts.gateway_world import (
    GOOD,
    GatewayWorld,
    a_card,
    a_customer,
    a_default,
    a_payer,
    ask,
    change_wanted,
    customer_wanted,
    invoice_of,
    new_key,
    reported,
    start_wanted,
    started,
)
from payments_core.errors import GatewayNotAttempted, GatewayOutcomeUnknown
from payments_core.gateway import (
    Answer,
    AttachCard,
    CancelSubscription,
    CreateCustomer,
    CreateSetupIntent,
    CreateSubscription,
    GatewayRequest,
    MakeDefault,
    PayInvoice,
    SetCancelAtPeriodEnd,
    SetSubscriptionCard,
    UpdateSubscription,
)
from payments_core.subscription import SubscriptionStatus

_START: Final = CreateSubscription(
    customer_id=CUS_1,
    price="price_1",
    quantity=1,
    has_card=True,
    user_id=ADA,
    intent_id="intent-1",
)
_CHANGE: Final = UpdateSubscription(subscription="sub_1", item_id="si_1", quantity=2)
# No two of them request the same.
REQUESTS: Final[tuple[GatewayRequest, ...]] = (
    customer_wanted("intent-1"),
    customer_wanted("intent-2"),
    CreateCustomer(user_id=BOB, email="bøb@exämple.org", intent_id="intent-1"),
    CreateSetupIntent(customer_id=CUS_1, user_id=ADA, intent_id="intent-1"),
    CreateSetupIntent(customer_id=CUS_2, user_id=ADA, intent_id="intent-1"),
    AttachCard(customer_id=CUS_1, payment_method="pm_1"),
    AttachCard(customer_id=CUS_1, payment_method="pm_2"),
    MakeDefault(customer_id=CUS_1, payment_method="pm_1"),
    SetSubscriptionCard(subscription="sub_1", payment_method="pm_1"),
    PayInvoice(invoice_id="in_1", payment_method="pm_1"),
    PayInvoice(invoice_id="in_2", payment_method="pm_1"),
    _START,
    attrs.evolve(_START, quantity=2),
    attrs.evolve(_START, payment_method="pm_1"),
    attrs.evolve(_START, trial_days=14),
    attrs.evolve(_START, has_card=False),
    _CHANGE,
    attrs.evolve(_CHANGE, price="price_2"),
    attrs.evolve(_CHANGE, proration_date=datetime(2026, 1, 15, 12, tzinfo=UTC)),
    SetCancelAtPeriodEnd(subscription="sub_1", cancel_at_period_end=True),
    SetCancelAtPeriodEnd(subscription="sub_1", cancel_at_period_end=False),
    CancelSubscription(subscription="sub_1"),
)

AT_ONCE: Final = 20
# As many as Stripe's longest page of a list.
PAGE: Final = 100

# Each prepares a world, and returns a request that was not sent yet.
Asking = Callable[[GatewayWorld], Awaitable[GatewayRequest]]


async def _create_customer(_: GatewayWorld) -> GatewayRequest:
    return customer_wanted()


async def _set_up_card(world: GatewayWorld) -> GatewayRequest:
    return CreateSetupIntent(
        customer_id=await a_customer(world), user_id=ADA, intent_id="intent-set-up"
    )


async def _start(world: GatewayWorld) -> GatewayRequest:
    return start_wanted(world, await a_payer(world))


async def _attach(world: GatewayWorld) -> GatewayRequest:
    customer = await a_customer(world)
    return AttachCard(customer_id=customer, payment_method=world.new_card(GOOD))


async def _make_default(world: GatewayWorld) -> GatewayRequest:
    customer = await a_payer(world)
    card = await a_card(world, customer)
    return MakeDefault(customer_id=customer, payment_method=card)


async def _pin(world: GatewayWorld) -> GatewayRequest:
    customer = await a_payer(world)
    report = await started(world, customer)
    card = await a_card(world, customer)
    return SetSubscriptionCard(subscription=report.gateway_id, payment_method=card)


async def _pay(world: GatewayWorld) -> GatewayRequest:
    customer = await a_customer(world)
    report = await started(world, customer, has_card=False)
    card = await a_default(world, customer)
    return PayInvoice(invoice_id=invoice_of(report), payment_method=card)


async def _change(world: GatewayWorld) -> GatewayRequest:
    report = await started(world, await a_payer(world))
    return change_wanted(report, price=world.dearer, quantity=2)


async def _plan_end(world: GatewayWorld) -> GatewayRequest:
    report = await started(world, await a_payer(world))
    return SetCancelAtPeriodEnd(
        subscription=report.gateway_id, cancel_at_period_end=True
    )


async def _end(world: GatewayWorld) -> GatewayRequest:
    report = await started(world, await a_payer(world))
    return CancelSubscription(subscription=report.gateway_id)


def _named(asking: Asking) -> str:
    return getattr(asking, "__name__", "").strip("_")


MAKING: Final[tuple[Asking, ...]] = (_create_customer, _set_up_card, _start)
ASKING_FOR: Final[tuple[Asking, ...]] = (
    *MAKING,
    _attach,
    _make_default,
    _pin,
    _pay,
    _change,
    _plan_end,
    _end,
)
of_each_kind = pytest.mark.parametrize("asking", ASKING_FOR, ids=_named)
of_each_that_makes = pytest.mark.parametrize("asking", MAKING, ids=_named)


def intent_of(request: GatewayRequest) -> str:
    assert isinstance(request, CreateCustomer | CreateSetupIntent | CreateSubscription)
    return request.intent_id


class SendingContract:
    @pytest.mark.parametrize("request_", REQUESTS, ids=lambda it: type(it).__name__)
    async def test_a_request_is_frozen_the_same_each_time(
        self, world: GatewayWorld, request_: GatewayRequest
    ) -> None:
        """
        Byte for byte, also of an equal request that was built again.
        """
        frozen = world.gateway.freeze(request_)
        assert world.gateway.freeze(request_) == frozen
        assert world.gateway.freeze(attrs.evolve(request_)) == frozen

    async def test_two_requests_are_not_frozen_alike(self, world: GatewayWorld) -> None:
        """
        If the parameters differ, the frozen bytes differ.
        """
        frozen = {world.gateway.freeze(request) for request in REQUESTS}
        assert len(frozen) == len(REQUESTS)

    @of_each_kind
    async def test_nothing_is_found_before_it_was_sent_and_it_is_after(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        `find` returns None, then what `send` returned: the same thing, in its present
        state.
        """
        request = await asking(world)
        assert await world.gateway.find(request) is None

        answer = await ask(world, request)
        found = await world.gateway.find(request)

        assert found is not None
        assert found.id == answer.id
        assert found.card == answer.card
        assert found.subscription == answer.subscription
        assert found.client_secret == answer.client_secret

    @of_each_kind
    async def test_an_answer_is_true_for_a_second(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        `at` is the gateway's own second, in UTC: not our time, and without a fraction.
        """
        answer = await ask(world, await asking(world))
        assert answer.at.tzinfo is UTC
        assert answer.at.microsecond == 0

    @of_each_that_makes
    async def test_a_key_makes_once(self, world: GatewayWorld, asking: Asking) -> None:
        """
        The same key and bytes again get the same answer, and nothing is made twice.
        """
        request, key = await asking(world), new_key()
        answer = await ask(world, request, key)
        again = await ask(world, request, key)

        assert again.id == answer.id
        assert again.client_secret == answer.client_secret
        assert world.made_by(intent_of(request)) == [answer.id]

    @of_each_that_makes
    async def test_of_many_who_send_one_key_at_once_one_makes(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        The others get the same answer, or learn that the gateway is busy.
        """
        request, key = await asking(world), new_key()
        sendings = (ask(world, request, key) for _ in range(AT_ONCE))
        answers = await asyncio.gather(*sendings, return_exceptions=True)

        heard = {it.id for it in answers if isinstance(it, Answer)}
        failed = [it for it in answers if not isinstance(it, Answer)]
        assert world.made_by(intent_of(request)) == list(heard)
        assert all(isinstance(it, GatewayNotAttempted) for it in failed), failed

    async def test_a_key_tells_the_first_answer(self, world: GatewayWorld) -> None:
        """
        Whatever happened since: a replayed answer is as old as the first.
        """
        request, key = start_wanted(world, await a_payer(world)), new_key()
        first = reported(await ask(world, request, key))
        await ask(world, CancelSubscription(subscription=first.gateway_id))

        assert reported(await ask(world, request, key)) == first

    @of_each_that_makes
    async def test_a_key_with_another_request_does_nothing(
        self, world: GatewayWorld, asking: Asking
    ) -> None:
        """
        The outcome is unknown, and it is an alarm: what the key stands for cannot be
        found out.
        """
        request, key = await asking(world), new_key()
        answer = await ask(world, request, key)

        with pytest.raises(GatewayOutcomeUnknown):
            await ask(world, customer_wanted("intent-other"), key)

        assert not world.made_by("intent-other")
        assert (await ask(world, request, key)).id == answer.id

    async def test_what_was_frozen_is_what_is_sent(self, world: GatewayWorld) -> None:
        """
        A retry sends what was requested then, whatever would be requested now.
        """
        request = start_wanted(world, await a_payer(world), has_card=True)
        frozen = world.gateway.freeze(request)
        answer = await world.gateway.send(
            attrs.evolve(request, has_card=False), frozen, idempotency_key=new_key()
        )

        assert reported(answer).status is SubscriptionStatus.ACTIVE

    async def test_another_intents_things_are_not_found(
        self, world: GatewayWorld
    ) -> None:
        """
        With the same user, customer and price, only the intent tells one from the
        other.
        """
        customer = await a_payer(world)
        set_up = CreateSetupIntent(
            customer_id=customer, user_id=ADA, intent_id="intent-1"
        )
        for request in (
            customer_wanted("intent-1"),
            set_up,
            start_wanted(world, customer, intent_id="intent-1"),
        ):
            await ask(world, request)
            other = attrs.evolve(request, intent_id="intent-2")
            assert await world.gateway.find(other) is None

    async def test_of_many_things_the_intents_own_is_found(
        self, world: GatewayWorld
    ) -> None:
        """
        The first and the last of many: a list in pages is read to its end.
        """
        customer = await a_customer(world)
        requests = [
            CreateSetupIntent(
                customer_id=customer, user_id=ADA, intent_id=f"intent-{number}"
            )
            for number in range(PAGE + 1)
        ]
        made = [(await ask(world, request)).id for request in requests]

        for number in (0, -1):
            found = await world.gateway.find(requests[number])
            assert found is not None
            assert found.id == made[number]

    async def test_what_has_ended_is_found_too(self, world: GatewayWorld) -> None:
        """
        A subscription that was made and has ended counts as made.
        """
        request = start_wanted(world, await a_payer(world))
        report = reported(await ask(world, request))
        await ask(world, CancelSubscription(subscription=report.gateway_id))

        found = await world.gateway.find(request)
        assert found is not None
        assert reported(found).is_terminal
