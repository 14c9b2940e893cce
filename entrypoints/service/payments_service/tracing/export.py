"""The SDK, set up by its own OTEL_ variables: what is sampled, and where it is sent."""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final, Self

import attrs
import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer
from typing_extensions import override

from payments_service.settings import SettingsError

# Of what begins a trace here: a request without a traceparent, a job, a delivery.
SAMPLED_RATIO: Final = 0.1
CLOSE_S: Final = 2.0
_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
# What else the variables may say, this release does not do.
_ONLY: Final = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
}


@attrs.define(eq=False)
class Reporting(SpanExporter):
    """Says once that spans are not taken, and once that they are again."""

    _exporter: SpanExporter
    _is_failing: bool = attrs.field(init=False, default=False)

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001  # the SDK would log each one
            result, reason = SpanExportResult.FAILURE, type(error).__name__
        else:
            reason = "the collector cannot be reached, or refuses them"
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            structlog.get_logger().warning(
                "traces are dropped",
                reason=reason,
                advice="see OTEL_EXPORTER_OTLP_ENDPOINT; nothing else is affected",
            )
        elif self._is_failing and not is_failing:
            structlog.get_logger().info("traces are sent again")
        self._is_failing = is_failing
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()


@attrs.frozen
class Export:
    """What makes spans, and sends those of sampled traces in a thread of its own.

    `linked` makes those that are sampled because what they are linked to is.
    """

    tracer: Tracer
    linked: Tracer
    _processor: SpanProcessor

    @classmethod
    def of(cls, process: str, env: Mapping[str, str] = os.environ) -> Self:
        """Set up the SDK for a process; it reads `os.environ` itself.

        Raises:
            SettingsError: a variable asks for what this release does not do, or the SDK
                cannot be made of them.
        """
        _check(env)
        # It would tell of each span that is dropped and of each try. `Reporting` does.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        try:
            processor = BatchSpanProcessor(Reporting(OTLPSpanExporter()))
            return cls.by(processor, process, env)
        except (OSError, ValueError) as error:
            reason = f"the OTEL_ variables cannot be used: {type(error).__name__}"
            raise SettingsError({"PAYMENTS_TRACES": reason}) from error

    @classmethod
    def by(cls, processor: SpanProcessor, process: str, env: Mapping[str, str]) -> Self:
        usual = ParentBased(TraceIdRatioBased(SAMPLED_RATIO))
        # Not registered as the provider of this process: no library makes spans of its
        # own, of which we would not know what is in them.
        providers = [
            TracerProvider(
                sampler,
                resource=_resource(process, env),
                # `close` has a limit, which the SDK's own end has not.
                shutdown_on_exit=False,
            )
            for sampler in (None if env.get(_SAMPLER) else usual, ALWAYS_ON)
        ]
        for it in providers:
            it.add_span_processor(processor)
        tracer, linked = (it.get_tracer("payments_service") for it in providers)
        return cls(tracer, linked, processor)

    def close(self) -> None:
        """Send what is left, and end within `CLOSE_S`."""
        # The SDK's own end waits for 30 s where a collector does not answer.
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_S)


def _check(env: Mapping[str, str]) -> None:
    problems = {
        name: f"this release sends traces by {only} alone"
        for name, only in _ONLY.items()
        if env.get(name, only) not in {"", only}
    }
    if problems:
        raise SettingsError(problems)


def _resource(process: str, env: Mapping[str, str]) -> Resource:
    """Return what the spans are of; what the variables say comes first."""
    own = {"service.version": version("payments-service")}
    named = env.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not env.get("OTEL_SERVICE_NAME") and "service.name=" not in named:
        own["service.name"] = process
    return Resource.create(own)
