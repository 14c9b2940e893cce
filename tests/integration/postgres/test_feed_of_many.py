"""The feed under many writers, some of which are stopped inside COMMIT."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import pytest

from contracts.examples import ADA, NOON, an_account
from contracts.feed import Named, change, end_of, named
from contracts.stores import Stores
from payments_adapters.memory import FixedClock
from payments_adapters.postgres.store import PostgresStore
from payments_core.feed import BEGINNING
from payments_core.identity import UserId
from payments_core.job import Job, JobState
from payments_core.jobs.access_end import tell_access_end
from payments_core.jobs.sync import JobRun
from payments_core.now import Now
from payments_core.policy import DEFAULT_POLICY
from payments_core.use_cases import RecordFacts
from support import databases
from support.postgres_stores import fetch, stores_on

pytestmark = pytest.mark.anyio

WRITERS: Final = 32
# Every fourth writer is stopped in the COMMIT of its third change.
SLOW: Final = 4
STALLED: Final = 3
CHANGES: Final = 5
# Small, so that many turns overlap with the writers.
AT_ONCE: Final = 7
_KEY: Final = 20_261_128
_GATE: Final = f"""
create function stand_at_the_gate() returns trigger language plpgsql as $$
begin
    while not pg_try_advisory_xact_lock_shared({_KEY}) loop
        perform pg_sleep(0.01);
    end loop;
    return null;
end $$;
create constraint trigger gate after insert on account_log
    deferrable initially deferred for each row
    when (new.user_id like 'slow%' and new.version = {STALLED})
    execute function stand_at_the_gate();
"""
_STANDING: Final = """
select count(*) from pg_stat_activity
where datname = current_database() and query like '%save_v1%'
    and wait_event = 'PgSleep'
"""


@attrs.define
class Consumer:
    """Reads on from its position; it never reads a change again."""

    stores: Stores
    after: int = BEGINNING
    seen: list[Named] = attrs.field(factory=list)
    _wanted: int = 0
    _has_read: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    async def has_read(self, count: int) -> None:
        """Return once it has read this many."""
        self._wanted = count
        self._has_read.clear()
        await self._has_read.wait()

    async def read(self) -> None:
        has_more = True
        while has_more:
            page = await self.stores.feed.page(self.after, AT_ONCE)
            self.seen += named(page.changes)
            self.after, has_more = page.next, page.has_more
        if len(self.seen) >= self._wanted:
            self._has_read.set()


@asynccontextmanager
async def closed_gate(dsn: str) -> AsyncIterator[Any]:
    connection = await databases.connected(dsn)
    try:
        await connection.execute(_GATE)
        await connection.execute(f"select pg_advisory_lock({_KEY})")
        yield connection
    finally:
        await connection.close()


async def write(stores: Stores, user: UserId, number: int) -> None:
    await stores.keep(an_account(user))
    for months in range(1, CHANGES):
        # Their clocks differ by minutes, and one is behind the one before.
        await change(stores, user, months, at=60 * number - months)


def expected(user: UserId, last: int) -> list[Named]:
    return [(user, version) for version in range(1, last + 1)]


async def test_p32_f22_stalled_commits_hold_up_nobody_and_none_is_skipped(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    32 writers, 8 of them stopped inside COMMIT, three sequencers, one consumer: it has
    all that is committed, and later the rest, each user's in order.
    """
    monkeypatch.setattr("payments_adapters.postgres.ledger.SAVE_TIMEOUT_S", 60)
    names = ["slow" if it % SLOW == 0 else "fast" for it in range(WRITERS)]
    users = [UserId(f"{name}{number}") for number, name in enumerate(names)]
    slow = [it for it in users if it.startswith("slow")]
    async with (
        PostgresStore(database_url, WRITERS + 8).opened() as store,
        closed_gate(database_url) as gate,
    ):
        stores, stop = stores_on(store), asyncio.Event()
        consumer = Consumer(stores)

        async def sequence() -> None:
            while not stop.is_set():
                await stores.sequencer.give(AT_ONCE)

        async def consume() -> None:
            while not stop.is_set():
                await consumer.read()

        writers = {
            user: asyncio.create_task(write(stores, user, number))
            for number, user in enumerate(users)
        }
        rest = [asyncio.create_task(it()) for it in (*[sequence] * 3, consume)]
        await asyncio.gather(*(it for user, it in writers.items() if user not in slow))
        while await gate.fetchval(_STANDING) < len(slow):
            continue

        # Nothing waits for the stopped writers.
        wanted = {
            it: expected(it, STALLED - 1 if it in slow else CHANGES) for it in users
        }
        await consumer.has_read(sum(map(len, wanted.values())))
        assert by_user(consumer.seen) == wanted
        assert not any(writers[it].done() for it in slow)

        await gate.execute("select pg_advisory_unlock_all()")
        await asyncio.gather(*writers.values())
        await consumer.has_read(WRITERS * CHANGES)
        stop.set()
        await asyncio.gather(*rest)
        positions = await fetch(
            store, "select position from account_log order by position"
        )

    assert by_user(consumer.seen) == {it: expected(it, CHANGES) for it in users}
    # Each once, without a gap.
    assert [it for (it,) in positions] == list(range(1, WRITERS * CHANGES + 1))


def by_user(seen: list[Named]) -> dict[UserId, list[Named]]:
    found = dict[UserId, list[Named]]()
    for it in seen:
        found.setdefault(it[0], []).append(it)
    return {user: found[user] for user in sorted(found, key=_number)}


def _number(user: str) -> int:
    return int(user[4:])


async def test_p32_a_row_that_somebody_holds_is_left_to_the_next_time(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    All changes of its user wait, because of their order; all others go on at once.
    """
    for user in ("a", "b"):
        await stores.keep(an_account(user))
        await change(stores, UserId(user), 1, at=1)
    async with shared.connection() as connection, connection.transaction():
        await connection.execute(
            "select from account_log where user_id = 'a' and version = 1 for update"
        )
        assert await stores.sequencer.give(AT_ONCE) == 2
        assert named((await stores.feed.page(BEGINNING, AT_ONCE)).changes) == [
            ("b", 1),
            ("b", 2),
        ]
    assert await stores.sequencer.give(AT_ONCE) == 2
    found = named((await stores.feed.page(BEGINNING, AT_ONCE)).changes)
    assert found == [("b", 1), ("b", 2), ("a", 1), ("a", 2)]


async def test_p33_one_gives_positions_at_a_time(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    Another sequencer finds nothing to do, and does not wait.
    """
    await stores.keep(an_account("cyd"))
    assert await stores.sequencer.give(AT_ONCE) == 1
    await stores.keep(an_account())
    async with shared.connection() as connection, connection.transaction():
        assert await connection.fetchval("select give_positions_v1(1)") == 1
        await stores.keep(an_account("bob"))
        assert await stores.sequencer.give(AT_ONCE) == 0
    assert await stores.sequencer.give(AT_ONCE) == 1
    page = await stores.feed.page(BEGINNING, AT_ONCE)
    assert named(page.changes) == [("cyd", 1), ("ada", 1), ("bob", 1)]


async def test_an_end_is_told_by_a_job(stores: Stores) -> None:
    """
    Requested when it is due, saved and finished at once; then nothing is left to do.
    """
    clock = FixedClock(NOON)
    record = RecordFacts(stores.ledger, clock, clock, DEFAULT_POLICY)
    nothing: Any = None
    run = JobRun(
        nothing,
        record,
        nothing,
        stores.accounts,
        nothing,
        nothing,
        nothing,
        stores.history,
        0,
    )
    await stores.keep(an_account())
    await change(stores, ADA, 1)
    await stores.sequencer.give(AT_ONCE)
    clock.now = end_of(1)
    now = Now(at=clock.now, system=clock.now)
    assert await stores.queue.request_ended(now=now, limit=9) == 1
    [claimed] = await stores.queue.claim(now=now.system, limit=9)
    assert isinstance(claimed.work, Job)
    await tell_access_end(run, claimed.work)
    await stores.sequencer.give(AT_ONCE)

    page = await stores.feed.page(BEGINNING, AT_ONCE)
    last = page.changes[-1]
    assert (last.version, last.at, last.cause) == (3, end_of(1), "access ended")
    assert last.entitled_until == end_of(1)
    assert (await stores.account(ADA)).version == 3
    assert (await stores.job(claimed.work.key)).state is JobState.DONE
    assert await stores.access_ends() == {}


_OF_BEFORE: Final = """
insert into account_log (
    user_id, version, at, payment_status, payment_expire_date, cause, sources
)
select 'u' || n % 100, n / 100 + 1, $1::timestamptz + n * interval '1 second', 'paid',
    $1::timestamptz + interval '1 year', 'paid', '{}'
from generate_series(0, 999) n
"""


async def test_what_was_logged_before_gets_its_positions_a_little_at_a_time(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    Rows from before migration 0016 have the date, by which they are checked.
    """
    await fetch(shared, _OF_BEFORE, NOON)
    turns = [await stores.sequencer.give(300) for _ in range(5)]
    assert sum(turns) == 1_000
    assert turns[-1] == 0
    page = await stores.feed.page(BEGINNING, 1_000)
    assert [it.version for it in page.changes if it.user_id == "u7"] == [*range(1, 11)]
    assert {it.entitled_until for it in page.changes} == {
        page.changes[0].payment_expire_date
    }
    assert len(await stores.access_ends()) == 100


async def test_what_ended_before_there_was_a_feed_is_not_told(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    Otherwise an upgrade would report everybody who ever left.
    """
    begun = "insert into feed_head (singleton, last, begun_at) values (true, 0, $1)"
    await fetch(shared, begun, NOON.replace(year=NOON.year + 1))
    await stores.keep(an_account("a"), an_account("b"))
    await change(stores, UserId("a"), 1)
    await change(stores, UserId("b"), 24)
    await stores.sequencer.give(AT_ONCE)
    assert set(await stores.access_ends()) == {"b"}
