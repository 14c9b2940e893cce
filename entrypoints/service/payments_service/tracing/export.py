"""The SDK, set up by its own OTEL_ variables: what is sampled, and where it is sent."""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
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
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import Tracer
from typing_extensions import override

from payments_service.settings import SettingsError
from payments_service.trace_settings import sampled_ratio, sampler_named
from payments_service.tracing.sending import CollectorSession

CLOSE_S: Final = 2.0


@attrs.define(eq=False)
class Reporting(SpanExporter):
    """Logs once that spans are refused, and once that they are accepted again.

    `why` returns the class of the last failure, if known.
    """

    _exporter: SpanExporter
    _why: Callable[[], str | None] = lambda: None
    _is_failing: bool = attrs.field(init=False, default=False)

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001  # the SDK would log each one
            result, reason = SpanExportResult.FAILURE, type(error).__name__
        else:
            reason = self._why() or "they cannot be sent"
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
    """Creates spans, and sends those of sampled traces in a separate thread.

    `linked` creates spans that are sampled because the linked ones are.
    """

    tracer: Tracer
    linked: Tracer
    _processor: SpanProcessor

    @classmethod
    def of(cls, process: str, env: Mapping[str, str] = os.environ) -> Self:
        """Set up the SDK for a process; it reads `os.environ` itself.

        Raises:
            SettingsError: the variables do not make a valid SDK. Faults of a single
                variable are reported before, by `require_traceable`.
        """
        # The SDK would log each dropped span and each attempt; `Reporting` logs once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        try:
            session = CollectorSession()
            exporter = OTLPSpanExporter(session=session)
            reporting = Reporting(exporter, lambda: session.failure)
            processor = BatchSpanProcessor(reporting)
            return cls.by(processor, process, env)
        except (OSError, ValueError) as error:
            reason = f"the OTEL_ variables cannot be used: {type(error).__name__}"
            raise SettingsError({"PAYMENTS_TRACES": reason}) from error

    @classmethod
    def by(cls, processor: SpanProcessor, process: str, env: Mapping[str, str]) -> Self:
        # Not registered as the global provider: otherwise libraries would make spans of
        # their own, with unknown content.
        providers = [
            TracerProvider(
                sampler,
                resource=_resource(process, env),
                # `close` has a time limit, which the SDK's own shutdown does not have.
                shutdown_on_exit=False,
            )
            for sampler in (_sampler(env), ALWAYS_ON)
        ]
        for it in providers:
            it.add_span_processor(processor)
        tracer, linked = (it.get_tracer("payments_service") for it in providers)
        return cls(tracer, linked, processor)

    def close(self) -> None:
        """Send the remaining spans, and close within `CLOSE_S`."""
        # The SDK's own shutdown waits for 30 s if a collector does not answer.
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_S)


def _sampler(env: Mapping[str, str]) -> Sampler:
    """Return the named sampler: for a wrong name the SDK would sample everything."""
    name = sampler_named(env)
    root: Sampler
    match name.removeprefix("parentbased_"):
        case "always_on":
            root = ALWAYS_ON
        case "always_off":
            root = ALWAYS_OFF
        case _:
            root = TraceIdRatioBased(sampled_ratio(env))
    return ParentBased(root) if name.startswith("parentbased_") else root


def _resource(process: str, env: Mapping[str, str]) -> Resource:
    """Return the resource of the spans; the variables take precedence."""
    own = {"service.version": version("payments-service")}
    named = env.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not env.get("OTEL_SERVICE_NAME") and "service.name=" not in named:
        own["service.name"] = process
    return Resource.create(own)
