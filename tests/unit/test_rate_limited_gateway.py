"""Not too often, nor while it does not answer: the budget, the breaker, the prices."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import httpx
import pytest

from payments_adapters.memory import FixedClock, MemoryGateway
from payments_adapters.rate_limited_gateway import (
    CALLS_PER_S,
    PAUSE,
    PRICE_KEEPS,
    TAKEN_KEEPS,
    UNKNOWN_OUTCOMES_MAX,
    WAITS_MAX,
    BreakerState,
    CircuitBreaker,
    RateLimitedGateway,
)
from payments_core.errors import (
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
    PaymentsError,
)
from payments_core.gateway import Answer, CreateCustomer, Price
from payments_core.identity import CustomerId, UserId
from payments_service.http.health import create_ops_app

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
PRICE = Price(
    id="price_1",
    product="prod_1",
    currency="eur",
    amount_minor=900,
    active=True,
    recurring=True,
)


@attrs.define
class Budget:
    """Has no calls until it was asked so often."""

    empty_for: int = 0
    # How many it gives at once.
    calls: int = 1
    asked: list[str] = attrs.field(factory=list)

    async def take(
        self, endpoint: str, *, beside: Sequence[str] = (), per_s: float, now: datetime
    ) -> Mapping[str, int]:
        assert per_s == CALLS_PER_S
        assert now.tzinfo is UTC
        assert endpoint not in beside
        self.asked.append(endpoint)
        if len(self.asked) <= self.empty_for:
            return {}
        return dict.fromkeys((endpoint, *beside), self.calls)


class Guarded:
    """A gateway in memory behind a budget and a breaker."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.clock = FixedClock(NOON)
        self.budget = budget or Budget()
        self.gateway = MemoryGateway(self.clock)
        self.gateway.objects.prices[PRICE.id] = PRICE
        self.breaker = CircuitBreaker(self.clock)
        self.guarded = RateLimitedGateway(
            self.gateway, self.budget, self.breaker, self.clock, wait_s=0
        )
        self.numbers = 0

    @property
    def state(self) -> BreakerState:
        return self.breaker.state

    async def send(self, fault: PaymentsError | None = None) -> Answer:
        """Make a customer, each time another one."""
        self.numbers += 1
        user = f"user-{self.numbers}"
        request = CreateCustomer(
            user_id=UserId(user), email=f"{user}@example.com", intent_id=user
        )
        if fault is not None:
            self.gateway.plan(fault)
        frozen = self.guarded.freeze(request)
        return await self.guarded.send(request, frozen, idempotency_key=user)

    async def be_silent(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(GatewayOutcomeUnknown):
                await self.send(GatewayOutcomeUnknown("no answer in time"))


async def test_f33_after_silence_in_a_row_nobody_asks_for_a_while() -> None:
    """
    Then one call goes first, and closes the breaker if it is answered.
    """
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX)
    asked = len(it.gateway.sent)
    states = [it.state]
    with pytest.raises(GatewayNotAttempted):
        await it.send()
    assert len(it.gateway.sent) == asked

    it.clock.advance(PAUSE)
    states.append(it.state)
    await it.send()
    states.append(it.state)
    assert states == [BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED]


async def test_f33_a_probe_that_is_silent_opens_it_again() -> None:
    """
    One is enough then.
    """
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX)
    it.clock.advance(PAUSE)
    await it.be_silent(1)
    assert it.state is BreakerState.OPEN
    assert it.breaker.opened == 2
    assert it.breaker.unknown_total == UNKNOWN_OUTCOMES_MAX + 1


@pytest.mark.parametrize(
    "fault",
    [None, GatewayRefused("no", "today"), GatewayNotAttempted("too many requests")],
)
async def test_an_answer_of_any_kind_ends_the_row(fault: PaymentsError | None) -> None:
    """
    A refusal is an answer, and so is that it is too much.
    """
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX - 1)
    with pytest.raises(type(fault)) if fault else nullcontext():
        await it.send(fault)
    await it.be_silent(UNKNOWN_OUTCOMES_MAX - 1)
    assert it.state is BreakerState.CLOSED


async def test_f26_who_finds_the_budget_used_up_waits_for_more() -> None:
    """
    A burst is smoothed, each endpoint by itself.
    """
    it = Guarded(budget=Budget(empty_for=WAITS_MAX - 1))
    await it.send()
    assert len(it.budget.asked) == WAITS_MAX
    assert len(set(it.budget.asked)) == 1


async def test_f26_who_waits_for_too_long_is_told_that_nothing_was_done() -> None:
    """
    The gateway was not asked.
    """
    it = Guarded(budget=Budget(empty_for=WAITS_MAX))
    with pytest.raises(GatewayNotAttempted):
        await it.send()
    assert it.gateway.sent == []
    assert it.state is BreakerState.CLOSED


async def test_f26_calls_taken_together_are_made_within_a_second_or_not_at_all() -> (
    None
):
    """
    What was taken is used up first, each endpoint by itself; a second later it is gone:
    the budget has filled up by as much.
    """
    it = Guarded(budget=Budget(calls=3))
    for _ in range(3):
        await it.send()
    customers = it.budget.asked[0]
    assert it.budget.asked == [customers]
    for _ in range(3):
        await it.guarded.subscriptions_of(CustomerId("cus_1"))
    assert it.budget.asked == [customers]
    await it.send()
    assert it.budget.asked == [customers] * 2

    it.clock.advance(TAKEN_KEEPS - timedelta(microseconds=1))
    await it.send()
    assert it.budget.asked == [customers] * 2
    it.clock.advance(timedelta(microseconds=1))
    await it.send()
    assert it.budget.asked == [customers] * 3


async def test_f33_only_the_gateways_own_word_closes_the_breaker() -> None:
    """
    Not that our budget is used up, nor that whoever asked went away.
    """
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX)
    it.clock.advance(PAUSE)
    it.budget.empty_for = len(it.budget.asked) + WAITS_MAX
    with pytest.raises(GatewayNotAttempted):
        await it.send()
    states = [it.state]
    with pytest.raises(asyncio.CancelledError):
        async with it.breaker.call():
            raise asyncio.CancelledError
    states.append(it.state)
    await it.send()
    states.append(it.state)
    half, closed = BreakerState.HALF_OPEN, BreakerState.CLOSED
    assert states == [half, half, closed]


async def test_f33_one_goes_first_and_the_others_are_told_to_wait() -> None:
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX)
    it.clock.advance(PAUSE)
    async with it.breaker.call():
        with pytest.raises(GatewayNotAttempted):
            await it.send()
    await it.send()
    assert it.state is BreakerState.CLOSED


async def test_a_price_is_asked_for_once_a_minute() -> None:
    """
    By however many at once.
    """
    it = Guarded()
    many = await asyncio.gather(*(it.guarded.price(PRICE.id) for _ in range(64)))
    assert set(many) == {PRICE}
    assert len(it.budget.asked) == 1
    it.clock.advance(PRICE_KEEPS - timedelta(seconds=1))
    await it.guarded.price(PRICE.id)
    assert len(it.budget.asked) == 1
    it.clock.advance(timedelta(seconds=1))
    await it.guarded.price(PRICE.id)
    assert len(it.budget.asked) == 2


async def test_a_price_that_was_not_found_is_asked_for_again() -> None:
    """
    Somebody may have made it meanwhile.
    """
    it = Guarded()
    for _ in range(2):
        with pytest.raises(GatewayObjectMissing):
            await it.guarded.price("price_none")
    assert len(it.budget.asked) == 2


async def test_the_breaker_tells_the_metrics() -> None:
    """
    In the words of Prometheus, at the ops port.
    """
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX)
    nobody: Any = None
    app: Any = create_ops_app(nobody, it.breaker)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ops") as client:
        text = (await client.get("/metrics")).text
    assert 'payments_gateway_breaker{state="open"} 1.0' in text
    assert "payments_gateway_breaker_opened_total 1.0" in text
    assert f"payments_gateway_silent_calls_total {UNKNOWN_OUTCOMES_MAX}.0" in text
