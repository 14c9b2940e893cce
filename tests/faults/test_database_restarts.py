"""Postgres stops and restarts, again and again, under load."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import anyio
import attrs
import httpx
import pytest

from faults.load import Load
from faults.payers import assert_theirs_counted_once
from payments_adapters.postgres import schema
from payments_service.dev.postgres import EmbeddedPostgres, embedded_postgres
from support import fleet
from support.fleet import Fleet, Serving, Worker
from support.plain_http import TLS
from support.profiles import only_in_prove
from support.service import World

pytestmark = [pytest.mark.anyio, only_in_prove]

# Fast: sessions are ended; immediate: as after a crash; killed: without notice.
ENDS: Final = {"fast": None, "immediate": signal.SIGQUIT, "killed": signal.SIGKILL}
RESTARTS: Final = 12
# So many requests are answered between two restarts.
BETWEEN: Final = 300
# A worker may have given the positions before the first restart.
PAGES: Final = 2
BACK_WITHIN_S: Final = 5.0
GIVEN_UP_S: Final = 30.0


@attrs.define
class Server:
    """A server that keeps its data and its port."""

    folder: Path
    port: int
    running: EmbeddedPostgres = attrs.field(init=False)
    _stack: ExitStack = attrs.field(factory=ExitStack)

    def start(self) -> None:
        self.running = self._stack.enter_context(
            embedded_postgres(self.folder, port=self.port, durable=True)
        )

    def end(self, by: signal.Signals | None = None) -> None:
        if by is not None:
            os.kill(self.running.pid, by)
            self.running.process.wait()
        self._stack.close()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    [port] = fleet.steady_ports(1)
    server = Server(folder, port)
    server.start()
    try:
        yield server
    finally:
        server.end()


def reason_against(one: Serving | Worker) -> str | None:
    """Return why a process, which must be alive, is not ready; None if it is."""
    url = f"http://127.0.0.1:{one.ops_port}"
    assert httpx.get(f"{url}/livez", timeout=30, verify=TLS).status_code == 200
    answer = httpx.get(f"{url}/readyz", timeout=30, verify=TLS)
    reason: str | None = answer.json().get("reason")
    return reason


def back_after_s(running: Fleet, load: Load, begin_s: float) -> float:
    """Return how long after a time all are ready, requests answered, work done."""
    pages = load.pages + PAGES
    while True:
        against = [reason_against(it) for it in running.all]
        now_s = time.monotonic()
        if load.taken_s > begin_s and load.pages >= pages and not any(against):
            return now_s - begin_s
        assert now_s < begin_s + GIVEN_UP_S, (against, load.failures[-1:])


async def test_f11_f12_f13_each_restart_is_outlived_by_all_processes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """
    Webhooks, reads and readers of the feed are answered 503 meanwhile, and nothing
    else; soon after the restart they succeed again. Nothing that was acknowledged is
    lost, nothing counts twice, and no process ended.
    """
    back_s: list[float] = []
    with serving(tmp_path / "postgres") as server:
        world = World(server.running.dsn)
        await schema.upgrade(world.database_url)
        with fleet.running(world, serving=1, workers=1) as running:
            load = Load(world, running.serving[0].port)
            pids = running.pids

            def restart() -> None:
                for by in islice(cycle(ENDS.values()), RESTARTS):
                    until = load.answers.total() + BETWEEN
                    while load.answers.total() < until:
                        assert reason_against(running.serving[0]) is None
                    server.end(by)
                    server.start()
                    back_s.append(back_after_s(running, load, time.monotonic()))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(load.run)
                try:
                    await anyio.to_thread.run_sync(restart)
                finally:
                    load.stopped = True
            assert running.pids == pids
        record_property(
            "figure",
            f"{RESTARTS} restarts of Postgres: {load.answers.total()} requests "
            f"answered, {len(load.failures)} refused, back within {max(back_s):.1f} s",
        )
        assert {it.status for it in load.failures} == {503}, load.failures
        assert max(back_s) < BACK_WITHIN_S
        await assert_theirs_counted_once(world.database_url, load.everybody)
