"""Spans of this process, held in memory; and those received by a collector."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext
from typing_extensions import override

from payments_service.tracing import TracingSpans
from payments_service.tracing.export import Export
from support.plain_http import TLS
from support.receiver import Receiver
from support.service import World

# Every request is traced, unless its traceparent says otherwise.
ALL: Final = {"OTEL_TRACES_SAMPLER": "parentbased_always_on"}


def traced_to(url: str) -> dict[str, str]:
    """Return settings of a process that soon sends all its traces to a collector."""
    return {
        **ALL,
        "PAYMENTS_TRACES": "on",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }


@attrs.frozen(kw_only=True)
class TracedWorld(World):
    """A deployment that sends all its traces to a collector."""

    collector_url: str

    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        # By its name: attrs makes a slotted class anew, and `super()` has the old one.
        return {**World.env(self, port, ops_port), **traced_to(self.collector_url)}


@attrs.frozen
class Kept:
    """The tracer of this process, and its spans."""

    spans: TracingSpans
    _exporter: InMemorySpanExporter

    @classmethod
    def of(cls, env: Mapping[str, str] = ALL) -> "Kept":
        """Begin, with the sampler that `env` names."""
        exporter = InMemorySpanExporter()
        export = Export.by(SimpleSpanProcessor(exporter), "payments-service", env)
        return cls(TracingSpans(export), exporter)

    @property
    def export(self) -> Export:
        return self.spans.export

    @property
    def ended(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [it.name for it in self.ended]

    def named(self, name: str) -> ReadableSpan:
        [found] = [it for it in self.ended if it.name == name]
        return found


def attributes_of(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def context_of(span: ReadableSpan) -> SpanContext:
    found: SpanContext | None = span.context
    assert found is not None
    return found


def assert_plain(spans: Sequence[ReadableSpan], canary: str) -> None:
    """Check that no span has foreign text, or exception messages."""
    for it in spans:
        assert not it.events
        assert it.status.description is None
        assert canary not in it.to_json().lower()


@attrs.frozen
class Sent:
    """A span as received by a collector."""

    name: str
    trace_id: str
    id: str
    parent: str
    links: Sequence[str]
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


def sent_to(collector: Receiver) -> list[Sent]:
    """Return the received spans."""
    found = list[Sent]()
    for one in list(collector.received):
        request = ExportTraceServiceRequest.FromString(one.body)
        for of_resource in request.resource_spans:
            resource = _plain(of_resource.resource.attributes)
            found += [
                Sent(
                    name=it.name,
                    trace_id=it.trace_id.hex(),
                    id=it.span_id.hex(),
                    parent=it.parent_span_id.hex(),
                    links=[link.trace_id.hex() for link in it.links],
                    attributes=_plain(it.attributes),
                    resource=resource,
                )
                for of_scope in of_resource.scope_spans
                for it in of_scope.spans
            ]
    return found


def hex_id(length: int) -> str:
    """Return an id of this many letters: random digits may contain a card number."""
    return "".join(secrets.choice("abcdef") for _ in range(length))


def flush(url: str, collector: Receiver) -> list[Sent]:
    """Return all spans of earlier requests: send one more, and wait for its span."""
    trace_id = hex_id(32)
    parent = f"00-{trace_id}-{hex_id(16)}-01"
    route = "/.well-known/jwks.json"
    httpx.get(url + route, headers={"traceparent": parent}, verify=TLS)
    while True:
        came = sent_to(collector)
        if any(it.trace_id == trace_id for it in came):
            return came
        collector.wait_for_one()


def _plain(attributes: Any) -> dict[str, Any]:
    return {
        it.key: getattr(it.value, it.value.WhichOneof("value")) for it in attributes
    }
