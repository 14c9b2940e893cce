"""A service whose complete output, at level debug, is written to a file."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx

from support.commands import COMMAND, POLL_S, START_S_MAX
from support.plain_http import TLS
from support.service import ServiceProcess, World, free_port


@attrs.frozen
class Written:
    service: ServiceProcess
    path: Path

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().split("\n")[:-1]]


@contextmanager
def writing(world: World, path: Path) -> Iterator[Written]:
    """Lend a service whose complete output is written to a file."""
    port, ops_port = free_port(), free_port()
    with path.open("wb") as file:
        process = subprocess.Popen(
            [*COMMAND, "serve"],
            env={**world.env(port, ops_port), "PAYMENTS_LOG_LEVEL": "debug"},
            stdout=file,
            stderr=file,
        )
    service = ServiceProcess(world, port, ops_port, process)
    try:
        deadline = time.monotonic() + START_S_MAX
        while not is_ready(service):
            assert process.poll() is None
            assert time.monotonic() < deadline
            threading.Event().wait(POLL_S)
        yield Written(service, path)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_S_MAX) == 0


def is_ready(service: ServiceProcess) -> bool:
    try:
        return httpx.get(f"{service.ops_url}/readyz", timeout=5, verify=TLS).is_success
    except httpx.HTTPError:
        return False
