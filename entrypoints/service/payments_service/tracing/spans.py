"""What of this service is traced, and what its spans say."""

import inspect
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar, cast

import attrs
from litestar.types import ASGIApp
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span
from typing_extensions import override

from payments_adapters.rate_limited_gateway import SpareGateway, operation_of
from payments_core.changes import Changes, Claimed, SaveResult
from payments_core.deliveries import DeliveryKey, SendResult
from payments_core.events import EventKey, GatewayEvent, Receipt
from payments_core.facts import SourcedFacts
from payments_core.intent import Intent
from payments_core.jobs import FailedWork, RunWork
from payments_core.ports import (
    AccountDirectory,
    AccountHistory,
    AuditLog,
    ChangeSender,
    EventLog,
    FeedSequencer,
    GatewayLists,
    IntentDirectory,
    JobDirectory,
    KeptObjects,
    Ledger,
    PaymentDirectory,
    PaymentGateway,
    Timelines,
    TokenStore,
    UserList,
    WorkQueue,
)
from payments_core.use_cases import Recorded, RecordFacts
from payments_service.ingest_queue import IngestQueue
from payments_service.spans import Spans
from payments_service.tracing.calls import (
    Attributes,
    Shown,
    Traced,
    apart,
    begun,
    fail,
    is_sampled,
    linked_root,
    new_root,
    spanned,
)
from payments_service.tracing.export import Export
from payments_service.tracing.requests import TracedRequests

_T = TypeVar("_T")
# Spans contain none of others' words: only what is counted here is taken from
# arguments.
_STORES: Final[Mapping[Any, str]] = {
    AccountDirectory: "accounts",
    AccountHistory: "history",
    AuditLog: "audit log",
    EventLog: "events",
    IntentDirectory: "intents",
    JobDirectory: "jobs",
    KeptObjects: "kept objects",
    PaymentDirectory: "payments",
    Timelines: "timelines",
    TokenStore: "tokens",
    UserList: "users",
    WorkQueue: "work queue",
}


def _asked_of_store(method: str, *_: object, **__: object) -> Attributes:
    return {"db.operation.name": method}


def _asked_of_ledger(
    method: str, what: object = (), *, at: datetime | None = None
) -> Attributes:
    told: Attributes = {"db.operation.name": method}
    if method != "save" or at is None or not isinstance(what, Sequence):
        return told
    groups = [it for it in what if isinstance(it, Changes)]
    return {
        **told,
        "payments.groups": len(groups),
        "payments.jobs_requested": sum(len(it.jobs) for it in groups),
        # The source of the feed and of deliveries: the outbox.
        "payments.changes_logged": sum(it.logged(at) is not None for it in groups),
    }


def _answered_by_ledger(method: str, answer: object) -> Attributes:
    if method != "save" or not isinstance(answer, Sequence):
        return {}
    counts = Counter(it for it in answer if isinstance(it, SaveResult))
    return {f"payments.groups_{it}": count for it, count in counts.items()}


def _asked_of_gateway(
    method: str, what: Any = None, *_: object, **__: object
) -> Attributes:
    # As in the metrics.
    operation = operation_of(what) if method in {"send", "page"} else method
    return {"payments.gateway.operation": operation}


_STORE: Final = Shown(
    "", SpanKind.CLIENT, {"db.system.name": "postgresql"}, _asked_of_store
)
_LEDGER: Final = attrs.evolve(
    _STORE, name="ledger", asked=_asked_of_ledger, answered=_answered_by_ledger
)
_GATEWAY: Final = Shown(
    "gateway",
    SpanKind.CLIENT,
    {"payments.gateway": "stripe"},
    _asked_of_gateway,
)


@attrs.frozen
class TracingSpans(Spans):
    """Puts a span around each: see the rules of the package."""

    export: Export

    @property
    def _tracer(self) -> Tracer:
        return self.export.tracer

    @override
    def port(self, port: Any, it: _T) -> _T:
        traced: object = it
        if port is Ledger:
            traced = Traced(it, self._tracer, _LEDGER)
        elif port in {PaymentGateway, SpareGateway, GatewayLists}:
            traced = Traced(it, self._tracer, _GATEWAY)
        elif port in _STORES:
            traced = Traced(it, self._tracer, attrs.evolve(_STORE, name=_STORES[port]))
        elif port is FeedSequencer:
            traced = _TracedSequencer(cast("FeedSequencer", it), self._tracer)
        elif port is ChangeSender:
            traced = _TracedSender(cast("ChangeSender", it), self._tracer)
        return cast("_T", traced)

    @override
    def call(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        # A call that answers at once has no span. Work has a trace, by `work`.
        if call is RunWork.__call__ or not inspect.iscoroutinefunction(call):
            return call
        return spanned(call, name, "", self._tracer, Shown(name))

    @override
    def work(self, it: RunWork) -> RunWork:
        return cast("RunWork", _TracedWork(it, self._tracer))

    @override
    def ingest_queue(
        self, record: RecordFacts, made: Callable[[RecordFacts], IngestQueue]
    ) -> IngestQueue:
        batches = _Batches(record, self.export.linked)
        queue = made(cast("RecordFacts", batches))
        return cast("IngestQueue", _TracedQueue(queue, batches))

    @override
    def requests(self, app: ASGIApp) -> ASGIApp:
        return TracedRequests(app, self._tracer)

    @override
    def close(self) -> None:
        self.export.close()


@attrs.frozen
class _Batches:
    """Records batches of webhooks, each in a trace of its own.

    It is linked both ways to the sampled requests whose events are in it; without one,
    it has no trace.
    """

    _record: RecordFacts
    tracer: Tracer
    # Several requests may carry the same event at once.
    _waiting: dict[EventKey, list[Span]] = attrs.field(init=False, factory=dict)

    async def __call__(
        self, sources: Sequence[SourcedFacts], **kwargs: Any
    ) -> Sequence[Recorded]:
        keys = dict.fromkeys(it.event.key for it in sources if it.event)
        spans = [span for key in keys for span in self._waiting.get(key, ())]
        if not spans:
            return await self._record(sources, **kwargs)
        with begun(linked_root(self.tracer, "webhook batch", spans)) as span:
            span.set_attribute("messaging.batch.message_count", len(sources))
            recorded = await self._record(sources, **kwargs)
            counts = Counter(it.state for it in recorded)
            span.set_attributes({f"payments.events_{it}": counts[it] for it in counts})
            return recorded

    @contextmanager
    def waiting(self, key: EventKey, span: Span) -> Iterator[None]:
        """Link a request to the batch that its event is recorded in."""
        spans = self._waiting.setdefault(key, [])
        spans.append(span)
        try:
            yield
        finally:
            spans.remove(span)
            if not spans:
                del self._waiting[key]


class _TracedQueue(Traced):
    def __init__(self, queue: IngestQueue, batches: _Batches) -> None:
        super().__init__(queue, batches.tracer, Shown("ingest queue"))
        self._queue, self._batches = queue, batches

    async def __call__(self, event: GatewayEvent) -> Receipt:
        span = get_current_span()
        # A batch that it starts serves other requests, too.
        with apart():
            if not is_sampled(span):
                return await self._queue(event)
            with self._batches.waiting(event.key, span):
                return await self._queue(event)


class _TracedWork(Traced):
    """Jobs and intents, each in a trace of its own.

    Its origin may be in a trace; which one is not stored, so there is no link.
    """

    def __init__(self, work: RunWork, tracer: Tracer) -> None:
        def failed(what: FailedWork, error: Exception) -> None:
            fail(get_current_span(), error)
            work.on_failure(what, error)

        self._do = attrs.evolve(work, on_failure=failed)
        super().__init__(self._do, tracer, Shown("work"))

    async def __call__(self, claimed: Claimed) -> Exception | None:
        work = claimed.work
        what, kind = (
            ("intent", work.kind)
            if isinstance(work, Intent)
            else ("job", work.key.kind)
        )
        told: Attributes = {
            f"payments.{what}.kind": str(kind),
            "payments.attempts": work.lease.attempts,
        }
        with begun(new_root(self._tracer, f"{what} {kind}", told)):
            return await self._do(claimed)


@attrs.frozen
class _TracedSequencer:
    """It runs many times a second: only calls that gave positions are traced."""

    _sequencer: FeedSequencer
    _tracer: Tracer

    async def give(self, limit: int) -> int:
        began = time.time_ns()
        given = await self._sequencer.give(limit)
        if given:
            span = new_root(self._tracer, "feed positions", start_ns=began)
            span.set_attribute("payments.positions_given", given)
            span.end()
        return given


@attrs.frozen
class _TracedSender:
    """Attempts of deliveries, each in a trace of its own."""

    _sender: ChangeSender
    _tracer: Tracer

    async def send(self, key: DeliveryKey, body: bytes) -> SendResult:
        told = {"payments.endpoint": key.endpoint}
        with begun(new_root(self._tracer, "delivery", told)) as span:
            sent = await self._sender.send(key, body)
            span.set_attribute("payments.is_delivered", sent.is_delivered)
            if not sent.is_delivered:
                span.set_status(StatusCode.ERROR)
            return sent


def tracing_spans(process: str) -> TracingSpans:
    """Return the spans of a process, as the OTEL_ variables say.

    Raises:
        SettingsError: the variables ask for something that this release does not
            support.
    """
    return TracingSpans(Export.of(process))
