"""What a payment gateway promises of customers, cards and prices."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from contracts.examples import ADA
from contracts.gateway_world import (
    CHEAP_MINOR,
    DEAR_MINOR,
    FAILING,
    GOOD,
    UNATTACHABLE,
    GatewayWorld,
    a_card,
    a_customer,
    a_default,
    a_payer,
    ask,
    invoice_of,
    start_wanted,
    started,
)
from payments_core.errors import GatewayObjectMissing, GatewayRefused
from payments_core.gateway import (
    Answer,
    AttachCard,
    CreateSetupIntent,
    FetchedCustomer,
    GatewayRequest,
    MakeDefault,
    PayInvoice,
    Price,
    SetSubscriptionCard,
)
from payments_core.identity import CustomerId
from payments_core.payment import PaymentId
from payments_core.ports import PaymentGateway

# Each returns a request in which a customer uses this card.
Using = Callable[[GatewayWorld, CustomerId, str], Awaitable[GatewayRequest]]


async def _by_attaching(
    _: GatewayWorld, customer: CustomerId, card: str
) -> GatewayRequest:
    return AttachCard(customer_id=customer, payment_method=card)


async def _by_default(
    _: GatewayWorld, customer: CustomerId, card: str
) -> GatewayRequest:
    return MakeDefault(customer_id=customer, payment_method=card)


async def _by_pinning(
    world: GatewayWorld, customer: CustomerId, card: str
) -> GatewayRequest:
    report = await started(world, customer)
    return SetSubscriptionCard(subscription=report.gateway_id, payment_method=card)


async def _by_paying(
    world: GatewayWorld, customer: CustomerId, card: str
) -> GatewayRequest:
    report = await started(world, customer, has_card=False)
    return PayInvoice(invoice_id=invoice_of(report), payment_method=card)


async def _by_starting(
    world: GatewayWorld, customer: CustomerId, card: str
) -> GatewayRequest:
    return start_wanted(world, customer, payment_method=card)


_in_each_way = pytest.mark.parametrize(
    "using",
    [_by_attaching, _by_default, _by_pinning, _by_paying, _by_starting],
    ids=lambda using: using.__name__.strip("_"),
)
# The reads, by name.
Reading = Callable[[PaymentGateway], Awaitable[Any]]


class CardsContract:
    async def test_a_new_customer_has_nothing(self, world: GatewayWorld) -> None:
        """
        No card and no subscription; its metadata names the user that owns it.
        """
        customer = await a_customer(world)
        known = await world.gateway.customer(customer)
        assert known == FetchedCustomer(
            metadata_user_id=ADA, email_key="ada@example.org"
        )
        assert await world.gateway.card_of(customer) is None
        assert list(await world.gateway.subscriptions_of(customer)) == []

    async def test_an_attached_card_says_what_it_is(self, world: GatewayWorld) -> None:
        """
        The answer has brand, last four and expiry: no more, and no less.
        """
        customer, card = await a_customer(world), world.new_card(GOOD)
        answer = await ask(world, AttachCard(customer_id=customer, payment_method=card))

        assert answer.id == card
        assert answer.card is not None
        assert (answer.card.id, answer.card.brand) == (card, "visa")
        assert answer.card.last4 == "4242"
        assert 1 <= answer.card.exp_month <= 12
        assert answer.card.exp_year >= answer.at.year

    async def test_attaching_a_card_again_changes_nothing(
        self, world: GatewayWorld
    ) -> None:
        """
        It is the customer's already, and stays so.
        """
        customer = await a_customer(world)
        card = await a_card(world, customer)
        again = await ask(world, AttachCard(customer_id=customer, payment_method=card))
        assert again.id == card

    async def test_an_attached_card_does_not_pay_by_default(
        self, world: GatewayWorld
    ) -> None:
        """
        The old card pays until the new one is made the default.
        """
        customer = await a_customer(world)
        old = await a_default(world, customer)
        new = await a_card(world, customer)
        card = await world.gateway.card_of(customer)
        assert card is not None
        assert card.id == old

        await ask(world, MakeDefault(customer_id=customer, payment_method=new))
        card = await world.gateway.card_of(customer)
        assert card is not None
        assert card.id == new
        assert (await world.gateway.customer(customer)).card == card

    async def test_a_customers_card_is_found_by_its_id(
        self, world: GatewayWorld
    ) -> None:
        """
        Whether or not it pays by default. A card of another customer, or of none, is
        not found.
        """
        customer, other = await a_customer(world), await a_customer(world)
        card = await a_card(world, customer)
        found = await world.gateway.card(customer, card)

        assert found is not None
        assert (found.id, found.brand, found.last4) == (card, "visa", "4242")
        assert await world.gateway.card(other, card) is None
        assert await world.gateway.card(customer, world.new_card(GOOD)) is None
        assert await world.gateway.card(customer, "pm_nothing") is None

    async def test_a_card_that_the_bank_declines_changes_nothing(
        self, world: GatewayWorld
    ) -> None:
        """
        The error has the bank's code; the old card stays, and the new one has no
        customer.
        """
        customer = await a_customer(world)
        old = await a_default(world, customer)
        attaching = AttachCard(
            customer_id=customer, payment_method=world.new_card(UNATTACHABLE)
        )
        with pytest.raises(GatewayRefused) as refusal:
            await ask(world, attaching)

        assert refusal.value.declined
        assert refusal.value.decline_code == "generic_decline"
        assert await world.gateway.find(attaching) is None
        card = await world.gateway.card_of(customer)
        assert card is not None
        assert card.id == old

    @_in_each_way
    async def test_the_card_of_another_customer_is_refused(
        self, world: GatewayWorld, using: Using
    ) -> None:
        """
        Whatever it is to be used for; it is not a decline, and the error names the
        field.
        """
        customer, other = await a_payer(world), await a_customer(world)
        request = await using(world, customer, await a_card(world, other))
        taken = list(world.taken_from(customer))
        with pytest.raises(GatewayRefused) as refusal:
            await ask(world, request)

        assert refusal.value.field == "payment_method"
        assert not refusal.value.declined
        assert world.taken_from(customer) == taken
        assert world.taken_from(other) == []

    @_in_each_way
    async def test_a_card_that_is_not_there_is_refused(
        self, world: GatewayWorld, using: Using
    ) -> None:
        """
        It is the caller's mistake, and the error names the field.
        """
        customer = await a_payer(world)
        request = await using(world, customer, "pm_nothing")
        with pytest.raises(GatewayRefused) as refusal:
            await ask(world, request)
        assert refusal.value.field == "payment_method"

    async def test_a_card_is_set_up_away_from_us(self, world: GatewayWorld) -> None:
        """
        The browser gets a secret and completes the set-up; then the card is the
        customer's.
        """
        customer, card = await a_customer(world), world.new_card(GOOD)
        answer = await ask(
            world,
            CreateSetupIntent(customer_id=customer, user_id=ADA, intent_id="intent-1"),
        )
        assert answer.client_secret
        before = await world.gateway.set_up(answer.id)
        assert (before.customer_id, before.succeeded) == (customer, False)

        world.complete_set_up(answer.id, card)

        after = await world.gateway.set_up(answer.id)
        assert (after.payment_method, after.succeeded) == (card, True)
        attaching = AttachCard(customer_id=customer, payment_method=card)
        assert await world.gateway.find(attaching) is not None
        # Whether the card pays is decided elsewhere.
        assert await world.gateway.card_of(customer) is None

    async def test_the_newest_set_up_of_a_customer_is_found(
        self, world: GatewayWorld
    ) -> None:
        """
        Among those that were begun since the given time, and only of this customer.
        """
        customer, other = await a_customer(world), await a_customer(world)
        made = list[Answer]()
        for number, whose in enumerate((customer, customer, other)):
            request = CreateSetupIntent(
                customer_id=whose, user_id=ADA, intent_id=f"intent-{number}"
            )
            made.append(await ask(world, request))
            world.pass_time(timedelta(minutes=1))
        began, late = made[0].at, made[2].at
        newest = world.gateway.newest_set_up

        assert await newest(customer, since=began) == made[1].id
        assert await newest(other, since=began) == made[2].id
        assert await newest(customer, since=late) is None
        assert await newest(CustomerId("cus_nothing"), since=began) is None

    async def test_a_price_says_what_it_is(self, world: GatewayWorld) -> None:
        """
        Its product, its amount, and that it recurs.
        """
        price = Price(
            id=world.price,
            product=world.product,
            currency="eur",
            amount_minor=CHEAP_MINOR,
            active=True,
            recurring=True,
        )
        assert await world.gateway.price(world.price) == price
        assert await world.gateway.price_of(world.product) == price
        dearer = await world.gateway.price(world.dearer)
        assert (dearer.product, dearer.amount_minor) == (world.product, DEAR_MINOR)

    async def test_a_payment_says_what_became_of_it(self, world: GatewayWorld) -> None:
        """
        Whether it succeeded or failed, its amount, and its customer.
        """
        payer, other = await a_payer(world), await a_payer(world, FAILING)
        await started(world, payer)
        await started(world, other)
        [good], [bad] = world.attempts_at(payer), world.attempts_at(other)

        taken = (await world.gateway.payment(good)).payment
        failed = (await world.gateway.payment(bad)).payment

        assert (taken.id, taken.state, taken.customer_id) == (good, "succeeded", payer)
        assert (failed.id, failed.state, failed.customer_id) == (bad, "failed", other)
        assert failed.failure_code == "card_declined"
        for payment in (taken, failed):
            assert payment.amount is not None
            assert payment.amount.amount_minor == CHEAP_MINOR
            assert payment.amount.currency == "eur"
            assert payment.created_at is not None

    async def test_a_payment_says_what_it_bought(self, world: GatewayWorld) -> None:
        """
        The subscription and the period. A failed payment has them too, and that the
        invoice is still owed.
        """
        payer, other = await a_payer(world), await a_payer(world, FAILING)
        first = await started(world, payer)
        second = await started(world, other)
        [good], [bad] = world.attempts_at(payer), world.attempts_at(other)

        taken = await world.gateway.payment(good)
        failed = await world.gateway.payment(bad)

        fetched = await world.gateway.subscription(first.gateway_id)
        assert taken.payment.invoice_known
        assert taken.payment.subscription_id == first.gateway_id
        [period] = taken.paid_periods
        assert [period] == list(fetched.paid_periods)
        assert period.amount_paid_minor == CHEAP_MINOR
        assert taken.payment.invoice_id == period.invoice_id
        assert failed.payment.invoice_known
        assert failed.payment.subscription_id == second.gateway_id
        assert not failed.paid_periods
        invoices = [
            list(await world.gateway.open_invoices(it.gateway_id))
            for it in (first, second)
        ]
        assert invoices == [[], [failed.payment.invoice_id]]

    @pytest.mark.parametrize(
        "reading",
        [
            pytest.param(lambda it: it.subscription("sub_nothing"), id="subscription"),
            pytest.param(lambda it: it.card_of(CustomerId("cus_nothing")), id="card"),
            pytest.param(lambda it: it.customer(CustomerId("cus_nothing")), id="cus"),
            pytest.param(lambda it: it.invoice_payment("in_nothing"), id="collection"),
            pytest.param(lambda it: it.set_up("seti_nothing"), id="set-up"),
            pytest.param(lambda it: it.payment(PaymentId("ch_nothing")), id="payment"),
            pytest.param(lambda it: it.price("price_nothing"), id="price"),
            pytest.param(lambda it: it.price_of("prod_nothing"), id="product"),
        ],
    )
    async def test_what_is_not_there_is_missing(
        self, world: GatewayWorld, reading: Reading
    ) -> None:
        """
        That is distinct from an unknown outcome: a retry would not help.
        """
        with pytest.raises(GatewayObjectMissing):
            await reading(world.gateway)
