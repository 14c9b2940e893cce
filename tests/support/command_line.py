"""The program's `main` in this process: quick, and with the exit codes of a process."""

import json
import os
import sys
from collections.abc import Callable, Mapping
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


@pytest.fixture
def inside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    """Run the program's `main` in this process: for tables of many refusals."""

    def run(*words: str | Path, env: Mapping[str, str]) -> Answer:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("PAYMENTS_")]:
                patch.delenv(name)
            for name, value in env.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["payments", *map(str, words)])
            # It would take the handlers of whoever tests.
            patch.setattr(logs, "configure", str)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        code = ended.value.code
        assert isinstance(code, int)
        return Answer(code, *capsys.readouterr())

    return run
