"""The database goes away and comes back; Stripe resends what got no 2xx."""

import random
from collections.abc import Iterator
from typing import Final

import anyio
import attrs
import httpx
import pytest

from faults.deliveries import Event, Stripe, client, post, until
from faults.payers import (
    Payer,
    assert_each_counted_once,
    kept_ids,
    payers,
    register,
    shuffled,
)
from payments_adapters.postgres.store import PostgresStore
from support import databases
from support.service import ServiceProcess, World, running

pytestmark = pytest.mark.anyio

USERS: Final = 4
MONTHS: Final = 50
ANSWERS_BETWEEN: Final = 8
OUTAGE_AT: Final = 60
REFUSALS: Final = 30
SEED: Final = 11

SOME: Final = 5
_TERMINATE: Final = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = $1 and application_name = 'payments-gateway'
"""


@pytest.fixture
def ready(database_url: str) -> Iterator[ServiceProcess]:
    """A service of the test's own; the shared one must not see its faults."""
    with running(World(database_url)) as [service]:
        yield service


@attrs.frozen
class Database:
    """The service's database, accessed through another one on the same server."""

    server: str
    name: str

    async def cut(self) -> None:
        """End every connection of the service."""
        await databases.fetch(self.server, _TERMINATE, self.name)

    async def refuse(self, *, refused: bool) -> None:
        allowed = str(not refused).lower()
        await databases.execute(
            self.server, f"alter database {self.name} allow_connections {allowed}"
        )


@pytest.fixture
def database(postgres: str, database_url: str) -> Database:
    return Database(postgres, database_url.rpartition("/")[2])


@attrs.define
class Bell:
    """Calls a function after so many answers."""

    every: int
    _answered: int = 0
    _rung: anyio.Event = attrs.field(factory=anyio.Event)

    def hear(self, _: Event, __: httpx.Response) -> None:
        self._answered += 1
        if self._answered % self.every == 0:
            self._rung.set()

    async def wait(self) -> None:
        await self._rung.wait()
        self._rung = anyio.Event()


def everybody_pays(service: ServiceProcess) -> tuple[list[Payer], Stripe]:
    everybody = payers(USERS, MONTHS)
    register(service, everybody)
    dice = random.Random(SEED)  # noqa: S311  # an order that can be had again
    return everybody, Stripe(shuffled(everybody, dice))


def assert_only_ever_unavailable(stripe: Stripe) -> None:
    """Assert that every refusal was a 503 that asks to try again."""
    assert stripe.unanswered == 0
    assert set(stripe.statuses) == {200, 503}
    refusals = [answer for answer in stripe.answers if answer.status_code == 503]
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refusals)
    assert {answer.json()["code"] for answer in refusals} == {"store_unavailable"}


async def is_alive(http: httpx.AsyncClient, service: ServiceProcess) -> bool:
    return (await http.get(f"{service.ops_url}/livez")).status_code == 200


async def test_f11_f12_f17_cut_connections_lose_and_repeat_nothing(
    ready: ServiceProcess, database: Database
) -> None:
    """
    Every connection is cut after every few answers: 200 or 503 and nothing else, the
    process lives, and in the end everything counts once.
    """
    everybody, stripe = everybody_pays(ready)
    bell = Bell(ANSWERS_BETWEEN)
    stripe.on_answer = bell.hear
    alive = []

    async def cut_again_and_again() -> None:
        async with client() as http:
            while True:
                await bell.wait()
                await database.cut()
                alive.append(await is_alive(http, ready))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cut_again_and_again)
        await stripe.deliver(ready)
        tasks.cancel_scope.cancel()

    assert alive
    assert all(alive)
    assert_only_ever_unavailable(stripe)
    await assert_each_counted_once(ready.world.database_url, everybody)


async def test_f11_an_outage_is_told_and_outlived(
    ready: ServiceProcess, database: Database, store: PostgresStore
) -> None:
    """
    While the database refuses connections: not ready, with the reason, but alive; 503
    for webhooks. Afterwards: ready, and nothing acknowledged was lost.
    """
    everybody, stripe = everybody_pays(ready)
    bell = Bell(OUTAGE_AT)
    stripe.on_answer = bell.hear
    told: list[httpx.Response] = []
    during: list[httpx.Response] = []

    async def outage() -> None:
        await bell.wait()
        await database.refuse(refused=True)
        await database.cut()
        async with client() as http:
            told.append(await readiness(http, ready, 503))
            before = len(stripe.answers)
            await until(lambda: _has(stripe, before + REFUSALS, http, ready))
            during.extend(stripe.answers[before:])
            await database.refuse(refused=False)
            told.append(await readiness(http, ready, 200))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outage)
        await stripe.deliver(ready)

    assert [answer.status_code for answer in told] == [503, 200]
    assert told[0].json() == {
        "status": "not ready",
        "reason": "database_unavailable",
        "detail": "the database does not answer",
    }
    assert {answer.status_code for answer in during} == {503}
    assert_only_ever_unavailable(stripe)
    assert set(stripe.acknowledged) <= (await kept_ids(store)).keys()
    await assert_each_counted_once(ready.world.database_url, everybody)


async def test_f11_a_database_that_only_reads_is_told_and_outlived(
    ready: ServiceProcess, database: Database
) -> None:
    """
    As after a failover: webhooks are 503, to be sent again, and nothing else; the
    process is not ready, with the reason, but alive. Once writes succeed again it
    continues, though it has read-only sessions.
    """
    everybody, stripe = everybody_pays(ready)
    bell = Bell(OUTAGE_AT)
    stripe.on_answer = bell.hear
    told: list[tuple[int, object, bool]] = []

    async def fail_over(http: httpx.AsyncClient) -> None:
        await bell.wait()
        await databases.only_read(ready.world.database_url, on=True)
        await database.cut()
        told.append(await said(http, 503))
        before = len(stripe.answers)
        await until(lambda: _has(stripe, before + SOME, http, ready))
        during = {answer.status_code for answer in stripe.answers[before:]}
        await databases.only_read(ready.world.database_url, on=False)
        told.append(await said(http, 200))
        assert during == {503}

    async def said(http: httpx.AsyncClient, status: int) -> tuple[int, object, bool]:
        answer = await readiness(http, ready, status)
        if answer.is_success:
            # The writes themselves are the probe: a webhook may be the first.
            await until(
                lambda: _is_shown(http, ready, "payments_database_writable 1.0")
            )
        shown = await http.get(f"{ready.ops_url}/metrics")
        writable = "payments_database_writable 1.0" in shown.text
        return answer.status_code, answer.json().get("reason"), writable

    async with client() as http, anyio.create_task_group() as tasks:
        tasks.start_soon(fail_over, http)
        await stripe.deliver(ready)

    assert told == [(503, "database_read_only", False), (200, None, True)]
    assert_only_ever_unavailable(stripe)
    await assert_each_counted_once(ready.world.database_url, everybody)


_FULL: Final = """
create function no_space() returns trigger language plpgsql as $$
begin
    raise exception 'could not extend file' using errcode = '53100';
end $$;
create trigger no_space before insert on webhook_events
    for each row execute function no_space();
"""


async def test_f23_a_full_disk_is_told_and_loses_nothing(
    ready: ServiceProcess, database_url: str
) -> None:
    """
    What cannot be stored is 503, to be sent again; reads are answered, and the process
    stays ready. Once there is space it is stored.
    """
    [payer] = payers(1, 1)
    register(ready, [payer])
    [event] = payer.events()
    await databases.execute(database_url, _FULL)
    async with client() as http:
        refused = await post(http, ready, event)
        token = {"Authorization": f"Bearer {ready.world.token(payer.user)}"}
        path = f"/users/{payer.user}/payment-status"
        read = await http.get(ready.url + path, headers=token)
        ready_then = await http.get(f"{ready.ops_url}/readyz")
        await databases.execute(database_url, "drop trigger no_space on webhook_events")
        taken = await post(http, ready, event)

    assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert [it.status_code for it in (read, ready_then, taken)] == [200] * 3
    await assert_each_counted_once(database_url, [payer])


async def _is_shown(
    http: httpx.AsyncClient, service: ServiceProcess, line: str
) -> bool:
    return line in (await http.get(f"{service.ops_url}/metrics")).text


async def readiness(
    http: httpx.AsyncClient, service: ServiceProcess, status: int
) -> httpx.Response:
    """Return the answer of /readyz once it has this status."""
    answers: list[httpx.Response] = []

    async def said() -> bool:
        answers.append(await http.get(f"{service.ops_url}/readyz"))
        assert await is_alive(http, service)
        # Never another status: a bug would be a 500.
        assert answers[-1].status_code in {200, 503}
        return answers[-1].status_code == status

    await until(said)
    return answers[-1]


async def _has(
    stripe: Stripe, answers: int, http: httpx.AsyncClient, service: ServiceProcess
) -> bool:
    assert await is_alive(http, service)
    return len(stripe.answers) >= answers
