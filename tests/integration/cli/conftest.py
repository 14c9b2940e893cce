"""A development service for the commands of a module, and environments without one."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import databases
from support.commands import COMMAND, POLL_S, START_S_MAX, Dev


@pytest.fixture(scope="module")
def dev(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dev]:
    """One development service for the module; each test has ids of its own."""
    folder = tmp_path_factory.mktemp("dev") / ".payments"
    env = {"PAYMENTS_DEV_DIR": str(folder)}
    with databases.copy_of(postgres, template) as url:
        process = subprocess.Popen(
            [*COMMAND, "dev"],
            env={
                "PATH": os.environ["PATH"],
                "PAYMENTS_DATABASE_URL": url,
                "PAYMENTS_PORT": "0",
                "PAYMENTS_OPS_PORT": "0",
                **env,
            },
            stdout=subprocess.DEVNULL,
        )
        try:
            await_file(folder / "dev.json", process)
            yield Dev(env, folder)
        finally:
            process.terminate()
            process.wait(START_S_MAX)


def await_file(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_S_MAX
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        threading.Event().wait(POLL_S)


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which no development service runs."""
    return {"PAYMENTS_DEV_DIR": str(tmp_path / "no-service")}
