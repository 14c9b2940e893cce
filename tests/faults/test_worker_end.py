"""SIGTERM ends a worker, whichever peer does not answer."""

import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import anyio
import attrs
import httpx
import pytest
from anyio.abc import SocketStream
from typing_extensions import override

from faults.deliveries import client, until
from support import databases
from support.profiles import only_in_prove
from support.service import World, free_port

pytestmark = [pytest.mark.anyio, only_in_prove]

ENDS_WITHIN_S: Final = 30.0
_JOBS: Final = """
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead)
select 'subscription', 'sub_' || n, 'a test', now(), 1, 0, 0, false
from generate_series(1, 20) as n
"""


@attrs.frozen
class WorkingWorld(World):
    """The address of a gateway that may not answer."""

    gateway: str = attrs.field(kw_only=True)

    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        return super().env(port, ops_port) | {
            "PAYMENTS_STRIPE_API_BASE": self.gateway,
            "PAYMENTS_STRIPE_API_KEY": f"sk_test_{secrets.token_hex(12)}",
        }


@attrs.frozen
class Working:
    process: "subprocess.Popen[bytes]"
    ops_url: str
    log: Path

    async def lives(self) -> bool:
        async with client() as http:
            try:
                return (await http.get(f"{self.ops_url}/livez")).is_success
            except httpx.TransportError:
                assert self.process.poll() is None
                return False

    async def assert_ends(self) -> None:
        """Assert that it ends in time, well, and without an error's traceback."""
        self.process.send_signal(signal.SIGTERM)
        wait = partial(self.process.wait, ENDS_WITHIN_S)
        assert await anyio.to_thread.run_sync(wait) == 0
        said = self.log.read_text()
        assert "Traceback" not in said
        assert "was never retrieved" not in said


@contextmanager
def working(world: World, log: Path) -> Iterator[Working]:
    ops_port = free_port()
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "payments_service", "worker"],
            env=world.env(free_port(), ops_port),
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Working(process, f"http://127.0.0.1:{ops_port}", log)
    finally:
        process.kill()
        process.wait()


@contextmanager
def hanging_gateway() -> Iterator[socket.socket]:
    """Accept connections, and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


async def called(listener: socket.socket) -> socket.socket:
    listener.settimeout(ENDS_WITHIN_S)
    connection, _ = await anyio.to_thread.run_sync(listener.accept)
    return connection


async def test_f07_a_worker_ends_though_the_gateway_hangs(
    database_url: str, tmp_path: Path
) -> None:
    """
    It is in the middle of calls without an answer.
    """
    await databases.execute(database_url, _JOBS)
    with hanging_gateway() as listener:
        world = WorkingWorld(database_url, gateway=url_of(listener))
        with working(world, tmp_path / "log") as worker:
            await until(worker.lives)
            with await called(listener):
                await worker.assert_ends()


@attrs.define
class Proxy:
    """
    A proxy between a worker and its database: it may fall silent, with all connections
    open.
    """

    host: str
    port: int
    silent: anyio.Event = attrs.field(factory=anyio.Event)

    async def connect(self, worker: SocketStream) -> None:
        async with worker:
            if self.silent.is_set():
                await anyio.sleep_forever()
            database = await anyio.connect_tcp(self.host, self.port)
            async with database, anyio.create_task_group() as tasks:
                tasks.start_soon(self._pass_on, worker, database)
                tasks.start_soon(self._pass_on, database, worker)

    async def _pass_on(self, source: SocketStream, target: SocketStream) -> None:
        try:
            async for data in source:
                if self.silent.is_set():
                    await anyio.sleep_forever()
                await target.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return
        await target.aclose()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[tuple[Proxy, str]]:
    parts = urlsplit(dsn)
    proxy = Proxy(parts.hostname or "127.0.0.1", parts.port or 5432)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610  # no SQL
    where = f"{parts.username}:{parts.password}@127.0.0.1:{port}"
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy.connect)
        yield proxy, urlunsplit(parts._replace(netloc=where))
        tasks.cancel_scope.cancel()


async def test_f07_a_worker_ends_though_the_database_is_silent(
    database_url: str, tmp_path: Path
) -> None:
    """
    In the middle of its work the database stops answering, and so does the gateway; no
    connection is closed.
    """
    await databases.execute(database_url, _JOBS)
    async with proxied(database_url) as (proxy, dsn):
        with hanging_gateway() as listener:
            world = WorkingWorld(dsn, gateway=url_of(listener))
            with working(world, tmp_path / "log") as worker:
                await until(worker.lives)
                with await called(listener):
                    proxy.silent.set()
                    await worker.assert_ends()
