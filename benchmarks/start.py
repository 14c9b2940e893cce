"""The time until a process is ready, and its memory then.

Compared with importing the application, in turns. Bytecode exists, as in the image.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Final

import httpx

from benchmarks.deployment import Bench

IMPORT: Final = "import payments_service.http.app"
READY_S_MAX: Final = 60.0
IDLE_S: Final = 2.0


def main(bench: Bench, port: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as kept:
        env = {
            **os.environ,
            **bench.service_env(port),
            "PYTHONPYCACHEPREFIX": kept,
            "PYTHONDONTWRITEBYTECODE": "",
        }
        started(env)
        pairs = [(imported_s(env), started(env)) for _ in range(rounds)]
    print(
        f"{'cold start to ready | importing the application':<48}"
        f"  {median(it['ready_s'] for _, it in pairs):.2f}"
        f" of {median(it for it, _ in pairs):.2f} s"
        f"  x {median(it['ready_s'] / alone for alone, it in pairs):.2f}"
        f"  idle {median(it['idle_mb'] for _, it in pairs):.0f} MB",
        flush=True,
    )


def imported_s(env: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORT], env=env, check=True)  # noqa: S603  # our own
    return time.perf_counter() - began


def started(env: Mapping[str, str]) -> dict[str, float]:
    """Start the service, wait until it is ready and then idle, and end it."""
    began = time.perf_counter()
    process = subprocess.Popen(  # our own
        [sys.executable, "-m", "payments_service", "serve"], env=env
    )
    try:
        _until_ready(int(env["PAYMENTS_OPS_PORT"]), began)
        ready_s = time.perf_counter() - began
        time.sleep(IDLE_S)
        return {"ready_s": ready_s, "idle_mb": rss_mb(process.pid)}
    finally:
        process.terminate()
        process.wait()


def _until_ready(port: int, began: float) -> None:
    with httpx.Client() as ops:
        while time.perf_counter() - began < READY_S_MAX:
            try:
                if ops.get(f"http://127.0.0.1:{port}/readyz").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.005)
    raise TimeoutError(port)


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (it for it in status.splitlines() if it.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
