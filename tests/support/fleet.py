"""Processes of one deployment that end and start again, one at a time."""

import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import attrs

from support import service
from support.service import ServiceProcess, World, free_port

# As in the manifests, minus the time in which a cluster notices.
ENDS_WITHIN_S: Final = 35.0
# Several start at once, under load on few cores.
STARTS_WITHIN_S: Final = 120.0
_STEADY_PORTS: Final = range(15_000, 32_000)


@attrs.define
class Worker:
    """`payments worker` as a process."""

    world: World
    ops_port: int
    process: "subprocess.Popen[bytes]" = attrs.field(init=False)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "payments_service", "worker"],
            env=self.world.env(free_port(), self.ops_port),
        )


@attrs.define
class Serving:
    """`payments serve` as a process, always at the same ports."""

    world: World
    port: int
    ops_port: int
    service: ServiceProcess = attrs.field(init=False)

    def start(self) -> None:
        """Start it, and return once it is ready."""
        self.service = service.start(
            self.world, self.port, ops_port=self.ops_port, within_s=STARTS_WITHIN_S
        )

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        return self.service.process


@attrs.define
class Fleet:
    """Serving processes and workers."""

    serving: list[Serving]
    workers: list[Worker]

    @property
    def all(self) -> list[Serving | Worker]:
        return [*self.serving, *self.workers]

    @property
    def ports(self) -> list[tuple[int, int]]:
        return [(it.port, it.ops_port) for it in self.serving]

    @property
    def pids(self) -> list[int]:
        """Return the ids of the processes that run; raise if one has ended."""
        assert [it.process.poll() for it in self.all] == [None] * len(self.all)
        return [it.process.pid for it in self.all]

    @staticmethod
    def restart(one: Serving | Worker) -> None:
        """End a process as a cluster does, and start another in its place."""
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(ENDS_WITHIN_S) == 0
        one.start()


@contextmanager
def running(world: World, *, serving: int, workers: int) -> Iterator[Fleet]:
    """Lend processes that are ready; all running ones must end well."""
    ports = iter(steady_ports(2 * serving + workers))
    fleet = Fleet(
        [Serving(world, next(ports), next(ports)) for _ in range(serving)],
        [Worker(world, next(ports)) for _ in range(workers)],
    )
    with ExitStack() as stack, ThreadPoolExecutor(len(fleet.all)) as threads:
        for one in fleet.all:
            stack.callback(_kill, one)
        list(threads.map(lambda it: it.start(), fleet.all))
        yield fleet
        for one in fleet.all:
            one.process.send_signal(signal.SIGTERM)
        assert [it.process.wait(ENDS_WITHIN_S) for it in fleet.all] == [0] * len(
            fleet.all
        )


def _kill(one: Serving | Worker) -> None:
    if hasattr(one, "process"):
        one.process.kill()
        one.process.wait()


def steady_ports(count: int) -> list[int]:
    """Return ports that no connection takes while their process is down.

    The ports of connections are above.
    """
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(_STEADY_PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            found += [port] if port not in found else []
    return found
