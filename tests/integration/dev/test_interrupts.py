"""Ctrl-C ends it cleanly at any time."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from support.dev_service import (
    COMMAND,
    DevProcess,
    begin,
    begin_by,
    processes_left,
    running,
    wait_for,
)

ATTEND: Final = Path(__file__).parents[3] / ".ci" / "attend"
TROUBLE: Final = ("Traceback", "Fatal", "Exception ignored", "a bug")


def assert_quiet(dev: DevProcess) -> None:
    said = dev.errors.read_text() + dev.output.read_text()
    assert [word for word in TROUBLE if word in said] == []
    assert processes_left(dev.folder) == []
    assert not (dev.folder / "dev.json").exists()


def await_step(dev: DevProcess, step: str) -> None:
    wait_for(lambda: step in dev.steps or dev.process.poll() is not None)


@pytest.mark.parametrize(
    "step", ["Postgres", "schema", "sandbox", "the service", "ready"]
)
def test_f07_ctrl_c_ends_it_at_any_moment(tmp_path: Path, step: str) -> None:
    """
    Pressed twice: it says that it ends, no process is left, and there is no traceback.
    """
    dev = begin(tmp_path / ".payments")
    await_step(dev, step)
    os.killpg(dev.process.pid, signal.SIGINT)
    with suppress(ProcessLookupError):
        os.killpg(dev.process.pid, signal.SIGINT)

    assert dev.process.wait(60) == 0
    assert dev.steps.endswith("ended")
    assert dev.messages == ""
    assert_quiet(dev)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_f07_so_does_the_end_of_its_terminal(
    database_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    """
    SIGTERM too.
    """
    with running(tmp_path / ".payments", PAYMENTS_DATABASE_URL=database_url) as dev:
        os.killpg(dev.process.pid, number)

        assert dev.process.wait(60) == 0
    assert dev.messages == ""
    assert_quiet(dev)


def test_f07_ctrl_c_ends_a_demo_after_what_it_does(tmp_path: Path) -> None:
    """
    The year is not over; the lines that were printed stay.
    """
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    dev = begin(tmp_path / ".payments", "--demo", TMPDIR=str(temporary))
    wait_for(lambda: "renewal 2" in dev.output.read_text())
    os.killpg(dev.process.pid, signal.SIGINT)

    assert dev.process.wait(60) == 0
    assert "a month later" not in dev.output.read_text()
    assert dev.messages == ""
    assert list(temporary.iterdir()) == []
    assert_quiet(dev)


def test_f07_make_keeps_ctrl_c_from_a_python_that_only_starts(tmp_path: Path) -> None:
    """
    Before a line of ours runs: the process is held in Python's first import.
    """
    held = tmp_path / "held"
    os.mkfifo(held)
    (tmp_path / "sitecustomize.py").write_text(f"open({str(held)!r}).read()\n")
    attended = ["sh", str(ATTEND), *COMMAND]
    dev = begin_by(attended, tmp_path / ".payments", PYTHONPATH=str(tmp_path))
    with held.open("w"):
        os.killpg(dev.process.pid, signal.SIGINT)

        assert dev.process.wait(60) == 0
    assert (dev.errors.read_text(), dev.output.read_text()) == ("", "")
    assert_quiet(dev)


def test_f07_make_hears_ctrl_c_as_soon_as_there_is_a_process(tmp_path: Path) -> None:
    """
    Or a moment later: by then it may have printed what it does.
    """
    dev = begin_by(["sh", str(ATTEND), *COMMAND], tmp_path / ".payments")
    children = Path(f"/proc/{dev.process.pid}/task/{dev.process.pid}/children")
    wait_for(lambda: children.read_text() != "")
    os.killpg(dev.process.pid, signal.SIGINT)

    assert dev.process.wait(60) == 0
    assert (dev.messages, dev.output.read_text()) == ("", "")
    assert_quiet(dev)
