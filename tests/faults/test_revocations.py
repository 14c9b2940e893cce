"""Three processes, one of which is stopped and one whose database is silent.

`make prove` runs it: is a token accepted by a request that began after its revocation
returned?
"""

import asyncio
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from typing import Any, Final

import attrs
import httpx
import pytest

from contracts.examples import a_token
from payments_adapters.postgres.revocation_log import PostgresRevocationLog
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.token_store import PostgresTokens
from payments_core.revocations import ENTRIES_MAX
from payments_core.use_cases import FollowRevocations
from payments_service.clocks import utc_now
from support import databases
from support.blocked import Line, blockable
from support.plain_http import TLS
from support.profiles import only_in_prove
from support.service import PREFIX, ServiceProcess, World, _end, running, start

pytestmark = [pytest.mark.anyio, only_in_prove]

REQUESTS_MIN: Final = 100_000
REVOCATIONS_MIN: Final = 200
# Of each process.
REQUESTERS: Final = 6
REVOKERS: Final = 3
# Revoked tokens are used for this many further revocations.
KEPT_IN_PLAY: Final = 12
SEED: Final = 38
WITHIN_S: Final = 900.0
# Longer than a lease, and shorter: both must be harmless.
STILL_S: Final = (0.4, 1.2, 2.5)


@attrs.frozen
class Three:
    """
    `stopped` is a process that is stopped, `blocked` one behind a proxy that is
    blocked.
    """

    whole: ServiceProcess
    stopped: ServiceProcess
    blocked: ServiceProcess
    line: Line

    @property
    def each(self) -> tuple[ServiceProcess, ...]:
        return self.whole, self.stopped, self.blocked


@pytest.fixture
def three(postgres: str, template: str) -> Iterator[Three]:
    with ExitStack() as stack:
        dsn = stack.enter_context(databases.copy_of(postgres, template))
        line, through = stack.enter_context(blockable(dsn))
        world, services = World(dsn), list[ServiceProcess]()
        for url in (dsn, dsn, through):
            service = start(attrs.evolve(world, database_url=url))
            stack.callback(_end, service)
            services.append(service)
        whole, stopped, blocked = services
        yield Three(whole, stopped, blocked, line)


class Connection:
    """A persistent connection: of a client that does almost nothing itself."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self,
        token: str,
        *,
        method: str = "GET",
        path: str = "/catalogue",
        body: str = "",
    ) -> int:
        """Return the status of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                "127.0.0.1", self._service.port
            )
        reader, writer = self._streams
        writer.write(
            f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            if body
            else f"{method} {PREFIX}{path} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        _, _, rest = head.partition("content-length: ")
        await reader.readexactly(int(rest.split("\r\n")[0]))
        if "connection: close" in head:
            await self.aclose()
        return int(head.split()[1])

    async def aclose(self) -> None:
        if self._streams is not None:
            (_, writer), self._streams = self._streams, None
            writer.close()
            await writer.wait_closed()

    async def revoke(self, token: str) -> int:
        body = f'{{"token":"{token}"}}'
        return await self.ask(
            token, method="POST", path="/tokens/invalidate", body=body
        )


@attrs.define
class Trial:
    """Revokes token after token, and uses them before, meanwhile and afterwards."""

    three: Three
    # When the revocation of a token returned, by one clock; None: not yet.
    returned_at: dict[str, float | None] = attrs.field(factory=dict)
    in_play: list[str] = attrs.field(factory=list)
    statuses: Counter[tuple[bool, int]] = attrs.field(factory=Counter)
    accepted: list[tuple[int, float]] = attrs.field(factory=list)
    # Of the requests sent while a process was stopped, or its proxy was blocked.
    held_count: int = 0
    waits: list[float] = attrs.field(factory=list)
    dice: random.Random = attrs.field(factory=lambda: random.Random(SEED))  # noqa: S311  # an order that can be had again

    @property
    def requests_count(self) -> int:
        return sum(self.statuses.values())

    @property
    def is_over(self) -> bool:
        return (
            self.requests_count >= REQUESTS_MIN and len(self.waits) >= REVOCATIONS_MIN
        )

    async def request(self, number: int, service: ServiceProcess) -> None:
        async with aclosing(Connection(service)) as connection:
            await self._request(number, connection)

    async def _request(self, number: int, connection: Connection) -> None:
        while not self.is_over:
            token = self.dice.choice(self.in_play)
            began = time.monotonic()
            returned = self.returned_at[token]
            is_revoked = returned is not None and returned < began
            status = await connection.ask(token)
            self.statuses[is_revoked, status] += 1
            self.held_count += is_revoked and time.monotonic() - began > 0.3
            # Whatever the rest of the answer, the token was accepted.
            if is_revoked and status not in {401, 503}:
                self.accepted.append((number, began - (returned or 0)))

    async def revoke(self, service: ServiceProcess) -> None:
        async with aclosing(Connection(service)) as connection:
            while not self.is_over:
                token = self.new_token()
                began = time.monotonic()
                assert await connection.revoke(token) == 200
                self.returned_at[token] = time.monotonic()
                self.waits.append(time.monotonic() - began)

    def new_token(self) -> str:
        # An administrator's: they have no limit of requests.
        token = self.three.whole.world.admin()
        self.returned_at[token] = None
        self.in_play = [*self.in_play[-KEPT_IN_PLAY:], token]
        return token

    async def stop(self) -> None:
        """Stop one process and continue it, again and again."""
        process = self.three.stopped.process
        await self.again(
            lambda: process.send_signal(signal.SIGSTOP),
            lambda: process.send_signal(signal.SIGCONT),
        )

    async def block(self) -> None:
        """Block one process's proxy, again and again."""
        await self.again(self.three.line.is_open.clear, self.three.line.is_open.set)

    async def again(self, begin: Callable[[], Any], end: Callable[[], Any]) -> None:
        try:
            while not self.is_over:
                for still_s in STILL_S:
                    await asyncio.sleep(1)
                    begin()
                    await asyncio.sleep(still_s)
                    end()
        finally:
            end()


async def test_t38_p30_f06_f46_of_100_000_requests_none_is_accepted_too_late(
    three: Three, record_property: Callable[[str, object], None]
) -> None:
    """
    Around 200 revocations, checked at all three, while one of them is stopped and
    another one's database is silent, for longer than a lease and for shorter.
    """
    trial = Trial(three)
    # A valid token is accepted all the time, or the test proves nothing.
    trial.in_play = [trial.new_token() for _ in range(KEPT_IN_PLAY)]
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as tasks:
        for number, service in enumerate(three.each):
            for _ in range(REQUESTERS):
                tasks.create_task(trial.request(number, service))
        for _ in range(REVOKERS):
            tasks.create_task(trial.revoke(three.whole))
        tasks.create_task(trial.stop())
        tasks.create_task(trial.block())

    record_property("figure", f"requests by (revoked, status): {dict(trial.statuses)}")
    record_property(
        "figure",
        f"{len(trial.waits)} revocations, the median in"
        f" {sorted(trial.waits)[len(trial.waits) // 2]:.2f} s; {trial.held_count}"
        " revoked tokens asked with while nothing moved",
    )
    assert not trial.accepted
    assert {status for _, status in trial.statuses} <= {200, 401, 503}
    # A request without result waits for two seconds: there are few of them.
    for wanted, least in (
        ((False, 200), 1_000),
        ((True, 401), 1_000),
        ((True, 503), 9),
    ):
        assert trial.statuses[wanted] > least
    assert trial.held_count > 20


@asynccontextmanager
async def connected(three: Three) -> AsyncIterator[list[Connection]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(aclosing(Connection(it)))
            for it in three.each
        ]


@asynccontextmanager
async def stopped(process: "subprocess.Popen[bytes]") -> AsyncIterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


async def test_f06_a_process_that_stood_still_over_a_revocation_refuses(
    three: Three,
) -> None:
    """
    Requests that wait since then, and later ones.
    """
    token = three.whole.world.token("ada")
    async with connected(three) as each:
        assert [await it.ask(token) for it in each] == [200] * 3
        async with stopped(three.stopped.process):
            assert await each[0].revoke(token) == 200
            waiting = asyncio.create_task(each[1].ask(token))
            assert [await each[number].ask(token) for number in (0, 2)] == [401, 401]
            assert not waiting.done()
        assert await waiting == 401
        assert [await it.ask(token) for it in each] == [401] * 3


async def test_f46_a_process_whose_database_says_nothing_lets_nobody_in(
    three: Three,
) -> None:
    """
    It answers 503, also for a valid token, and is not ready; then it recovers.
    """
    dead, alive = (three.whole.world.token("ada") for _ in range(2))
    async with connected(three) as (here, _, there):
        assert [await it.ask(dead) for it in (here, there)] == [200] * 2
        three.line.is_open.clear()
        assert await here.revoke(dead) == 200
        assert [await there.ask(it) for it in (dead, alive)] == [503] * 2
        assert await here.ask(alive) == 200
        three.line.is_open.set()

        async with asyncio.timeout(30):
            while (status := await there.ask(alive)) != 200:
                assert status == 503
        assert await there.ask(dead) == 401


@pytest.fixture
def alone(database_url: str) -> Iterator[ServiceProcess]:
    with running(World(database_url)) as [service]:
        yield service


async def test_t38_a_server_that_only_reads_lets_nobody_in(
    postgres: str, alone: ServiceProcess
) -> None:
    """
    Like a primary of before a failover that was fenced: it answers with its old state,
    which lacks later revocations.
    """
    token, name = alone.world.token("ada"), alone.world.database_url.rpartition("/")[2]
    reads_only = f"alter database {name} set default_transaction_read_only = on"
    async with aclosing(Connection(alone)) as connection:
        assert await connection.ask(token) == 200
        await databases.execute(postgres, reads_only)
        await databases.fetch(postgres, _CUT, name)
        async with asyncio.timeout(30):
            while await connection.ask(token) != 503:
                continue
        async with httpx.AsyncClient(verify=TLS) as http:
            ready = await http.get(f"{alone.ops_url}/readyz")
            shown = (await http.get(f"{alone.ops_url}/metrics")).text
    assert (ready.status_code, ready.json()["reason"]) == (503, "database_read_only")
    assert "payments_revocations_polls_failed_total 0.0" not in shown
    assert "payments_revocations_polls_failed_total" in shown
    assert "payments_revocations_over_cap 0.0" in shown


_CUT: Final = (
    "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1"
)
_MANY: Final = """
insert into invalidated_tokens (issuer, jti, expires_at, invalidated_at, position)
select $1, 'many-' || n, now() + interval '1 day', now(), n
from generate_series(1, $2) n
"""
MANY: Final = 1_000_000
# The revocations at the cap, twice: all are loaded again next to them. And some pages.
GROWTH_MB_MAX: Final = 150


@pytest.mark.parametrize("count", [ENTRIES_MAX, ENTRIES_MAX + 1, MANY])
async def test_a_million_revocations_take_bounded_memory(
    store: PostgresStore,
    database_url: str,
    count: int,
    record_property: Callable[[str, object], None],
) -> None:
    """
    Up to the cap they are in memory, and loaded again; beyond it the table is queried
    for each token.
    """
    token = a_token("many-1")
    await databases.fetch(database_url, _MANY, token.issuer, count)
    await databases.fetch(
        database_url, "update revocation_head set position = $1", count
    )
    await databases.execute(database_url, "analyze invalidated_tokens")
    log, tokens = PostgresRevocationLog(store, store), PostgresTokens(store)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    process = FollowRevocations(log, tokens, time.monotonic, utc_now, "one")
    began = time.monotonic()
    assert await process.is_revoked(token)
    loaded_s = time.monotonic() - began

    assert process.is_over_cap == (count > ENTRIES_MAX)
    assert process.entries_count == (0 if count > ENTRIES_MAX else count)
    process._known._loaded_at = -1e6
    began = time.monotonic()
    while await process._reload():
        # As `running` does: the lease continues meanwhile.
        await process._poll_once()
    assert await process.is_revoked(token)
    assert not await process.is_revoked(a_token("another"))
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    record_property(
        "figure",
        f"{count:,} revocations: loaded in {loaded_s:.1f} s, anew in"
        f" {time.monotonic() - began:.1f} s, {grown_mb:.0f} MB more",
    )
    assert grown_mb < GROWTH_MB_MAX
