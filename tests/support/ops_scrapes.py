"""A worker as a process, and the metrics at processes' ops ports."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from support.plain_http import TLS
from support.service import World, free_port

START_S_MAX = 30.0
CONNECTS_MAX = 8


@attrs.frozen
class WorkerProcess:
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def worker_running(world: World) -> Iterator[WorkerProcess]:
    """Run a worker, which may not answer yet."""
    ops_port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "payments_service", "worker"],
        env=world.env(free_port(), ops_port),
    )
    try:
        yield WorkerProcess(ops_port, process)
    finally:
        process.terminate()
        process.wait(START_S_MAX)


def scraped(url: str) -> list[Metric]:
    """Return a process's metrics; one that starts is waited for."""
    # The pauses between attempts grow.
    transport = httpx.HTTPTransport(retries=CONNECTS_MAX, verify=TLS)
    with httpx.Client(transport=transport, timeout=START_S_MAX) as client:
        text = client.get(f"{url}/metrics").raise_for_status().text
    return list(text_string_to_metric_families(text))
