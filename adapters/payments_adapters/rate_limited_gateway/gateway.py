"""The gateway that follows the rules of this package."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Final

import attrs

from payments_adapters.rate_limited_gateway.call_budget import (
    WAIT_S,
    WAITS_MAX,
    CallBudget,
    TakenCalls,
)
from payments_adapters.rate_limited_gateway.circuit_breaker import CircuitBreaker
from payments_adapters.rate_limited_gateway.listener import GatewayListener, heard
from payments_adapters.rate_limited_gateway.operations import operation_of
from payments_adapters.rate_limited_gateway.remembered_prices import RememberedPrices
from payments_core.card import Card
from payments_core.errors import GatewayNotAttempted
from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import ObjectChanged, ObjectKind
from payments_core.gateway import (
    Answer,
    FetchedCustomer,
    FetchedPayment,
    FetchedSubscription,
    FrozenRequest,
    GatewayRequest,
    InvoicePayment,
    Preview,
    Price,
    SetUp,
    UpdateSubscription,
)
from payments_core.identity import CustomerId, UserId
from payments_core.job_key import JobKey
from payments_core.payment import PaymentId
from payments_core.ports import PaymentGateway, SystemClock
from payments_core.subscription import SubscriptionReport

# The endpoint from which an object of each kind is read.
_ENDPOINTS: Final[Mapping[ObjectKind, str]] = MappingProxyType(
    {
        "card": "payment_methods",
        "dispute": "disputes",
        "invoice": "invoices",
        "refund": "refunds",
        "set_up": "setup_intents",
    }
)


@attrs.frozen
class RateLimitedGateway:
    """A `PaymentGateway` behind a budget and a breaker."""

    _gateway: PaymentGateway
    _budget: CallBudget
    breaker: CircuitBreaker
    _clock: SystemClock
    _wait_s: float = WAIT_S
    _listener: GatewayListener = attrs.field(factory=GatewayListener)
    _taken: TakenCalls = attrs.field(init=False)
    _prices: RememberedPrices = attrs.field(init=False)

    @_taken.default
    def _none_taken(self) -> TakenCalls:
        return TakenCalls(self._budget, self._clock)

    @_prices.default
    def _no_prices(self) -> RememberedPrices:
        return RememberedPrices(self._clock)

    @asynccontextmanager
    async def _call(
        self, endpoint: str, operation: str, *, alone: bool = False
    ) -> AsyncIterator[None]:
        with heard(self._listener, operation) as leaves:
            self.breaker.check()
            # A call that is not sent tells the breaker nothing.
            await self._take(endpoint, alone=alone)
            leaves()
            async with self.breaker.call(endpoint):
                yield

    async def _take(self, endpoint: str, *, alone: bool) -> None:
        for _ in range(WAITS_MAX):
            if await self._taken.use(endpoint, alone=alone):
                return
            self._listener.waited(endpoint)
            await asyncio.sleep(self._wait_s)
        raise GatewayNotAttempted("too many calls at once")

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        return self._gateway.freeze(request)

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        async with self._call(_endpoint_of(frozen), operation_of(request)):
            return await self._gateway.send(
                request, frozen, idempotency_key=idempotency_key
            )

    async def find(self, request: GatewayRequest) -> Answer | None:
        async with self._call("find", "find"):
            return await self._gateway.find(request)

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        async with self._call("customers", "customer_of"):
            return await self._gateway.customer_of(user_id, email)

    async def customer(self, customer_id: CustomerId) -> FetchedCustomer:
        async with self._call("customers", "customer"):
            return await self._gateway.customer(customer_id)

    async def subscription(self, gateway_id: str) -> FetchedSubscription:
        async with self._call("subscriptions", "subscription"):
            return await self._gateway.subscription(gateway_id)

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        async with self._call("subscriptions", "subscriptions_of"):
            return await self._gateway.subscriptions_of(customer_id)

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        async with self._call("customers", "card_of"):
            return await self._gateway.card_of(customer_id)

    async def card(self, customer_id: CustomerId, card_id: str) -> Card | None:
        async with self._call("payment_methods", "card"):
            return await self._gateway.card(customer_id, card_id)

    async def open_invoices(self, subscription: str) -> Sequence[str]:
        async with self._call("invoices", "open_invoices"):
            return await self._gateway.open_invoices(subscription)

    async def invoice_payment(self, invoice_id: str) -> InvoicePayment:
        async with self._call("invoices", "invoice_payment"):
            return await self._gateway.invoice_payment(invoice_id)

    async def set_up(self, set_up_id: str) -> SetUp:
        async with self._call("setup_intents", "set_up"):
            return await self._gateway.set_up(set_up_id)

    async def newest_set_up(
        self, customer_id: CustomerId, *, since: datetime
    ) -> str | None:
        async with self._call("setup_intents", "newest_set_up"):
            return await self._gateway.newest_set_up(customer_id, since=since)

    async def payment(self, payment_id: PaymentId) -> FetchedPayment:
        async with self._call("charges", "payment"):
            return await self._gateway.payment(payment_id)

    async def jobs_of(self, changed: ObjectChanged) -> Sequence[JobKey]:
        async with self._call(_ENDPOINTS[changed.kind], "jobs_of"):
            return await self._gateway.jobs_of(changed)

    async def events(self, query: EventQuery) -> ListedEvents:
        # Reading page after page would use up the budget of operations.
        async with self._call("events", "events", alone=True):
            return await self._gateway.events(query)

    async def price(self, price_id: str) -> Price:
        async def find() -> Price:
            async with self._call("prices", "price"):
                return await self._gateway.price(price_id)

        return await self._prices.get(f"price {price_id}", find)

    async def price_of(self, product_id: str) -> Price:
        async def find() -> Price:
            async with self._call("products", "price_of"):
                return await self._gateway.price_of(product_id)

        return await self._prices.get(f"product {product_id}", find)

    async def preview(
        self, customer_id: CustomerId, change: UpdateSubscription
    ) -> Preview:
        async with self._call("invoices", "preview"):
            return await self._gateway.preview(customer_id, change)


@attrs.frozen
class SpareGateway(RateLimitedGateway):
    """The gateway of a reconciliation: its budget gives only spare calls."""


def _endpoint_of(frozen: FrozenRequest) -> str:
    """Return the first word of the path that is not its version."""
    words = [word for word in frozen.path.split("/") if word]
    return words[1] if len(words) > 1 else frozen.path
