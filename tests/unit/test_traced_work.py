"""Batches, jobs, intents, positions and deliveries are traces of their own."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any, Final

import attrs
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan as Unsampled
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from contracts.examples import ADA, BOB, NOON, a_job, an_account, an_intent
from contracts.faults import FaultyLedger
from contracts.worlds import World, a_world
from payments_adapters.memory import FixedClock, MemoryLedger
from payments_core import ports
from payments_core.changes import Changes, Claimed
from payments_core.deliveries import DeliveryKey, SendResult
from payments_core.events import Receipt
from payments_core.identity import UserId
from payments_core.jobs import FailedWork
from payments_core.policy import Policy
from payments_core.use_cases import RecordFacts
from payments_service.ingest_queue import IngestQueue
from payments_service.logs import TRACE_ID
from payments_service.metrics.use_cases import MeasuredUseCases
from payments_service.tallies import OK
from payments_service.tracing.calls import begun
from support.deployment import Deployment
from support.ingest_queue import Time, an_event_of, turns
from support.spans import ALL, Kept, assert_plain, attributes_of, context_of

pytestmark = pytest.mark.anyio

CANARY: Final = secrets.token_hex(8)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    return Kept.of()


def a_record(ledger: Any) -> RecordFacts:
    clock = FixedClock(NOON)
    return RecordFacts(ledger, clock, clock, Policy(), Time(), Time().sleep)


class Asked:
    """A gateway that fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def subscription(self, _: str) -> None:
        raise self.error


# Batches of webhooks


@attrs.frozen
class Batches:
    """A queue that is traced; its first batch is held up until `ledger.may_run`.

    `failed` gets the trace in which an event's failure is reported.
    """

    kept: Kept
    queue: IngestQueue
    ledger: FaultyLedger
    failed: list[str]

    @classmethod
    async def begin(cls, kept: Kept) -> "Batches":
        world: World = await a_world(an_account(ADA), an_account(BOB))
        ledger = FaultyLedger(MemoryLedger(world.database))
        failed = list[str]()
        queue = kept.spans.ingest_queue(
            a_record(ledger),
            lambda record: IngestQueue(
                record, lambda _, __: failed.append(TRACE_ID.get())
            ),
        )
        return cls(kept, queue, ledger, failed)

    @property
    def waiting_count(self) -> int:
        """Return how many events are remembered: it grows if none is forgotten."""
        queue: Any = self.queue
        return len(queue._batches._waiting)

    def hand_in(self, user: UserId, number: int, *, sampled: bool = True) -> Any:
        """Submit an event, within a request of its own."""

        async def request() -> Receipt:
            span = self.kept.export.tracer.start_span(f"request {user} {number}")
            if not sampled:
                span.end()
                span = Unsampled(SpanContext(1, 1, is_remote=False))
            with begun(span):
                return await self.queue(an_event_of(user, number))

        return asyncio.create_task(request())


async def test_a_batch_is_a_trace_linked_to_the_requests_whose_events_are_in_it(
    kept: Kept,
) -> None:
    """
    And they to it. A request that is not sampled is in no link.
    """
    batches = await Batches.begin(kept)
    batches.ledger.may_run.clear()
    waiting = [batches.hand_in(ADA, 0)]
    await batches.ledger.running.wait()
    waiting += [batches.hand_in(ADA, 1), batches.hand_in(BOB, 2)]
    waiting += [batches.hand_in(BOB, 3, sampled=False)]
    await turns()
    batches.ledger.may_run.set()
    await asyncio.gather(*waiting)

    traces = {it.name: context_of(it) for it in kept.ended if it.parent is None}
    first, second = [it for it in kept.ended if it.name == "webhook batch"]
    assert ids(first) == {traces["request ada 0"].trace_id}
    assert ids(second) == {
        traces[f"request {it}"].trace_id for it in ("ada 1", "bob 2")
    }
    assert ids(kept.named("request ada 1")) == {context_of(second).trace_id}
    assert batches.waiting_count == 0
    assert first.parent is second.parent is None
    assert attributes_of(second) == {
        "messaging.batch.message_count": 3,
        "payments.events_saved": 3,
    }


def ids(span: ReadableSpan) -> set[int]:
    """Return the traces to which a span is linked."""
    return {it.context.trace_id for it in span.links}


async def test_one_event_in_two_requests_is_linked_to_both(kept: Kept) -> None:
    """
    An event whose caller disconnected before its batch is linked to none, and nothing
    of it is stored.
    """
    batches = await Batches.begin(kept)
    batches.ledger.may_run.clear()
    waiting = [batches.hand_in(BOB, 0)]
    await batches.ledger.running.wait()
    waiting += [batches.hand_in(ADA, 1) for _ in range(3)]
    gone = batches.hand_in(BOB, 2)
    await turns()
    waiting.pop(1).cancel()
    gone.cancel()
    await turns()
    batches.ledger.may_run.set()
    await asyncio.gather(*waiting)

    second = [it for it in kept.ended if it.name == "webhook batch"][1]
    asked = [it for it in kept.ended if it.name == "request ada 1" and it.links]
    assert len(asked) == 2
    assert ids(second) == {context_of(it).trace_id for it in asked}
    assert not kept.named("request bob 2").links
    assert batches.waiting_count == 0


async def test_a_batch_of_requests_without_a_trace_is_in_none(kept: Kept) -> None:
    """
    It creates no span.
    """
    batches = await Batches.begin(kept)

    await batches.hand_in(ADA, 0, sampled=False)

    assert kept.names == ["request ada 0"]


async def test_what_a_batch_logs_is_of_its_trace_not_of_the_one_that_woke_it(
    kept: Kept,
) -> None:
    """
    The queue's tasks begin within one of many requests.
    """
    batches = await Batches.begin(kept)
    seen = batches.failed

    def fail_once(_: Sequence[Changes]) -> None:
        seen.append(TRACE_ID.get())
        if len(seen) == 1:
            raise RuntimeError(CANARY)

    batches.ledger.fault = fail_once

    await batches.hand_in(ADA, 0)

    batch = kept.named("webhook batch")
    trace_id = f"{context_of(batch).trace_id:032x}"
    # What is reported after the recording concerns many requests, and none.
    assert seen == [trace_id, trace_id, ""]
    assert_plain(kept.ended, CANARY)


# Work that was left for later


@pytest.mark.parametrize("error", [None, RuntimeError(CANARY)])
async def test_a_job_is_a_trace_of_its_own(kept: Kept, error: Exception | None) -> None:
    """
    Its kind and its failed attempts are recorded, not its subject; its calls to the
    gateway are in it, and so are its log lines.
    """
    heard = list[str]()

    def hear(_: FailedWork, __: Exception) -> None:
        heard.append(TRACE_ID.get())

    async with Deployment.opened() as deployment:
        gateway: Any = Asked(error) if error else deployment.gateway
        work = kept.spans.work(
            attrs.evolve(
                deployment.run_work,
                gateway=kept.spans.port(ports.PaymentGateway, gateway),
                on_failure=hear,
            )
        )
        assert await work(Claimed(a_job(f"sub_{CANARY}"), 1)) is error
        assert not await work.claim(1)

    asked, job = kept.ended
    assert job.name == "job subscription"
    assert job.parent is None
    assert not job.links
    assert job.kind is SpanKind.CONSUMER
    told = {"payments.job.kind": "subscription", "payments.attempts": 0}
    if error is not None:
        told["error.type"] = "RuntimeError"
        assert heard == [f"{context_of(job).trace_id:032x}"]
    assert attributes_of(job) == told
    assert asked.name == "gateway subscription"
    assert context_of(asked).trace_id == context_of(job).trace_id
    assert_plain(kept.ended, CANARY)


async def test_an_intent_that_a_worker_goes_on_with_is_a_trace(kept: Kept) -> None:
    """
    Named by its kind, and measured like every use case: it has no further span.
    """
    measuring = MeasuredUseCases(kept.spans.call)
    async with Deployment.opened() as deployment:
        work = kept.spans.work(measuring.measured(deployment.run_work))
        await work(Claimed(an_intent(), 1))

    assert kept.names == ["intent start_subscription"]
    assert measuring.calls.of("RunWork").outcomes == {OK: 1}


class Given:
    """A sequencer that has so many positions to give, in turn."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)

    async def give(self, limit: int) -> int:
        return min(self.counts.pop(0), limit)


async def test_giving_positions_is_traced_where_there_were_any_to_give(
    kept: Kept,
) -> None:
    """
    It is tried many times a second.
    """
    sequencer = kept.spans.port(ports.FeedSequencer, Given(0, 3, 0))

    assert [await sequencer.give(500) for _ in range(3)] == [0, 3, 0]
    assert attributes_of(kept.named("feed positions")) == {
        "payments.positions_given": 3
    }


@attrs.frozen
class Endpoint:
    result: SendResult

    async def send(self, _: DeliveryKey, __: bytes) -> SendResult:
        return self.result


@pytest.mark.parametrize("is_delivered", [True, False])
async def test_an_attempt_of_a_delivery_is_a_trace(
    kept: Kept,
    is_delivered: bool,  # noqa: FBT001  # a parameter
) -> None:
    """
    With the endpoint, and whether it was accepted; neither the body nor the answer.
    """
    endpoint = Endpoint(SendResult(is_delivered=is_delivered, reason=CANARY))
    sender = kept.spans.port(ports.ChangeSender, endpoint)

    await sender.send(DeliveryKey("crm", 1), CANARY.encode())

    delivery = kept.named("delivery")
    assert attributes_of(delivery) == {
        "payments.endpoint": "crm",
        "payments.is_delivered": is_delivered,
    }
    assert (delivery.status.status_code is StatusCode.ERROR) is not is_delivered
    assert_plain(kept.ended, CANARY)
