"""A gateway that is not asked too often, nor while it does not answer.

Rule 1: all pods share one budget of calls for each endpoint, well below the gateway's
        own limit: a call that finds it used up is not attempted. A process
        takes a few calls at once, which it makes within a second, or not at all.
Rule 2: after several calls in a row without a definite answer none is made for a while;
        then one call goes first, and what becomes of it decides.
Rule 3: prices are remembered for a minute: who sells the same thing many times at once
        asks for it once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

import attrs

from payments_core.card import Card
from payments_core.errors import GatewayNotAttempted, GatewayOutcomeUnknown, Rejected
from payments_core.gateway import (
    Answer,
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
from payments_core.payment import Payment, PaymentId
from payments_core.ports import PaymentGateway, SystemClock
from payments_core.subscription import SubscriptionReport

# Stripe allows 25 a second for each endpoint.
CALLS_PER_S: Final = 15.0
# What an operation asks of them: who takes calls for one takes them for all.
ENDPOINTS: Final = (
    "customers",
    "invoices",
    "payment_methods",
    "products",
    "setup_intents",
    "subscriptions",
)
TAKEN_KEEPS: Final = timedelta(seconds=1)
# A burst is smoothed: a call that finds the budget used up waits a little for more.
WAITS_MAX: Final = 20
WAIT_S: Final = 0.1
PRICES_MAX: Final = 1_000
PRICE_KEEPS: Final = timedelta(minutes=1)
UNKNOWN_OUTCOMES_MAX: Final = 5
PAUSE: Final = timedelta(seconds=10)


class CallBudget(Protocol):
    async def take(
        self, endpoint: str, *, beside: Sequence[str] = (), per_s: float, now: datetime
    ) -> Mapping[str, int]:
        """Take calls out of the budgets of endpoints; return how many of each.

        Of the endpoint one, if there is one, and a few if half of its budget is left;
        of those beside it a few, if half of theirs is left. A budget fills up by
        `per_s` a second, to at most as many.
        """


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    # One call is let through, to see.
    HALF_OPEN = "half_open"


@attrs.define
class CircuitBreaker:
    """Opens when a gateway has not answered several times in a row."""

    _clock: SystemClock
    unknown_in_a_row: int = attrs.field(init=False, default=0)
    unknown_total: int = attrs.field(init=False, default=0)
    opened: int = attrs.field(init=False, default=0)
    _open_until: datetime | None = attrs.field(init=False, default=None)
    _probing: bool = attrs.field(init=False, default=False)

    @property
    def state(self) -> BreakerState:
        if self._open_until is None:
            return BreakerState.CLOSED
        if self._clock() < self._open_until:
            return BreakerState.OPEN
        return BreakerState.HALF_OPEN

    def check(self) -> None:
        """Return if a call may go out.

        Raises:
            GatewayNotAttempted: no call is made now.
        """
        state = self.state
        if state is BreakerState.OPEN or (
            state is BreakerState.HALF_OPEN and self._probing
        ):
            raise GatewayNotAttempted("it has not answered lately")

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Let a call through, and learn from it.

        Raises:
            GatewayNotAttempted: no call is made now.
        """
        self.check()
        probe = self.state is BreakerState.HALF_OPEN
        self._probing = self._probing or probe
        try:
            yield
            self._answered()
        except GatewayOutcomeUnknown:
            self._silent(probe=probe)
            raise
        except (Rejected, GatewayNotAttempted):
            # Busy or a definite no: it answers.
            self._answered()
            raise
        finally:
            # A caller that goes away before the answer says nothing about the gateway.
            if probe:
                self._probing = False

    def _silent(self, *, probe: bool) -> None:
        self.unknown_in_a_row += 1
        self.unknown_total += 1
        if probe or self.unknown_in_a_row >= UNKNOWN_OUTCOMES_MAX:
            self._open_until = self._clock() + PAUSE
            self.opened += 1

    def _answered(self) -> None:
        self.unknown_in_a_row, self._open_until = 0, None


@attrs.define
class RememberedPrices:
    """Prices that were fetched lately; a second caller waits for the same fetch."""

    _clock: SystemClock
    _known: dict[str, tuple[datetime, asyncio.Task[Price]]] = attrs.field(
        init=False, factory=dict
    )

    async def get(self, name: str, find: Callable[[], Awaitable[Price]]) -> Price:
        """Return a price; what `find` raises is raised and not remembered."""
        now = self._clock()
        known = self._known.get(name)
        if known is None or now - known[0] >= PRICE_KEEPS or _failed(known[1]):
            if len(self._known) >= PRICES_MAX:
                self._known.clear()
            known = (now, asyncio.ensure_future(_awaited(find)))
            # If all callers go away, a failure is not reported as unhandled.
            known[1].add_done_callback(_failed)
            self._known[name] = known
        # A caller that goes away does not cancel it for the others.
        return await asyncio.shield(known[1])


async def _awaited(find: Callable[[], Awaitable[Price]]) -> Price:
    return await find()


def _failed(task: "asyncio.Task[Price]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


@attrs.frozen
class TakenCalls:
    """Calls that this process took out of the budget and has yet to make."""

    _budget: CallBudget
    _clock: SystemClock
    _ends: dict[str, deque[datetime]] = attrs.field(init=False, factory=dict)

    async def use(self, endpoint: str) -> bool:
        """Use one up, taken before or now; say whether there was one."""
        now = self._clock()
        if self._used(endpoint, now):
            return True
        beside = [it for it in ENDPOINTS if it != endpoint]
        taken = await self._budget.take(
            endpoint, beside=beside, per_s=CALLS_PER_S, now=now
        )
        for name, count in taken.items():
            ends = self._ends.setdefault(name, deque())
            ends.extend([now + TAKEN_KEEPS] * count)
        return self._used(endpoint, now)

    def _used(self, endpoint: str, now: datetime) -> bool:
        ends = self._ends.get(endpoint, deque())
        while ends:
            if ends.popleft() > now:
                return True
        return False


@attrs.frozen
class RateLimitedGateway:
    """A `PaymentGateway` behind a budget and a breaker."""

    _gateway: PaymentGateway
    _budget: CallBudget
    breaker: CircuitBreaker
    _clock: SystemClock
    _wait_s: float = WAIT_S
    _taken: TakenCalls = attrs.field(init=False)
    _prices: RememberedPrices = attrs.field(init=False)

    @_taken.default
    def _none_taken(self) -> TakenCalls:
        return TakenCalls(self._budget, self._clock)

    @_prices.default
    def _no_prices(self) -> RememberedPrices:
        return RememberedPrices(self._clock)

    @asynccontextmanager
    async def _call(self, endpoint: str) -> AsyncIterator[None]:
        self.breaker.check()
        # Of a call that does not leave, the breaker has nothing to learn.
        await self._take(endpoint)
        async with self.breaker.call():
            yield

    async def _take(self, endpoint: str) -> None:
        for _ in range(WAITS_MAX):
            if await self._taken.use(endpoint):
                return
            await asyncio.sleep(self._wait_s)
        raise GatewayNotAttempted("too many calls at once")

    def freeze(self, request: GatewayRequest) -> FrozenRequest:
        return self._gateway.freeze(request)

    async def send(
        self, request: GatewayRequest, frozen: FrozenRequest, *, idempotency_key: str
    ) -> Answer:
        async with self._call(_endpoint_of(frozen)):
            return await self._gateway.send(
                request, frozen, idempotency_key=idempotency_key
            )

    async def find(self, request: GatewayRequest) -> Answer | None:
        async with self._call("find"):
            return await self._gateway.find(request)

    async def customer_of(self, user_id: UserId, email: str) -> CustomerId | None:
        async with self._call("customers"):
            return await self._gateway.customer_of(user_id, email)

    async def subscription(self, gateway_id: str) -> FetchedSubscription:
        async with self._call("subscriptions"):
            return await self._gateway.subscription(gateway_id)

    async def subscriptions_of(
        self, customer_id: CustomerId
    ) -> Sequence[SubscriptionReport]:
        async with self._call("subscriptions"):
            return await self._gateway.subscriptions_of(customer_id)

    async def card_of(self, customer_id: CustomerId) -> Card | None:
        async with self._call("customers"):
            return await self._gateway.card_of(customer_id)

    async def invoice_payment(self, invoice_id: str) -> InvoicePayment:
        async with self._call("invoices"):
            return await self._gateway.invoice_payment(invoice_id)

    async def set_up(self, set_up_id: str) -> SetUp:
        async with self._call("setup_intents"):
            return await self._gateway.set_up(set_up_id)

    async def payment(self, payment_id: PaymentId) -> Payment:
        async with self._call("charges"):
            return await self._gateway.payment(payment_id)

    async def price(self, price_id: str) -> Price:
        async def find() -> Price:
            async with self._call("prices"):
                return await self._gateway.price(price_id)

        return await self._prices.get(f"price {price_id}", find)

    async def price_of(self, product_id: str) -> Price:
        async def find() -> Price:
            async with self._call("products"):
                return await self._gateway.price_of(product_id)

        return await self._prices.get(f"product {product_id}", find)

    async def preview(
        self, customer_id: CustomerId, change: UpdateSubscription
    ) -> Preview:
        async with self._call("invoices"):
            return await self._gateway.preview(customer_id, change)


def _endpoint_of(frozen: FrozenRequest) -> str:
    """Return the first word of the path that is not its version."""
    words = [word for word in frozen.path.split("/") if word]
    return words[1] if len(words) > 1 else frozen.path
