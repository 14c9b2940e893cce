"""SIGTERM: every accepted request gets an answer, and the answer is true."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import anyio
import attrs
import httpx
import pytest
from anyio.abc import TaskStatus
from typing_extensions import override

from faults.deliveries import DEADLINE_S, Event, client, post, until
from faults.gates import closed_gate
from faults.payers import (
    assert_each_counted_once,
    kept_ids,
    payers,
    register,
)
from payments_adapters.postgres.store import PostgresStore
from payments_core.caller import FEED_SCOPE
from support.profiles import only_in_prove
from support.service import PREFIX, ServiceProcess, World, start

pytestmark = pytest.mark.anyio

USERS: Final = 4
MONTHS: Final = 25
DRAIN_S: Final = 2
# A process that waits for nothing ends after 0.3 s; the gate holds for 5.
STAYS_S: Final = 1.0
# Everything in a test is done by then.
LONG_S: Final = 300
READ_BYTES: Final = 65_536


@attrs.frozen
class DrainingWorld(World):
    """With a balancer that needs a while to take the process out."""

    drain_s: int = DRAIN_S

    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        env = super().env(port, ops_port)
        return env | {"PAYMENTS_DRAIN_S": str(self.drain_s)}


@contextmanager
def started(world: World) -> Iterator[ServiceProcess]:
    service = start(world)
    try:
        yield service
    finally:
        service.kill()


async def exit_code(service: ServiceProcess, within_s: float = DEADLINE_S) -> int:
    return await anyio.to_thread.run_sync(service.process.wait, within_s)


async def is_closed(service: ServiceProcess) -> bool:
    try:
        stream = await anyio.connect_tcp("127.0.0.1", service.port)
    except OSError:
        return True
    await stream.aclose()
    return False


@attrs.define
class Crowd:
    """Sends events all at once, each on a connection of its own."""

    service: ServiceProcess
    answers: list[httpx.Response] = attrs.field(factory=list)
    _sent: int = 0

    async def send(
        self,
        events: list[Event],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Signal when every request is written; return when all are answered."""

        async def trace(name: str, _: object) -> None:
            self._sent += name == "http11.send_request_body.complete"
            if self._sent == len(events) and name.endswith("body.complete"):
                told.set()

        async def send(event: Event) -> None:
            self.answers.append(await post(http, self.service, event, trace=trace))

        told = anyio.Event()
        async with client() as http, anyio.create_task_group() as senders:
            for event in events:
                senders.start_soon(send, event)
            await told.wait()
            task_status.started()


async def test_f07_sigterm_answers_everything_that_was_let_in(
    database_url: str, store: PostgresStore
) -> None:
    """
    100 requests wait for one COMMIT when SIGTERM comes. The listener closes, and each
    of the 100 still gets its 200; then the process ends well.
    """
    everybody = payers(USERS, MONTHS)
    events = [event for payer in everybody for event in payer.events()]
    with started(World(database_url)) as service:
        register(service, everybody)
        crowd = Crowd(service)
        async with (
            closed_gate(database_url) as gate,
            anyio.create_task_group() as tasks,
        ):
            await tasks.start(crowd.send, events)
            await gate.reached()
            await _all_were_read(service)
            service.process.send_signal(signal.SIGTERM)
            await until(lambda: is_closed(service))
            with pytest.raises(subprocess.TimeoutExpired):
                await exit_code(service, STAYS_S)
            assert not crowd.answers
            await gate.open()

        assert [answer.status_code for answer in crowd.answers] == [200] * len(events)
        assert await exit_code(service) == 0
    assert len(await kept_ids(store)) == len(events)
    await assert_each_counted_once(database_url, everybody)


async def _all_were_read(service: ServiceProcess) -> None:
    """Return when the service has read all that was written to it before.

    Both listeners are on one loop: a later request is answered later.
    """
    async with client() as http:
        (await http.get(f"{service.ops_url}/livez")).raise_for_status()


async def test_f07_readiness_falls_before_the_door_closes(
    database_url: str, store: PostgresStore
) -> None:
    """
    After SIGTERM a balancer is told to take the process out, while new requests are
    still served; then the process ends well.
    """
    [payer] = payers(1, MONTHS)
    with started(DrainingWorld(database_url)) as service:
        register(service, [payer])
        async with client() as http:
            service.process.send_signal(signal.SIGTERM)
            reason = await _not_ready(http, service)
            answers = [await post(http, service, event) for event in payer.events()]

        assert reason == "draining"
        assert [answer.status_code for answer in answers] == [200] * MONTHS
        assert await exit_code(service) == 0
    assert len(await kept_ids(store)) == MONTHS


async def test_f07_each_answer_of_the_drain_ends_its_connection(
    database_url: str,
) -> None:
    """
    For every request and every answer: the client reconnects, and so reaches another
    process.
    """
    [payer] = payers(1, 1)
    [event] = payer.events()
    with started(DrainingWorld(database_url, drain_s=LONG_S)) as service:
        register(service, [payer])
        mine = {"Authorization": f"Bearer {service.world.token(payer.user)}"}
        app = service.world.token("app", scopes=[FEED_SCOPE])
        status = f"/users/{payer.user}/payment-status"
        async with client() as http, anyio.create_task_group() as tasks:
            etag = (await http.get(service.url + status, headers=mine)).headers["etag"]
            answers: list[httpx.Response] = []

            async def ask(
                path: str, headers: dict[str, str], body: str | None = None
            ) -> None:
                method = "GET" if body is None else "POST"
                url = service.url + path
                answers.append(
                    await http.request(method, url, content=body, headers=headers)
                )

            async def wait(*, task_status: TaskStatus[None]) -> None:
                task_status.started()
                theirs = {"Authorization": f"Bearer {app}"}
                await ask("/feed?after=0&wait_s=1", theirs)

            await tasks.start(wait)
            await _all_were_read(service)
            service.process.send_signal(signal.SIGTERM)
            assert await _not_ready(http, service) == "draining"
            await ask(status, mine)
            await ask(status, {**mine, "If-None-Match": etag})
            await ask(status, {})
            await ask("/nothing", {})
            await ask("/openapi.json", {})
            await ask("/webhooks/stripe", {"Content-Type": "application/json"}, "{}")
            answers.append(await post(http, service, event))

        statuses = sorted(it.status_code for it in answers)
        assert statuses == [200, 200, 200, 200, 304, 400, 401, 404]
        assert {it.headers.get("connection") for it in answers} == {"close"}


SLOW: Final = b"POST %s/webhooks/stripe HTTP/1.1\r\nHost: a\r\nContent-Type: "
_HEADER: Final = SLOW % PREFIX.encode() + b"application/json\r\nContent-Length: 9\r\n"


@pytest.mark.parametrize("stalls", [False, pytest.param(True, marks=only_in_prove)])
async def test_f07_it_ends_well_whatever_its_callers_do(
    database_url: str, *, stalls: bool
) -> None:
    """
    Some are idle, some have sent nothing yet, some half of a header or body: a client
    that continues is answered. A client that does not is waited for no longer than
    usual.
    """
    begun = [_HEADER[:20], _HEADER, _HEADER + b"\r\n", _HEADER + b"\r\n{}"]
    whole = _HEADER + b"\r\n{}       "
    with started(World(database_url)) as service, ExitStack() as stack:

        def connect(sent: bytes) -> socket.socket:
            address = ("127.0.0.1", service.port)
            it = stack.enter_context(socket.create_connection(address, DEADLINE_S))
            it.sendall(sent)
            return it

        _fresh, idle = connect(b""), connect(whole)
        assert b" 400 " in idle.recv(READ_BYTES)
        slow = [connect(it) for it in begun]
        await _all_were_read(service)
        service.process.send_signal(signal.SIGTERM)
        await until(lambda: is_closed(service))
        if not stalls:
            for connection, sent in zip(slow, begun, strict=True):
                connection.sendall(whole[len(sent) :])
        answers = [await anyio.to_thread.run_sync(_all_of, it) for it in slow]

        expected = b" 408 " if stalls else b" 400 "
        assert [expected in it for it in answers] == [True] * len(slow), answers
        assert all(b"connection: close" in it for it in answers)
        assert await exit_code(service) == 0


def _all_of(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(READ_BYTES), b""))


async def _not_ready(http: httpx.AsyncClient, service: ServiceProcess) -> object:
    answers: list[httpx.Response] = []

    async def told() -> bool:
        answers.append(await http.get(f"{service.ops_url}/readyz"))
        return answers[-1].status_code == 503

    await until(told)
    return answers[-1].json()["reason"]
