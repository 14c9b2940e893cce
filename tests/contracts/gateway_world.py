"""What a payment gateway's contract needs of its surroundings, and common steps.

Each world sells one product at two prices, 9 and 19 euros a month; 9 is the default.
"""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

import attrs

from contracts.examples import ADA
from payments_core.gateway import (
    Answer,
    AttachCard,
    CreateCustomer,
    CreateSubscription,
    GatewayRequest,
    InvoicePayment,
    MakeDefault,
    PayInvoice,
    SetSubscriptionCard,
    UpdateSubscription,
)
from payments_core.identity import CustomerId
from payments_core.payment import PaymentId
from payments_core.ports import PaymentGateway
from payments_core.subscription import SubscriptionReport

CHEAP_MINOR: Final = 900
DEAR_MINOR: Final = 1_900
GOOD: Final = "pm_card_visa"
UNATTACHABLE: Final = "pm_card_chargeDeclined"
FAILING: Final = "pm_card_chargeCustomerFail"
ASKING: Final = "pm_card_authenticationRequired"
HOUR: Final = timedelta(hours=1)
# A renewal is charged an hour after its invoice was drafted.
COLLECTED: Final = 2 * HOUR
# What waits for a payment expires after 23 hours.
GIVEN_UP: Final = timedelta(hours=24)
# Each sending has a key of its own: the same key would be another request's.
_KEYS: Final = itertools.count(1)


class GatewayFault(StrEnum):
    """How a sending may fail; what matters is what was done, and what is stored."""

    # Done, but the answer was lost: the same key returns it again.
    REPLY_LOST = "reply_lost"
    # A 500, which is stored under the key: after it was done, or before.
    ERROR_MADE = "error_made"
    ERROR_NOT_MADE = "error_not_made"
    # Nothing was done, nothing is stored.
    RATE_LIMITED = "rate_limited"
    # No answer in time: the request never arrived, or was done all the same.
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"


class GatewayWorld(Protocol):
    """A gateway, and what other parties do to it."""

    @property
    def gateway(self) -> PaymentGateway: ...

    @property
    def product(self) -> str: ...

    @property
    def price(self) -> str: ...

    @property
    def dearer(self) -> str: ...

    def plan(self, fault: GatewayFault, request: GatewayRequest) -> None:
        """Make the next sending of this request fail in this way."""

    def new_card(self, name: str) -> str:
        """Return a payment method as a browser makes one: without a customer."""

    def complete_set_up(self, set_up_id: str, payment_method: str) -> None:
        """Complete a card set-up as a browser does."""

    def authenticate(self, invoice_id: str, *, accept: bool) -> None:
        """Confirm the payment of an invoice as its payer does, or fail to."""

    def happen(self, count: int) -> Sequence[str]:
        """Make so many events happen in this second; return them, the oldest first."""

    def lose(self, event_id: str) -> None:
        """Mark an event as one that no endpoint took."""

    def pass_time(self, by: timedelta) -> None:
        """Let time pass, and do all that falls due."""

    def pass_month(self) -> None:
        """Let a calendar month pass, and charge the renewal."""

    def made_by(self, intent_id: str) -> Sequence[str]:
        """Return the ids of all objects with an intent, ended subscriptions too."""

    def taken_from(self, customer_id: CustomerId) -> Sequence[int]:
        """Return the amounts that were charged, in minor units, the first one first."""

    def attempts_at(self, customer_id: CustomerId) -> Sequence[PaymentId]:
        """Return all attempts to take money, declined ones too, the first one first."""


def new_key() -> str:
    return f"key-{next(_KEYS)}"


async def ask(world: GatewayWorld, request: GatewayRequest, key: str = "") -> Answer:
    """Freeze a request and send it, with a key of its own."""
    gateway = world.gateway
    return await gateway.send(
        request, gateway.freeze(request), idempotency_key=key or new_key()
    )


# Common first steps


def customer_wanted(intent: str = "intent-customer") -> CreateCustomer:
    return CreateCustomer(user_id=ADA, email="ada@example.org", intent_id=intent)


async def a_customer(world: GatewayWorld) -> CustomerId:
    """Make a customer without a card."""
    answer = await ask(world, customer_wanted(f"intent-{new_key()}"))
    return CustomerId(answer.id)


async def a_card(world: GatewayWorld, customer: CustomerId, name: str = GOOD) -> str:
    """Give a customer a card, and leave the default as it is."""
    attaching = AttachCard(customer_id=customer, payment_method=world.new_card(name))
    return (await ask(world, attaching)).id


async def a_default(world: GatewayWorld, customer: CustomerId, name: str = GOOD) -> str:
    """Give a customer a card that pays by default."""
    card = await a_card(world, customer, name)
    await ask(world, MakeDefault(customer_id=customer, payment_method=card))
    return card


async def other_card(world: GatewayWorld, report: SubscriptionReport, name: str) -> str:
    """Make another card pay for a subscription from now on, whatever card was set."""
    card = await a_default(world, report.customer_id, name)
    await ask(
        world, SetSubscriptionCard(subscription=report.gateway_id, payment_method=card)
    )
    return card


async def a_payer(world: GatewayWorld, card: str = GOOD) -> CustomerId:
    """Make a customer with a card that pays by default."""
    customer = await a_customer(world)
    await a_default(world, customer, card)
    return customer


def start_wanted(
    world: GatewayWorld, customer: CustomerId, **wanted: Any
) -> CreateSubscription:
    """Return a request, by default at the cheap price and with the default card."""
    cheap: dict[str, Any] = {
        "price": world.price,
        "quantity": 1,
        "has_card": True,
        "intent_id": "intent-start",
    }
    return CreateSubscription(customer_id=customer, user_id=ADA, **{**cheap, **wanted})


async def started(
    world: GatewayWorld, customer: CustomerId, **wanted: Any
) -> SubscriptionReport:
    """Begin a subscription, whatever the result of its payment."""
    return reported(await ask(world, start_wanted(world, customer, **wanted)))


def change_wanted(report: SubscriptionReport, **wanted: Any) -> UpdateSubscription:
    return UpdateSubscription(
        subscription=report.gateway_id, item_id=report.item_id, **wanted
    )


async def paid(world: GatewayWorld, report: SubscriptionReport, card: str) -> Answer:
    """Pay the latest invoice of a subscription."""
    return await ask(
        world, PayInvoice(invoice_id=invoice_of(report), payment_method=card)
    )


# And what they led to


def reported(answer: Answer) -> SubscriptionReport:
    assert answer.subscription is not None
    return answer.subscription


def invoice_of(report: SubscriptionReport) -> str:
    assert report.latest_invoice_id is not None
    return report.latest_invoice_id


async def seen(world: GatewayWorld, report: SubscriptionReport) -> SubscriptionReport:
    """Return a subscription as it is now."""
    return (await world.gateway.subscription(report.gateway_id)).report


async def collected(world: GatewayWorld, report: SubscriptionReport) -> InvoicePayment:
    """Return the status of the payment of a subscription's latest invoice."""
    invoice_id = invoice_of(await seen(world, report))
    return await world.gateway.invoice_payment(invoice_id)


async def paid_until(
    world: GatewayWorld, report: SubscriptionReport
) -> tuple[Any, Any]:
    """Return the last period that was paid for."""
    [term] = (await world.gateway.subscription(report.gateway_id)).paid_periods
    assert term.gateway_id == report.gateway_id
    return term.starts_at, term.ends_at


def without_payment(report: SubscriptionReport) -> SubscriptionReport:
    """Return the agreed terms, without the payment."""
    return attrs.evolve(report, latest_invoice_id=None, pending=None)
