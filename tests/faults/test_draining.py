"""SIGTERM: whoever was let in gets an answer, and the answer is true."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
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
from support.service import ServiceProcess, World, start

pytestmark = pytest.mark.anyio

USERS: Final = 4
MONTHS: Final = 25
DRAIN_S: Final = 2
# A process that waits for nobody is gone after 0.3 s; the gate holds for 5.
STAYS_S: Final = 1.0


@attrs.frozen
class DrainingWorld(World):
    """Where a balancer needs a while to look away."""

    @override
    def env(self, port: int, ops_port: int) -> dict[str, str]:
        env = super().env(port, ops_port)
        return env | {"PAYMENTS_DRAIN_S": str(DRAIN_S)}


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
        """Tell when every request was written; return when all are answered."""

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
    100 requests wait for one COMMIT when SIGTERM comes. The door closes, and each
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

    Both listeners are on one loop: who comes later is answered later.
    """
    async with client() as http:
        (await http.get(f"{service.ops_url}/livez")).raise_for_status()


async def test_f07_readiness_falls_before_the_door_closes(
    database_url: str, store: PostgresStore
) -> None:
    """
    After SIGTERM a balancer is told to look away, while whoever still comes is
    served; then the process ends well.
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


async def _not_ready(http: httpx.AsyncClient, service: ServiceProcess) -> object:
    answers: list[httpx.Response] = []

    async def told() -> bool:
        answers.append(await http.get(f"{service.ops_url}/readyz"))
        return answers[-1].status_code == 503

    await until(told)
    return answers[-1].json()["reason"]
