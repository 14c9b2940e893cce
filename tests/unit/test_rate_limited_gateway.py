"""Not too often, and not while it fails: the budget, the breaker, the prices."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import attrs
import httpx
import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from contracts.examples import a_job
from payments_adapters.memory import (
    FixedClock,
    MemoryBacklog,
    MemoryCheckpoints,
    MemoryDatabase,
    MemoryEventLog,
    MemoryGateway,
    MemoryJobDirectory,
)
from payments_adapters.rate_limited_gateway import (
    CALLS_PER_S,
    KEY,
    PAUSE,
    PRICE_KEEPS,
    TAKEN_KEEPS,
    UNKNOWN_OUTCOMES_MAX,
    WAITS_MAX,
    BreakerState,
    CircuitBreaker,
    GatewayListener,
    KeyWatch,
    RateLimitedGateway,
)
from payments_core.errors import (
    GatewayMisconfigured,
    GatewayNotAttempted,
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    GatewayRefused,
    PaymentsError,
)
from payments_core.event_list import EventQuery
from payments_core.gateway import Answer, CreateCustomer, Price
from payments_core.identity import CustomerId, UserId
from payments_core.job import QUICK_ATTEMPTS
from payments_service.gateway_reports import GatewayReports
from payments_service.http.health import Readiness, Reason, create_ops_app
from payments_service.metrics.backlog import BacklogMetrics, BacklogReaders
from payments_service.metrics.gateway import (
    GatewayCallMetrics,
    GatewayMetrics,
)

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
    """Has no calls left until it was asked so often."""

    empty_for: int = 0
    # How many it grants at once.
    calls: int = 1
    asked: list[str] = attrs.field(factory=list)
    taken: Counter[str] = attrs.field(factory=Counter)

    async def take(
        self, endpoint: str, *, beside: Sequence[str] = (), per_s: float, now: datetime
    ) -> Mapping[str, int]:
        assert per_s == CALLS_PER_S
        assert now.tzinfo is UTC
        assert endpoint not in beside
        self.asked.append(endpoint)
        if len(self.asked) <= self.empty_for:
            return {}
        given = dict.fromkeys((endpoint, *beside), self.calls)
        self.taken.update(given)
        return given


class Guarded:
    """A gateway in memory behind a budget and a breaker."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.clock = FixedClock(NOON)
        self.budget = budget or Budget()
        self.gateway = MemoryGateway(self.clock)
        self.gateway.objects.prices[PRICE.id] = PRICE
        self.told = list[tuple[str, str]]()
        watch = KeyWatch(self.clock, lambda what, why: self.told.append((what, why)))
        self.breaker = CircuitBreaker(self.clock, watch)
        self.guarded = RateLimitedGateway(
            self.gateway, self.budget, self.breaker, self.clock, wait_s=0
        )
        self.numbers = 0

    @property
    def state(self) -> BreakerState:
        return self.breaker.state

    async def send(self, fault: PaymentsError | None = None) -> Answer:
        """Make a customer, a different one each time."""
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
    Then one call is sent as a probe, and closes the breaker if it is answered.
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
    One failure is enough then.
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
    A refusal is an answer, and so is "too many requests".
    """
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX - 1)
    with pytest.raises(type(fault)) if fault else nullcontext():
        await it.send(fault)
    await it.be_silent(UNKNOWN_OUTCOMES_MAX - 1)
    assert it.state is BreakerState.CLOSED


async def test_f26_who_finds_the_budget_used_up_waits_for_more() -> None:
    """
    A burst is smoothed, for each endpoint separately.
    """
    it = Guarded(budget=Budget(empty_for=WAITS_MAX - 1))
    await it.send()
    assert len(it.budget.asked) == WAITS_MAX
    assert len(set(it.budget.asked)) == 1


async def test_f26_who_waits_for_too_long_is_told_that_nothing_was_done() -> None:
    """
    No request was sent to the gateway.
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
    Taken calls are used first, for each endpoint separately; a second later they are
    void: the budget has been refilled by as much.
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
    Not an exhausted budget, nor a caller that disconnected.
    """
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX)
    it.clock.advance(PAUSE)
    it.budget.empty_for = len(it.budget.asked) + WAITS_MAX
    with pytest.raises(GatewayNotAttempted):
        await it.send()
    states = [it.state]
    with pytest.raises(asyncio.CancelledError):
        async with it.breaker.call("customers"):
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
    async with it.breaker.call("customers"):
        with pytest.raises(GatewayNotAttempted):
            await it.send()
    await it.send()
    assert it.state is BreakerState.CLOSED


async def test_a_price_is_asked_for_once_a_minute() -> None:
    """
    However many need it at once.
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
    It may have been made meanwhile.
    """
    it = Guarded()
    for _ in range(2):
        with pytest.raises(GatewayObjectMissing):
            await it.guarded.price("price_none")
    assert len(it.budget.asked) == 2


# A refused key

REFUSED: Final = GatewayMisconfigured()
NOT_PERMITTED: Final = GatewayMisconfigured("it lacks a permission", permission=True)


async def test_a_key_that_is_refused_is_told_at_once_and_asked_of_once() -> None:
    """
    No other call is sent for a while; then one call checks whether it is still refused.
    Callers get the reason all the time.
    """
    it = Guarded()
    with pytest.raises(GatewayMisconfigured):
        await it.send(REFUSED)
    assert it.told == [(KEY, REFUSED.reason)]
    assert it.breaker.key.trouble == "Stripe: " + REFUSED.reason
    asked = len(it.gateway.sent)
    with pytest.raises(GatewayMisconfigured):
        await it.send()
    assert (len(it.gateway.sent), it.state) == (asked, BreakerState.OPEN)

    it.clock.advance(PAUSE)
    await it.send()
    assert it.state is BreakerState.CLOSED
    assert (it.breaker.key.refused, it.breaker.key.refused_total) == (frozenset(), 1)


async def test_what_lasts_is_told_once_a_minute() -> None:
    """
    Not with every call; a new refusal is logged at once.
    """
    it = Guarded()
    for _ in range(13):
        with pytest.raises(GatewayMisconfigured):
            await it.send(REFUSED)
        it.clock.advance(PAUSE)
    assert len(it.told) == 3
    await it.send()
    with pytest.raises(GatewayMisconfigured):
        await it.send(REFUSED)
    assert len(it.told) == 4


async def test_a_permission_that_lacks_is_of_one_endpoint() -> None:
    """
    Other endpoints are called as before; an answer of another endpoint does not clear
    it.
    """
    it = Guarded()
    with pytest.raises(GatewayMisconfigured):
        await it.send(NOT_PERMITTED)
    assert it.state is BreakerState.CLOSED
    await it.guarded.price(PRICE.id)
    (endpoint,) = it.breaker.key.refused
    assert endpoint != KEY
    assert it.breaker.key.trouble == (f"Stripe: it lacks a permission ({endpoint})")
    await it.send()
    assert it.breaker.key.trouble is None


async def test_a_key_that_may_read_and_not_write_is_told_once_a_minute() -> None:
    """
    It is accepted and refused in turn, at one endpoint.
    """
    it = Guarded()
    for _ in range(5):
        with pytest.raises(GatewayMisconfigured):
            await it.send(NOT_PERMITTED)
        await it.send()
    assert len(it.told) == 1
    it.clock.advance(timedelta(minutes=1))
    with pytest.raises(GatewayMisconfigured):
        await it.send(NOT_PERMITTED)
    assert len(it.told) == 2


@pytest.mark.parametrize(
    ("fault", "mends"),
    [
        (GatewayNotAttempted("too many"), False),
        (GatewayOutcomeUnknown("no answer in time"), False),
        (GatewayRefused("invalid", "no"), True),
    ],
)
async def test_only_an_answer_shows_that_the_key_is_taken(
    fault: PaymentsError,
    mends: bool,  # noqa: FBT001  # a column
) -> None:
    """
    A refusal of the request is one; "busy" is not.
    """
    it = Guarded()
    with pytest.raises(GatewayMisconfigured):
        await it.send(REFUSED)
    it.clock.advance(PAUSE)
    with pytest.raises(type(fault)):
        await it.send(fault)
    assert (it.breaker.key.trouble is None) is mends


async def test_f26_reading_the_list_of_events_takes_no_call_of_operations() -> None:
    """
    However many pages it has: each is a call of its own endpoint, and of no other.
    """
    it = Guarded()
    for _ in range(9):
        await it.guarded.events(EventQuery())

    assert it.budget.taken == {"events": 9}
    await it.guarded.customer_of(UserId("ada"), "ada@example.org")
    assert it.budget.taken["subscriptions"] == 1


async def test_a_refused_key_is_in_the_metrics() -> None:
    """
    And how many jobs of a worker are failing.
    """
    it, database = Guarded(), MemoryDatabase()
    lease = attrs.evolve(a_job().lease, attempts=QUICK_ATTEMPTS)
    database.tables.put_job(attrs.evolve(a_job(), lease=lease))
    with pytest.raises(GatewayMisconfigured):
        await it.send(REFUSED)
    nobody: Any = None
    readers = BacklogReaders(
        MemoryJobDirectory(database),
        MemoryEventLog(database),
        MemoryCheckpoints(database),
        MemoryBacklog(database),
        it.clock,
        it.clock,
    )
    shown = [GatewayMetrics(it.breaker), BacklogMetrics(readers)]
    app: Any = create_ops_app(nobody, shown)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ops") as client:
        text = (await client.get("/metrics")).text
    assert 'payments_gateway_key_refused{what="key"} 1.0' in text
    assert "payments_gateway_key_refusals_total 1.0" in text
    assert "payments_jobs_failing 1.0" in text


async def test_a_process_that_is_told_of_trouble_is_not_ready() -> None:
    """
    A worker whose key is refused says so at `/readyz`, whatever the state of the
    database.
    """
    it = Guarded()
    nobody: Any = None
    readiness = Readiness(
        nobody, {Reason.STRIPE_KEY_REFUSED: lambda: it.breaker.key.trouble}
    )
    with pytest.raises(GatewayMisconfigured):
        await it.send(REFUSED)
    app: Any = create_ops_app(readiness, [])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ops") as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "reason": "stripe_key_refused",
        "detail": f"Stripe: {REFUSED.reason}",
    }


async def test_the_breaker_tells_the_metrics() -> None:
    """
    In the format of Prometheus, at the ops port.
    """
    it = Guarded()
    await it.be_silent(UNKNOWN_OUTCOMES_MAX)
    nobody: Any = None
    app: Any = create_ops_app(nobody, [GatewayMetrics(it.breaker)])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ops") as client:
        text = (await client.get("/metrics")).text
    assert 'payments_gateway_breaker{state="open"} 1.0' in text
    assert "payments_gateway_breaker_opened_total 1.0" in text
    assert f"payments_gateway_silent_calls_total {UNKNOWN_OUTCOMES_MAX}.0" in text


@attrs.define
class Heard(GatewayListener):
    """What a listener is given; of a call's time, only whether it took any."""

    calls: list[tuple[str, str, bool]] = attrs.field(factory=list)
    waits: list[str] = attrs.field(factory=list)

    @override
    def called(
        self, operation: str, error: BaseException | None, seconds: float | None
    ) -> None:
        outcome = type(error).__name__ if error else "ok"
        self.calls.append((operation, outcome, seconds is not None))

    @override
    def waited(self, endpoint: str) -> None:
        self.waits.append(endpoint)


def listened(it: Guarded) -> Heard:
    heard = Heard()
    it.guarded = attrs.evolve(it.guarded, listener=heard)
    return heard


async def test_each_call_is_heard_of_by_its_operation_and_what_came_of_it() -> None:
    """
    A read by its method, a sent request by its kind: no id of an object is in it.
    """
    it = Guarded()
    heard = listened(it)
    await it.send()
    with pytest.raises(GatewayRefused):
        await it.send(GatewayRefused("a_code", "a reason"))
    with pytest.raises(GatewayObjectMissing):
        await it.guarded.customer(CustomerId("cus_none"))
    await it.guarded.price(PRICE.id)

    assert heard.calls == [
        ("create_customer", "ok", True),
        ("create_customer", "GatewayRefused", True),
        ("customer", "GatewayObjectMissing", True),
        ("price", "ok", True),
    ]
    assert heard.waits == []


async def test_a_call_that_is_not_made_is_heard_of_without_a_time() -> None:
    """
    While the breaker is open, or the budget is used up: each wait for it is reported.
    """
    it = Guarded(Budget(empty_for=WAITS_MAX))
    heard = listened(it)
    with pytest.raises(GatewayNotAttempted):
        await it.guarded.customer_of(UserId("ada"), "ada@example.org")

    assert heard.calls == [("customer_of", "GatewayNotAttempted", False)]
    assert heard.waits == ["customers"] * WAITS_MAX

    await it.be_silent(UNKNOWN_OUTCOMES_MAX)
    with pytest.raises(GatewayNotAttempted):
        await it.send()
    assert heard.calls[-2:] == [
        ("create_customer", "GatewayOutcomeUnknown", True),
        ("create_customer", "GatewayNotAttempted", False),
    ]


async def test_t79_calls_and_waits_are_in_the_metrics() -> None:
    """
    By operation, outcome and endpoint.
    """
    it, reports = Guarded(Budget(empty_for=2)), GatewayReports()
    it.guarded = attrs.evolve(it.guarded, listener=reports)
    await it.send()
    with pytest.raises(GatewayOutcomeUnknown):
        await it.send(GatewayOutcomeUnknown("no answer in time"))
    registry = CollectorRegistry()
    registry.register(GatewayCallMetrics(reports))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    calls, operation = "payments_gateway_calls_total", "create_customer"
    assert value(calls, operation=operation, outcome="ok") == 1
    assert value(calls, operation=operation, outcome="gateway_silent") == 1
    count = "payments_gateway_call_duration_seconds_count"
    assert value(count, operation=operation) == 2
    waits = "payments_gateway_budget_waits_total"
    assert value(waits, endpoint="/CreateCustomer") == 2
