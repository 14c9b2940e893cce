"""A program's `main` in this process: fast, and with the exit codes of a process."""

import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import attrs
import pytest

from payments_service import logs
from payments_service.cli import main


@attrs.frozen
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Inside = Callable[..., Answer]


def answer_of(
    program: Callable[[], None], *words: str | Path, env: Mapping[str, str]
) -> Answer:
    """Run a program's `main` with these arguments and no other variables of ours.

    For the effect and the output of a command; other tests prove that it works as a
    process.
    """
    # As Python opens them.
    out, err = _stream("strict"), _stream("backslashreplace")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PAYMENTS_")]:
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["payments", *map(str, words)])
        # It would replace the signal handlers of the test process.
        patch.setattr(logs, "configure", str)
        with (
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            program()
    code = ended.value.code
    assert isinstance(code, int)
    return Answer(code, _text_of(out), _text_of(err))


def _stream(errors: str) -> io.TextIOWrapper:
    # Some commands write bytes.
    return io.TextIOWrapper(
        io.BytesIO(), encoding="utf-8", errors=errors, write_through=True
    )


def _text_of(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@pytest.fixture
def inside() -> Inside:
    """Run the service's `main` in this process: for tables of many refusals."""

    def run(*words: str | Path, env: Mapping[str, str]) -> Answer:
        return answer_of(main, *words, env=env)

    return run
