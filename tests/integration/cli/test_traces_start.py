"""What prevents the start of a traced service; the earlier check reports the same."""

import os
import sys
from typing import Final

import pytest

from support.command_line import Inside
from support.service import World

WRONG: Final = {
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    "OTEL_TRACES_EXPORTER": "console",
    "OTEL_TRACES_SAMPLER": "sometimes",
}


@pytest.fixture
def traced(nowhere: dict[str, str]) -> dict[str, str]:
    """Return the environment of a traced service whose database does not answer."""
    own = World("postgresql://nobody@127.0.0.1:1/no").env(0, 0)
    return {**nowhere, **own, "PAYMENTS_TRACES": "on"}


@pytest.mark.parametrize(
    "words", [["serve"], ["worker"], ["config", "check"], ["doctor", "--start"]]
)
def test_what_a_start_refuses_is_refused_before_it(
    inside: Inside,
    traced: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
) -> None:
    """
    With its name and its reason; nothing if traces are off.
    """
    for name in [it for it in os.environ if it.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    wrong = inside(*words, env={**traced, **WRONG})
    off = inside(*words, env={**traced, **WRONG, "PAYMENTS_TRACES": "off"})
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    bare = inside(*words, env=traced)

    code = 7 if words[0] == "doctor" else 4
    said = wrong.err + wrong.out
    assert wrong.code == code
    assert all(f"{name}: " in said for name in WRONG)
    assert "OTEL_" not in off.err + off.out
    assert bare.code == code
    assert "PAYMENTS_TRACES: needs the extra" in bare.err + bare.out
