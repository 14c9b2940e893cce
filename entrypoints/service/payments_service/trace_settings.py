"""Checks the OTEL_ variables if traces are on; without importing OpenTelemetry.

The SDK itself logs a value that it cannot read, and continues with a default that may
sample and send everything. Here it is refused before anything starts, and the variable
is named; no reason quotes a value, which may contain a token.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from payments_service.settings import Settings, SettingsError

SAMPLER: Final = "OTEL_TRACES_SAMPLER"
SAMPLER_ARG: Final = "OTEL_TRACES_SAMPLER_ARG"
SAMPLERS: Final = (
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
)
SAMPLER_USUAL: Final = "parentbased_traceidratio"
# For what begins a trace here: a request without a traceparent, a job, a delivery.
SAMPLED_RATIO: Final = 0.1
# The packages of the extra that this release imports.
_PACKAGES: Final = (
    *("opentelemetry.context", "opentelemetry.sdk"),
    *("opentelemetry.exporter.otlp.proto.http", "requests"),
)
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_TRACES_PREFIX: Final = "OTEL_EXPORTER_OTLP_TRACES_"
_QUEUE: Final = ("OTEL_BSP_MAX_QUEUE_SIZE", 2_048)
_BATCH: Final = ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
_WHOLE_MAX: Final = 2**31 - 1
_TIMEOUT_S_MAX: Final = 600

_Read = Callable[[str], object]


def require_traceable(settings: Settings, env: Mapping[str, str]) -> None:
    """Check that a process can send traces, if they are on.

    Raises:
        SettingsError: the extra is not installed, or a variable is invalid or asks for
            something that this release does not support.
    """
    if settings.traces == "off":
        return
    if not all(map(_is_installed, _PACKAGES)):
        reason = "needs the extra: install payments-service[otel]"
        raise SettingsError({"PAYMENTS_TRACES": reason})
    problems = dict(_problems({it: text for it, text in env.items() if text}))
    if problems:
        raise SettingsError(problems)


def sampler_named(env: Mapping[str, str]) -> str:
    """Return one of `SAMPLERS`, if the variable is valid."""
    return env.get(SAMPLER, "").strip().lower() or SAMPLER_USUAL


def sampled_ratio(env: Mapping[str, str]) -> float:
    """Return the share of traces that a ratio sampler samples: 0 to 1.

    Raises:
        ValueError: it is not a ratio.
    """
    return _ratio(env.get(SAMPLER_ARG, "").strip() or str(SAMPLED_RATIO))


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _problems(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each invalid variable, and why; an empty one counts as unset."""
    for name, read in _READ.items():
        if name in env:
            try:
                read(env[name])
            except ValueError as error:
                yield name, str(error)
    yield from _queue_problems(env)
    yield from _certificate_problems(env)


def _queue_problems(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    (queue, queue_usual), (batch, batch_usual) = _QUEUE, _BATCH
    try:
        most = _whole(env.get(queue, str(queue_usual)))
        at_once = _whole(env.get(batch, str(batch_usual)))
    except ValueError:
        # It was reported already.
        return
    if at_once > most:
        reason = f"must not be less than {batch}, which is {batch_usual} unless set"
        yield queue, reason


def _certificate_problems(env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    # Imported here: rarely needed, and not small.
    import ssl  # noqa: PLC0415

    authority = _of_traces(env, "CERTIFICATE")
    own = _of_traces(env, "CLIENT_CERTIFICATE")
    key = _of_traces(env, "CLIENT_KEY")
    if key and not own:
        yield key, f"needs {_PREFIX}CLIENT_CERTIFICATE"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in filter(None, (authority, own)):
        path = env[name]
        try:
            if name == own:
                # For an encrypted key the passphrase would be prompted for at the
                # terminal.
                context.load_cert_chain(path, env[key] if key else None, lambda: "")
            elif Path(path).is_dir():
                context.load_verify_locations(capath=path)
            else:
                context.load_verify_locations(cafile=path)
        except ssl.SSLError:
            yield name, "its file holds nothing that TLS can use"
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            yield name, f"its file cannot be read: {reason}"


def _of_traces(env: Mapping[str, str], rest: str) -> str | None:
    """Return which of the two variables is read; the one for traces comes first."""
    names = (f"{_TRACES_PREFIX}{rest}", f"{_PREFIX}{rest}")
    return next((it for it in names if it in env), None)


def _only(only: str) -> _Read:
    def read(text: str) -> None:
        if text != only:
            msg = f"this release sends traces by {only} alone"
            raise ValueError(msg)

    return read


def _one_of(*words: str) -> _Read:
    def read(text: str) -> None:
        if text.strip().lower() not in words:
            msg = f"must be one of {', '.join(words)}"
            raise ValueError(msg)

    return read


def _not_disabled(text: str) -> None:
    if text.strip().lower() == "true":
        msg = "nothing would be traced: set PAYMENTS_TRACES to off instead"
        raise ValueError(msg)


def _not_provided(_: str) -> None:
    msg = "this release has no credential providers: see OTEL_EXPORTER_OTLP_HEADERS"
    raise ValueError(msg)


def _ratio(text: str) -> float:
    return _number(text, 0, 1, "must be a number from 0 to 1, with a dot: 0.1")


def _timeout(text: str) -> float:
    wrong = f"must be a number of seconds from 0.001 to {_TIMEOUT_S_MAX}"
    return _number(text, 0.001, _TIMEOUT_S_MAX, wrong)


def _number(text: str, least: float, most: float, wrong: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(wrong) from None
    # Both are false for "nan".
    if not least <= number <= most:
        raise ValueError(wrong)
    return number


def _whole(text: str, least: int = 1) -> int:
    text = text.strip()
    if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= _WHOLE_MAX:
        msg = f"must be a whole number from {least} to {_WHOLE_MAX}"
        raise ValueError(msg)
    return int(text)


def _limit(text: str) -> int:
    return _whole(text, 0)


def _address(text: str) -> None:
    try:
        parts = urlsplit(text)
        is_right = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    else:
        is_right = is_right and parts.scheme in {"http", "https"}
    if not is_right or re.search(r"[\s?#]", text):
        msg = "must be an address such as http://collector:4318, with http or https"
        raise ValueError(msg)


def _headers(text: str) -> None:
    if not all(re.match(r"\s*[^\s=]+\s*=", it) for it in text.split(",") if it.strip()):
        msg = "must be a list such as name=value,name=value"
        raise ValueError(msg)


_SHARED: Final[Mapping[str, _Read]] = {
    "PROTOCOL": _only("http/protobuf"),
    "ENDPOINT": _address,
    "HEADERS": _headers,
    "TIMEOUT": _timeout,
    "COMPRESSION": _one_of("none", "gzip", "deflate"),
}
_LIMITS: Final = (
    *("OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
    *("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
    *("OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"),
    *("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"),
)
_READ: Final[Mapping[str, _Read]] = {
    "OTEL_SDK_DISABLED": _not_disabled,
    "OTEL_TRACES_EXPORTER": _only("otlp"),
    SAMPLER: _one_of(*SAMPLERS),
    SAMPLER_ARG: _ratio,
    **{f"{_PREFIX}{rest}": read for rest, read in _SHARED.items()},
    **{f"{_TRACES_PREFIX}{rest}": read for rest, read in _SHARED.items()},
    **dict.fromkeys(
        (
            "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
            "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
        ),
        _not_provided,
    ),
    **dict.fromkeys(
        (
            *(_QUEUE[0], _BATCH[0]),
            *("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT"),
        ),
        _whole,
    ),
    **dict.fromkeys(_LIMITS, _limit),
}
