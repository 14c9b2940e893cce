"""The comparisons: each case of ours with its limit.

The machine's speed drifts, so a case and its limit take turns, and ratios are medians
over the pairs of rounds.
"""

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median
from typing import Any, Final

import asyncpg
import attrs
import httpx

from benchmarks.deployment import (
    REQUESTS_MAX,
    THEIR_USER,
    USERS_COUNT,
    Bench,
    Meter,
    attack,
    load,
    open_load,
    webhook_body,
)
from payments_adapters.postgres.feed import PostgresFeedReader, PostgresFeedSequencer
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import PostgresStore
from payments_core.identity import Email, user_id
from payments_core.jobs.give_positions import BATCH
from payments_core.policy import Policy
from payments_core.use_cases import RecordFacts, RegisterUser
from payments_service.clocks import utc_now
from payments_service.presentation import PREFIX
from payments_service.worker import FEED_POLL_S

HOT_EVENTS_COUNT: Final = 50
HELD_S: Final = 10.0
# No other case has an account of its own there: `hot` begins at the first.
EXPLAINED_USER: Final = USERS_COUNT - 1
FACTS_COUNT: Final = 1_000
SLOW_S: Final = 8
# As many connections as a proxy keeps, if it may have as many as both processes accept.
OPEN_CONNECTIONS_MAX: Final = 900
# For both processes: a thousand users' renewals within some seconds.
USUAL_RATE: Final = 200.0

Result = dict[str, float]


@attrs.frozen(kw_only=True)
class Case:
    """A case of ours, and the limit that it is compared with.

    The ratio is reported for `measure`, one of the numbers that a run returns.
    """

    key: str
    name: str
    connections: int
    ours: Callable[[], Result]
    limit: Callable[[], Result]
    measure: str = "per_second"

    def measured(self, rounds: int, meter: Meter) -> dict[str, Any]:
        pairs = [(self.limit(), meter.around(self.ours)) for _ in range(rounds)]
        return {
            "name": self.name,
            "connections": self.connections,
            "measure": self.measure,
            "ours": _medians([ours for _, ours in pairs]),
            "limit": _medians([limit for limit, _ in pairs]),
            "ratio": median(o[self.measure] / n[self.measure] for n, o in pairs),
        }


def _without_refusals(result: dict[str, Any]) -> Result:
    """Print which limits refused requests; return the figures."""
    print(f"{'':<48} {result['offered']} offered, refused: {result.pop('refusals')}")
    return result


def _medians(runs: Sequence[Mapping[str, float]]) -> Result:
    return {name: median(run[name] for run in runs) for name in runs[0]}


@attrs.frozen
class Cases:
    """All cases, over one deployment; most of their runs take `seconds`."""

    bench: Bench
    ours: Sequence[int]
    bare: Sequence[int]
    seconds: float

    def all(self) -> Iterator[Case]:
        yield self.ingest(1)
        yield self.ingest(64)
        yield self.ingest(64, "bare ASGI that verifies", "/asgi")
        yield from self.steady()
        yield self.commits()
        yield self.duplicates()
        yield self.hot()
        yield self.reads(1)
        yield self.reads(64)
        yield self.revalidated(64)
        yield self.explain()
        yield self.feed()
        yield self.feed_pages()
        yield self.locked()
        yield self.slow()
        yield self.overload("webhooks", self._events, self._open_events)
        yield self.overload("reads", self._reads, self._open_reads)
        yield self.hostile()

    def _events(self, connections: int, **plan: Any) -> Result:
        """Send new events, spread over the accounts unless the plan says otherwise."""
        run = self.bench.next_run()
        return self._signed(
            **{
                **run,
                "ports": self.ours,
                "connections": connections,
                "path": f"{PREFIX}/webhooks/stripe",
                **plan,
            }
        )

    def _signed(self, **plan: Any) -> Result:
        return load(
            **{
                "body": webhook_body(),
                "secret": self.bench.secret,
                "customers_count": USERS_COUNT,
                "seconds": self.seconds,
                "requests_max": REQUESTS_MAX,
                **plan,
            }
        )

    def ingest(
        self,
        connections: int,
        limit: str = "bare route that verifies",
        path: str = "/webhook",
    ) -> Case:
        return Case(
            key="ingest",
            name=f"durable ingest | {limit}",
            connections=connections,
            ours=lambda: self._events(connections),
            limit=lambda: self._bare(connections, path),
        )

    def _bare(self, connections: int, path: str = "/webhook") -> Result:
        return self._signed(
            run="bare", ports=self.bare, connections=connections, path=path
        )

    def commits(self) -> Case:
        return Case(
            key="commit",
            name="durable ingest | one commit of one row",
            connections=1,
            ours=lambda: self._events(1),
            limit=lambda: asyncio.run(
                _commits(self.bench.database_url, seconds=self.seconds / 2)
            ),
            measure="p50_ms",
        )

    def steady(self) -> Iterator[Case]:
        """Compare both under an open load of four fifths of the service's throughput.

        The bare route runs at the same rate, and at four fifths of its own throughput:
        at the same rate it is far from its limit. Throughputs are measured again for
        each pair of runs, because the machine drifts.
        """
        rates = list[float]()

        def at_the_same_rate() -> Result:
            rates.append(self._events(64)["per_second"] * 0.8)
            return self._open_events(
                rates[-1], self.seconds, ports=self.bare, path="/webhook"
            )

        def at_the_same_share() -> Result:
            rates.append(self._events(64)["per_second"] * 0.8)
            bare_rate = self._bare(64)["per_second"] * 0.8
            return self._open_events(
                bare_rate, self.seconds, ports=self.bare, path="/webhook"
            )

        for name, limit in (
            ("bare, same rate", at_the_same_rate),
            ("bare at 0.8 of its most", at_the_same_share),
        ):
            yield Case(
                key="steady",
                name=f"durable ingest at 0.8 of its most | {name}",
                connections=OPEN_CONNECTIONS_MAX,
                ours=lambda: self._open_events(rates[-1], self.seconds),
                limit=limit,
                measure="p99_ms",
            )

    def duplicates(self) -> Case:
        latest: dict[str, Any] = {}

        def new() -> Result:
            latest.update(self.bench.next_run())
            result = self._events(64, **latest)
            latest["requests_max"] = int(result["count"])
            return result

        def again() -> Result:
            # As many as existed: later ones would be new.
            return self._events(64, **latest, seconds=self.seconds * 4)

        return Case(
            key="duplicates",
            name="the same events once more | new events",
            connections=64,
            ours=again,
            limit=new,
        )

    def hot(self) -> Case:
        # An account for each round: an account with the payments of all rounds would
        # sum up tens of thousands again for each late event.
        accounts = itertools.count()
        return Case(
            key="hot",
            name="events of one account | spread over all",
            connections=HOT_EVENTS_COUNT,
            ours=lambda: self._events(
                HOT_EVENTS_COUNT, customers_count=1, first_customer=next(accounts)
            ),
            limit=lambda: self._events(HOT_EVENTS_COUNT),
        )

    def explain(self) -> Case:
        common = {
            "connections": 1,
            "seconds": self.seconds,
            "ports": self.ours,
            "headers": self._bearer,
        }
        user = f"{PREFIX}/users/user{EXPLAINED_USER}"

        def explained() -> Result:
            self._events(
                1,
                customers_count=1,
                first_customer=EXPLAINED_USER,
                requests_max=FACTS_COUNT,
                seconds=HELD_S,
            )
            return load(**common, path=f"{user}/explanation")

        return Case(
            key="explain",
            name=f"explanation, {FACTS_COUNT:,} facts or more | its payment-status",
            connections=1,
            ours=explained,
            limit=lambda: load(**common, path=f"{user}/payment-status"),
            measure="p99_ms",
        )

    def feed(self) -> Case:
        """From the commit of a change until a waiting reader reads it."""
        status = f"{PREFIX}/users/user7/payment-status"
        return Case(
            key="feed",
            name="a change reaches who waits for it | payment-status",
            connections=1,
            ours=lambda: asyncio.run(
                _heard(
                    self.bench, self.ours[0], self.bench.token(), seconds=self.seconds
                )
            ),
            limit=lambda: load(
                connections=1,
                seconds=self.seconds,
                ports=self.ours,
                headers=self._bearer,
                path=status,
            ),
            measure="p99_ms",
        )

    def feed_pages(self) -> Case:
        common = {
            "connections": 1,
            "seconds": self.seconds,
            "ports": self.ours,
            "headers": self._bearer,
        }
        return Case(
            key="feed",
            name="a page of 1,000 changes | payment-status",
            connections=1,
            ours=lambda: load(**common, path=f"{PREFIX}/feed?limit=1000"),
            limit=lambda: load(**common, path=f"{PREFIX}/users/user7/payment-status"),
            measure="p99_ms",
        )

    @property
    def _bearer(self) -> str:
        return f"Authorization: Bearer {self.bench.token()}\r\n"

    def reads(self, connections: int) -> Case:
        bearer = self._bearer
        common = {"connections": connections, "seconds": self.seconds}
        return Case(
            key="reads",
            name="GET payment-status | bare route, one SELECT",
            connections=connections,
            ours=lambda: load(
                **common,
                ports=self.ours,
                headers=bearer,
                path=f"{PREFIX}/users/user7/payment-status",
            ),
            limit=lambda: load(**common, ports=self.bare, path="/read/user7"),
        )

    def revalidated(self, connections: int) -> Case:
        path = f"{PREFIX}/users/user7/payment-status"
        common = {
            "connections": connections,
            "seconds": self.seconds,
            "ports": self.ours,
            "path": path,
        }
        token = self.bench.token()

        def known() -> Result:
            url = f"http://127.0.0.1:{self.ours[0]}{path}"
            bearer = {"Authorization": f"Bearer {token}"}
            tag = httpx.get(url, headers=bearer).raise_for_status().headers["etag"]
            headers = f"{self._bearer}If-None-Match: {tag}\r\n"
            return load(**common, headers=headers, status=304)

        return Case(
            key="reads",
            name="304 of payment-status | 200 of it",
            connections=connections,
            ours=known,
            limit=lambda: load(**common, headers=self._bearer),
        )

    def overload(
        self,
        what: str,
        closed: Callable[[int], Result],
        opened: Callable[[float, float], Result],
    ) -> Case:
        """Twice the sustainable load, compared with four fifths of it.

        Half of it follows at once: the recovery is reported, too.
        """
        sustained = list[float]()

        def below() -> Result:
            sustained.append(closed(64)["per_second"])
            return opened(sustained[-1] * 0.8, self.seconds)

        def above() -> Result:
            result = opened(sustained[-1] * 2, self.seconds)
            after = opened(sustained[-1] / 2, self.seconds / 2)
            result["after_p99_ms"] = after["p99_ms"]
            result["after_refused"] = after["refused"]
            return result

        return Case(
            key="overload",
            name=f"{what} at 2 x what is sustained | at 0.8 x",
            connections=OPEN_CONNECTIONS_MAX,
            ours=above,
            limit=below,
            measure="p99_ms",
        )

    def hostile(self) -> Case:
        """Webhooks at a usual rate, with and without hostile connections."""

        def usual() -> Result:
            return self._open_events(USUAL_RATE, self.seconds)

        def attacked() -> Result:
            path = f"{PREFIX}/webhooks/stripe"
            with attack(ports=self.ours, path=path, seconds=self.seconds + 60):
                return usual()

        return Case(
            key="hostile",
            name="webhooks among hostile connections | without",
            connections=OPEN_CONNECTIONS_MAX,
            ours=attacked,
            limit=usual,
            measure="p99_ms",
        )

    def _open_events(self, rate: float, seconds: float, **plan: Any) -> Result:
        return _without_refusals(
            open_load(
                **{
                    **self.bench.next_run(),
                    "body": webhook_body(),
                    "secret": self.bench.secret,
                    "customers_count": USERS_COUNT,
                    "ports": self.ours,
                    "path": f"{PREFIX}/webhooks/stripe",
                    "rate": rate,
                    "seconds": seconds,
                    "connections": OPEN_CONNECTIONS_MAX,
                    **plan,
                }
            )
        )

    def _reads(self, connections: int) -> Result:
        return load(
            connections=connections,
            seconds=self.seconds,
            ports=self.ours,
            headers=self._bearer,
            path=f"{PREFIX}/users/user7/payment-status",
        )

    def _open_reads(self, rate: float, seconds: float) -> Result:
        return _without_refusals(
            open_load(
                ports=self.ours,
                headers=self._bearer,
                path=f"{PREFIX}/users/user7/payment-status",
                rate=rate,
                seconds=seconds,
                connections=OPEN_CONNECTIONS_MAX,
            )
        )

    def locked(self) -> Case:
        return self._isolated(
            "locked", "one account locked, 2 % of the events | none", 50, self._held
        )

    def slow(self) -> Case:
        return self._isolated(
            "slow", "one account takes 8 s, 1 % of the events | none", 100, self._slowed
        )

    def _isolated(
        self,
        key: str,
        name: str,
        each: int,
        fault: Callable[[], AbstractAsyncContextManager[None]],
    ) -> Case:
        """Return a case in which every `each`th event is of the account with a fault.

        All figures are those of the other accounts; none of their events may be
        refused.
        """

        def clean() -> Result:
            return self._events(
                64,
                seconds=HELD_S,
                their_customer=THEIR_USER,
                their_each=each,
            )

        async def faulty() -> Result:
            async with fault():
                return await asyncio.to_thread(clean)

        return Case(
            key=key,
            name=name,
            connections=64,
            ours=lambda: asyncio.run(faulty()),
            limit=clean,
        )

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.bench.database_url)
        try:
            async with connection.transaction():
                await connection.execute(
                    "select from payment_accounts where user_id = $1 for update",
                    f"user{THEIR_USER}",
                )
                yield
        finally:
            await connection.close()

    @asynccontextmanager
    async def _slowed(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.bench.database_url)
        try:
            await connection.execute(_SLOW)
            yield
            await connection.execute("drop function take_long cascade")
        finally:
            await connection.close()


_SLOW: Final = f"""
create function take_long() returns trigger language plpgsql as $$
begin
    perform pg_sleep({SLOW_S});
    return new;
end $$;
create trigger take_long before insert or update on payments for each row
    when (new.user_id = 'user{THEIR_USER}') execute function take_long();
"""


async def _commits(dsn: str, *, seconds: float) -> Result:
    """Commit one row after the other; return the time of one commit."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "create table if not exists bench_commits (id bigserial, at timestamptz)"
        )
        insert = await connection.prepare(
            "insert into bench_commits values (default, now())"
        )
        took_s: list[float] = []
        started = now = time.perf_counter()
        while now - started < seconds:
            await insert.fetch()
            before, now = now, time.perf_counter()
            took_s.append(now - before)
    finally:
        await connection.close()
    ordered = sorted(took_s)
    return {
        "count": len(ordered),
        "per_second": len(ordered) / (now - started),
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
    }


async def _heard(bench: Bench, port: int, token: str, *, seconds: float) -> Result:
    """Register users, each with a waiting reader; a loop gives positions meanwhile."""
    took = list[float]()
    headers = {"Authorization": f"Bearer {token}"}
    # Without the system's certificates, which take a while to read.
    async with (
        PostgresStore(bench.database_url).opened() as store,
        httpx.AsyncClient(headers=headers, timeout=60, verify=False) as http,  # noqa: S501  # it is plain HTTP
    ):
        sequencer = PostgresFeedSequencer(store)
        register = RegisterUser(
            RecordFacts(PostgresLedger(store), utc_now, utc_now, Policy())
        )

        async def sequence() -> None:
            while True:
                if not await sequencer.give(BATCH):
                    await asyncio.sleep(FEED_POLL_S)

        while await sequencer.give(BATCH):
            continue
        giving = asyncio.create_task(sequence())
        after = await PostgresFeedReader(store).last()
        ends_at = time.perf_counter() + seconds
        while time.perf_counter() < ends_at:
            url = f"http://127.0.0.1:{port}{PREFIX}/feed?after={after}&wait_s=30"
            waiting = asyncio.create_task(http.get(url))
            # At a random phase of the two polling loops.
            await asyncio.sleep(random.uniform(0.2, 0.4))  # noqa: S311  # no secret
            name = f"heard{uuid.uuid4().hex}"
            await register(user_id(name), Email.of(f"{name}@example.com"))
            saved_at = time.perf_counter()
            page = (await waiting).raise_for_status().json()
            took.append((time.perf_counter() - saved_at) * 1e3)
            after = page["next"]
        giving.cancel()
    took.sort()
    return {
        "count": len(took),
        "per_second": len(took) / seconds,
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[-1],
    }
