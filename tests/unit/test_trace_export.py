"""How the SDK is set up: by its own variables, and by our defaults."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Final

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_tracer_provider,
    set_span_in_context,
)
from typing_extensions import override

from payments_service.settings import SettingsError
from payments_service.tracing.export import Export, Reporting
from support.receiver import receiving
from support.service import World, free_port
from support.spans import sent_to

TRIES: Final = 400


@pytest.fixture(autouse=True)
def levels() -> Iterator[None]:
    """
    Restore the levels of the libraries' loggers.
    """
    loggers = [logging.getLogger(name) for name in ("opentelemetry", "urllib3")]
    before = [it.level for it in loggers]
    yield
    for it, level in zip(loggers, before, strict=True):
        it.setLevel(level)


def made(env: dict[str, str]) -> tuple[Export, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    export = Export.by(SimpleSpanProcessor(exporter), "payments-service", env)
    return export, exporter


def sampled(env: dict[str, str]) -> int:
    export, exporter = made(env)
    for _ in range(TRIES):
        export.tracer.start_span("one").end()
    return len(exporter.get_finished_spans())


def test_one_of_ten_requests_is_sampled_unless_the_variables_say_otherwise() -> None:
    """
    Of 400 requests, 40 on average: less than 5 or more than 100 occur once in a billion
    times.
    """
    assert 5 <= sampled({}) <= 100


@pytest.mark.parametrize(
    ("sampler", "ratio", "roots", "unsampled"),
    [
        ("", "1", TRIES, 0),
        ("", "0", 0, 0),
        ("always_on", "", TRIES, 1),
        ("always_off", "", 0, 0),
        ("parentbased_always_on", "", TRIES, 0),
        ("ParentBased_Always_Off", "", 0, 0),
        ("traceidratio", "1.0", TRIES, 1),
        ("parentbased_traceidratio", "0.0", 0, 0),
    ],
)
def test_the_variables_say_what_is_sampled(
    sampler: str, ratio: str, roots: int, unsampled: int
) -> None:
    """
    Each of OpenTelemetry's samplers; and nothing of a caller who records nothing.
    """
    env = {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": ratio}
    export, exporter = made(env)
    caller = SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(0))
    parent = set_span_in_context(NonRecordingSpan(caller))
    export.tracer.start_span("one", parent).end()

    assert sampled(env) == roots
    assert len(exporter.get_finished_spans()) == unsampled


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({}, "payments-service"),
        ({"OTEL_SERVICE_NAME": "billing"}, "billing"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=billing"}, "billing"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=x"}, "payments-service"),
    ],
)
def test_a_service_has_the_name_that_it_is_given(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], name: str
) -> None:
    """
    By either of the SDK's variables; otherwise it has the name of its process.
    """
    for key, value in env.items():
        monkeypatch.setenv(key, value)
    export, exporter = made({"OTEL_TRACES_SAMPLER": "always_on", **env})
    export.linked.start_span("one").end()

    [span] = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == name
    assert span.resource.attributes["service.version"] == version("payments-service")


def test_a_queue_that_the_sdk_cannot_make_is_an_error_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    And not a traceback.
    """
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(SettingsError, match="OTEL_ variables cannot be used"):
        Export.of("payments-service")


class Answering(SpanExporter):
    """Answers one result after the other; an exception is raised."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        assert isinstance(result, SpanExportResult)
        return result


def test_a_collector_that_is_gone_is_logged_once_and_once_when_it_is_back() -> None:
    """
    However often it is tried, and whatever fails; the reason quotes nothing.
    """
    bad, good = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    answering = Answering(good, bad, bad, OSError("a secret"), good, good, bad)
    reporting = Reporting(answering)

    with structlog.testing.capture_logs() as lines:
        results = [reporting.export([]) for _ in range(7)]

    assert results == [good, bad, bad, bad, good, good, bad]
    assert [it["event"] for it in lines] == [
        "traces are dropped",
        "traces are sent again",
        "traces are dropped",
    ]
    assert "secret" not in str(lines)


def test_nothing_is_registered_that_libraries_would_make_spans_by() -> None:
    """
    The contents of their spans are unknown to us.
    """
    made({})

    assert not isinstance(get_tracer_provider(), TracerProvider)


def test_the_end_waits_no_longer_than_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    For a processor that does not end; the process ends all the same.
    """
    monkeypatch.setattr("payments_service.tracing.export.CLOSE_S", 0.01)
    going_on, ended = threading.Event(), threading.Event()

    class Hanging(SimpleSpanProcessor):
        @override
        def shutdown(self) -> None:
            going_on.wait(30)
            ended.set()

    export = Export.by(Hanging(InMemorySpanExporter()), "payments-service", {})

    export.close()

    assert not ended.is_set()
    going_on.set()
    assert ended.wait(30)


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Export]:
    """
    Return what sets up the SDK as a process does, with its usual queue.
    """

    def of(url: str) -> Export:
        for name, value in {
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1",
        }.items():
            monkeypatch.setenv(name, value)
        return Export.of("payments-worker")

    return of


def test_at_its_end_a_process_sends_what_is_left(
    one_process: Callable[[str], Export],
) -> None:
    """
    Though the queue is sent every 5 s: a worker may end sooner.
    """
    with receiving() as collector:
        export = one_process(collector.url)
        export.tracer.start_span("one").end()
        export.close()

        [span] = sent_to(collector)
    assert (span.name, span.resource["service.name"]) == ("one", "payments-worker")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:{}", "the connection is refused"),
        ("{}", "the address cannot be used"),
    ],
)
def test_a_wrong_address_is_logged_once_and_fails_nothing(
    one_process: Callable[[str], Export],
    caplog: pytest.LogCaptureFixture,
    url: str,
    reason: str,
) -> None:
    """
    An address without a listener, and an invalid address. The SDK would log each
    attempt.
    """
    export = one_process(url.format(free_port()))
    with structlog.testing.capture_logs() as lines:
        for _ in range(3_000):
            export.tracer.start_span("one").end()
        export.close()

    [line] = lines
    assert (line["event"], line["reason"]) == ("traces are dropped", reason)
    assert not caplog.records


# The modules that a serving process imports, as it is started.
STARTED: Final = """
import os
import sys
import payments_service.processes.worker
from payments_service.container import build_container
from payments_service.http.app import create_app
from payments_service.processes.serve import spans_of
from payments_service.settings import Settings
settings = Settings.from_env(os.environ)
create_app(build_container(settings, spans=spans_of(settings, "payments-service")))
print(*sys.modules)
"""
# Not only the names of the packages: Litestar and Stripe's SDK look for those.
OF_TRACES: Final = {
    *("opentelemetry.trace", "opentelemetry.sdk", "google.protobuf"),
    "payments_service.tracing",
}


@pytest.mark.parametrize(("traces", "imported"), [("off", set()), ("on", OF_TRACES)])
def test_what_is_off_is_not_imported(traces: str, imported: set[str]) -> None:
    """
    Neither OpenTelemetry nor its dependencies: it costs no memory, and no time.
    """
    env = World("postgresql://nobody@127.0.0.1:1/no").env(0, 0)
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        env={**env, "PAYMENTS_TRACES": traces},
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(done.stdout.split()) & OF_TRACES == imported
