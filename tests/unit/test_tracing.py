"""What is traced, and what its spans have: the real SDK, spans held in memory."""

import secrets
from collections.abc import Mapping
from typing import Any, Final

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from contracts.examples import ADA, NOON, an_account, email_of
from contracts.worlds import a_world
from payments_adapters.memory import (
    FixedClock,
    MemoryDatabase,
    MemoryGateway,
    MemoryLedger,
    MemoryLists,
)
from payments_adapters.rate_limited_gateway import (
    CircuitBreaker,
    KeyWatch,
    RateLimitedGateway,
    RateLimitedLists,
)
from payments_core import ports
from payments_core.errors import AccountNotFound, StoreUnavailable
from payments_core.gateway import CreateCustomer
from payments_core.object_lists import CreatedBetween, ObjectList
from payments_core.policy import Policy
from payments_core.use_cases import ReadCatalogue, RecordFacts, RegisterUser
from payments_service.container import Overrides, build_container
from payments_service.gateway_reports import GatewayReports
from payments_service.ingest_queue import IngestQueue
from payments_service.settings import Settings
from payments_service.tracing.calls import begun
from support.ingest_queue import Time, an_event_of
from support.service import World
from support.spans import ALL, Kept, assert_plain, attributes_of, context_of

pytestmark = pytest.mark.anyio

CANARY: Final = secrets.token_hex(8)
SETTINGS: Final = Settings.from_env(
    World("postgresql://nobody@127.0.0.1:1/no").env(0, 0)
)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    return Kept.of()


class Failing:
    """A port whose calls return their argument, or fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def find(self, what: str) -> str:
        if self.error is not None:
            raise self.error
        return what

    def freeze(self, what: str) -> str:
        return what


async def test_a_call_is_a_span_of_the_trace_that_it_is_in(kept: Kept) -> None:
    """
    Outside of a trace there is none.
    """
    port: Any = kept.spans.port(ports.IntentDirectory, Failing())

    assert await port.find(CANARY) == CANARY
    assert not kept.names
    with begun(kept.export.tracer.start_span("outer")):
        assert await port.find(CANARY) == CANARY
        assert port.freeze(CANARY) == CANARY

    inner, outer = kept.named("intents find"), kept.named("outer")
    assert inner.parent is not None
    assert inner.parent.span_id == context_of(outer).span_id
    assert inner.kind is SpanKind.CLIENT
    assert attributes_of(inner) == {
        "db.system.name": "postgresql",
        "db.operation.name": "find",
    }
    assert_plain(kept.ended, CANARY)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError(CANARY), StatusCode.ERROR),
        (StoreUnavailable(), StatusCode.ERROR),
        (AccountNotFound(), StatusCode.UNSET),
    ],
)
async def test_t61_of_an_exception_its_kind_is_told_and_no_message(
    kept: Kept, error: Exception, status: StatusCode
) -> None:
    """
    A refusal is an answer; other exceptions are failures.
    """
    port: Any = kept.spans.port(ports.IntentDirectory, Failing(error))

    with pytest.raises(type(error)), begun(kept.export.tracer.start_span("outer")):
        await port.find(CANARY)

    for span in kept.ended:
        assert attributes_of(span)["error.type"] == type(error).__name__
        assert span.status.status_code is status
    assert len(kept.ended) == 2
    assert_plain(kept.ended, CANARY)


async def test_every_call_of_the_gateway_is_a_span(kept: Kept) -> None:
    """
    Of each method of the port; rendering a request makes no call.
    """
    methods = [it for it in vars(ports.PaymentGateway) if not it.startswith("_")]
    gateway: Any = kept.spans.port(
        ports.PaymentGateway,
        RateLimitedGateway(*[Failing()] * 4),  # type: ignore[arg-type]  # not called
    )

    plain = [it for it in methods if not hasattr(getattr(gateway, it), "__wrapped__")]

    assert plain == ["freeze"]


class Ample:
    """A budget that has enough calls for each."""

    async def take(self, endpoint: str, **_: object) -> Mapping[str, int]:
        return {endpoint: 1}

    async def take_spare(self, _: str, **__: object) -> bool:
        return True


async def test_a_call_of_the_gateway_is_called_in_its_span_as_in_metrics(
    kept: Kept,
) -> None:
    """
    Whether something is sent, listed or read.
    """
    clock, reports = FixedClock(NOON), GatewayReports()
    breaker = CircuitBreaker(clock, KeyWatch(clock, lambda _, __: None))
    behind: dict[str, Any] = {
        "budget": Ample(),
        "breaker": breaker,
        "clock": clock,
        "listener": reports,
    }
    gateway = kept.spans.port(
        ports.PaymentGateway,
        RateLimitedGateway(MemoryGateway(clock), **behind),
    )
    lists = kept.spans.port(
        ports.GatewayLists,
        RateLimitedLists(MemoryLists(clock), **behind),
    )
    request = CreateCustomer(user_id=ADA, email="ada@example.com", intent_id="1")

    with begun(kept.export.tracer.start_span("outer")):
        await gateway.send(request, gateway.freeze(request), idempotency_key="1")
        await gateway.find(request)
        await gateway.customer_of(ADA, "ada@example.com")
        await lists.page(ObjectList.PAYMENTS, CreatedBetween(start=None, end=NOON))

    *calls, _ = kept.ended
    told = [attributes_of(it)["payments.gateway.operation"] for it in calls]
    assert told == ["create_customer", "find", "customer_of", "list_payments"]
    assert list(reports.calls.calls) == told
    assert {len(attributes_of(it)) for it in calls} == {2}


async def test_a_use_case_is_a_span_named_by_it_whatever_calls_it(kept: Kept) -> None:
    """
    A handler, or another use case, which the container did not resolve.
    """
    ledger = MemoryLedger(MemoryDatabase())
    container = build_container(SETTINGS, Overrides(ledger=ledger), kept.spans)
    register = container[RegisterUser]

    with begun(kept.export.tracer.start_span("outer")):
        await register(ADA, email_of(ADA))
        container[ReadCatalogue]()

    own = [it for it in kept.names if not it.startswith("ledger ")]
    assert own == ["RecordFacts", "RegisterUser", "outer"]
    inner, outer = kept.named("RecordFacts"), kept.named("RegisterUser")
    assert inner.parent is not None
    assert inner.parent.span_id == context_of(outer).span_id
    assert attributes_of(outer) == {}


def a_record(ledger: Any) -> RecordFacts:
    clock = FixedClock(NOON)
    return RecordFacts(ledger, clock, clock, Policy(), Time(), Time().sleep)


async def test_a_save_says_what_becomes_of_it(kept: Kept) -> None:
    """
    How many groups, their results, and how many changes go into the outbox.
    """
    world = await a_world(an_account(ADA))
    record = a_record(kept.spans.port(ports.Ledger, MemoryLedger(world.database)))

    with begun(kept.export.tracer.start_span("outer")):
        await IngestQueue(record)(an_event_of(ADA))

    assert attributes_of(kept.named("ledger load"))["db.operation.name"] == "load"
    assert attributes_of(kept.named("ledger save")) == {
        "db.system.name": "postgresql",
        "db.operation.name": "save",
        "payments.groups": 1,
        "payments.groups_saved": 1,
        "payments.jobs_requested": 0,
        "payments.changes_logged": 1,
    }
