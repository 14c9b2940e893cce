"""Valid OTEL_ variables: what the SDK would ignore is refused."""

import sys
from pathlib import Path
from typing import Final

import pytest

from payments_service.settings import Settings, SettingsError
from payments_service.trace_settings import (
    require_traceable,
    sampled_ratio,
    sampler_named,
)
from support.service import World
from support.tls import server_and_client

CANARY: Final = "canary"
OTLP: Final = "OTEL_EXPORTER_OTLP_"


def settings(traces: str) -> Settings:
    env = World("postgresql://nobody@127.0.0.1:1/no").env(0, 0)
    return Settings.from_env({**env, "PAYMENTS_TRACES": traces})


def refused(env: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsError) as raised:
        require_traceable(settings("on"), env)
    assert CANARY not in str(raised.value)
    return raised.value.problems


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("OTEL_TRACES_EXPORTER", "console", "by otlp alone"),
        (f"{OTLP}PROTOCOL", "grpc", "by http/protobuf alone"),
        (f"{OTLP}TRACES_PROTOCOL", "http/json", "by http/protobuf alone"),
        ("OTEL_SDK_DISABLED", " True", "set PAYMENTS_TRACES to off"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "one of always_on, "),
        ("OTEL_TRACES_SAMPLER_ARG", "1,0", "a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "ten", "a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "10", "a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "-0.1", "a number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "a number from 0 to 1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "abc", "a whole number from 1"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "1.5", "a whole number from 1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", "a whole number from 1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "511", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "0", "a whole number from 1"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "-1", "a whole number from 0"),
        (f"{OTLP}TIMEOUT", "5s", "a number of seconds"),
        (f"{OTLP}TRACES_TIMEOUT", "10000", "a number of seconds"),
        (f"{OTLP}COMPRESSION", "zip", "one of none, gzip, deflate"),
        (f"{OTLP}HEADERS", CANARY, "a list such as"),
        (f"{OTLP}ENDPOINT", "localhost:4318", "an address such as"),
        (f"{OTLP}ENDPOINT", f"ftp://{CANARY}", "an address such as"),
        (f"{OTLP}ENDPOINT", "http://", "an address such as"),
        (f"{OTLP}ENDPOINT", "http://a:99999", "an address such as"),
        (f"{OTLP}ENDPOINT", "http://a\n", "an address such as"),
        (f"{OTLP}TRACES_ENDPOINT", "a", "an address such as"),
        (f"{OTLP}CERTIFICATE", f"/nowhere/{CANARY}", "No such file"),
        (f"{OTLP}TRACES_CERTIFICATE", __file__, "nothing that TLS can use"),
        (f"{OTLP}CLIENT_CERTIFICATE", "/nowhere", "No such file"),
        (f"{OTLP}CLIENT_KEY", "/nowhere", f"needs {OTLP}CLIENT_CERTIFICATE"),
        (
            "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
            "gcp",
            "no credential providers",
        ),
    ],
)
def test_what_the_sdk_would_pass_over_is_refused_by_its_name(
    name: str, value: str, reason: str
) -> None:
    """
    And with the reason; the value, which may hold a token, is in no reason.
    """
    [(variable, why)] = refused({name: value}).items()

    assert variable == name
    assert reason in why


def test_all_that_is_wrong_is_named_at_once() -> None:
    """
    As for our own settings.
    """
    env = {"OTEL_TRACES_SAMPLER": "x", f"{OTLP}TIMEOUT": "x", f"{OTLP}PROTOCOL": "x"}

    assert set(refused(env)) == set(env)


@pytest.mark.parametrize(
    "env",
    [
        {},
        dict.fromkeys(("OTEL_TRACES_SAMPLER", f"{OTLP}ENDPOINT", f"{OTLP}TIMEOUT"), ""),
        {
            "OTEL_SDK_DISABLED": "false",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_TRACES_SAMPLER": "ParentBased_TraceIdRatio",
            "OTEL_TRACES_SAMPLER_ARG": "1e-3",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "OTEL_BSP_MAX_QUEUE_SIZE": "512",
            f"{OTLP}PROTOCOL": "http/protobuf",
            f"{OTLP}ENDPOINT": "https://user:word@[::1]:4318/otlp",
            f"{OTLP}HEADERS": "authorization=Bearer%20a, b=c,",
            f"{OTLP}TIMEOUT": "0.1",
            f"{OTLP}COMPRESSION": "gzip",
        },
    ],
)
def test_what_is_right_or_empty_is_taken(env: dict[str, str]) -> None:
    """
    Empty is the same as not given, as in OpenTelemetry.
    """
    require_traceable(settings("on"), env)


def test_where_traces_are_off_no_variable_matters() -> None:
    """
    They may be meant for other programs.
    """
    require_traceable(settings("off"), {f"{OTLP}PROTOCOL": "grpc"})


@pytest.mark.parametrize("package", ["opentelemetry.sdk", "requests"])
def test_without_the_extra_it_is_said_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """
    If traces are switched on; otherwise the extra is not needed.
    """
    monkeypatch.setitem(sys.modules, package, None)

    assert "payments-service[otel]" in refused({})["PAYMENTS_TRACES"]
    require_traceable(settings("off"), {})


def test_a_sampler_has_its_usual_name_and_ratio_unless_they_are_given() -> None:
    """
    Each separately.
    """
    assert (sampler_named({}), sampled_ratio({})) == ("parentbased_traceidratio", 0.1)
    given = {"OTEL_TRACES_SAMPLER": "TraceIdRatio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    assert (sampler_named(given), sampled_ratio(given)) == ("traceidratio", 0.5)


def test_certificates_that_can_be_used_are_taken(tmp_path: Path) -> None:
    """
    A file of a private authority or a directory; a client certificate and its key.
    """
    server_and_client("collector", tmp_path)
    own, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")

    for env in (
        {f"{OTLP}CERTIFICATE": str(tmp_path)},
        {f"{OTLP}CERTIFICATE": own, f"{OTLP}CLIENT_CERTIFICATE": own}
        | {f"{OTLP}CLIENT_KEY": key},
        # That of traces takes precedence.
        {f"{OTLP}CERTIFICATE": "/nowhere", f"{OTLP}TRACES_CERTIFICATE": own},
    ):
        require_traceable(settings("on"), env)
    without_key = {f"{OTLP}CLIENT_CERTIFICATE": own}
    assert "TLS" in refused(without_key)[f"{OTLP}CLIENT_CERTIFICATE"]
