"""What polls and revocations lock, what the previous release writes, and restores."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

import asyncpg
import pytest

from contracts.examples import ADA, NOON, a_token
from contracts.purges import FAR_AHEAD, purged
from contracts.revocation_log import names, polled, revoked, revoked_before
from contracts.stores import Stores
from contracts.token_store import revocation_of
from payments_adapters.memory import FixedClock
from payments_adapters.postgres.revocation_log import PostgresRevocationLog
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.token_store import PostgresTokens
from payments_core.errors import StoreUnavailable
from payments_core.retention import PurgeKind
from payments_core.use_cases import FollowRevocations
from support import databases
from support.pooler import pooled
from support.postgres_stores import fetch
from support.revoking import LeaseTime

pytestmark = pytest.mark.anyio

_T = TypeVar("_T")
WITHIN_S: Final = 30
# As 0.1.0 has them.
_OLD_TOKEN: Final = (
    "insert into invalidated_tokens (issuer, jti, user_id, expires_at, invalidated_at)"
    " values ($1, $2, $3, $4, $5) on conflict do nothing"
)
_OLD_CUT_OFF: Final = (
    "insert into token_cut_offs (user_id, at) values ($1, $2)"
    " on conflict (user_id) do update set at = excluded.at"
    " where token_cut_offs.at < excluded.at"
)
_OLD_CHECK: Final = (
    "select exists (select from invalidated_tokens where issuer = $1 and jti = $2)"
    " or exists (select from token_cut_offs where user_id = $3 and at >= $4)"
)
_POLL: Final = (
    "select * from poll_revocations_v1('one', $1, null, $1, now(), now(), 10)"
)
_REVOKE: Final = "select revoke_issued_before_v1('ada', '2026-01-01Z')"
_OLDER: Final = (
    "update revocation_heartbeats set at = now() - $2::text::interval"
    " where process_id = $1"
)
_WAITS: Final = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""


@asynccontextmanager
async def transaction(
    dsn: str, isolation: str = "read committed"
) -> AsyncIterator[Any]:
    """Lend a connection with an open transaction."""
    connection = await databases.connected(dsn)
    try:
        await connection.execute(f"begin isolation level {isolation}")
        yield connection
    finally:
        await connection.close()


async def waits(dsn: str, work: Awaitable[_T]) -> "asyncio.Future[_T]":
    """Start a coroutine, and return once it waits for a lock."""
    begun = asyncio.ensure_future(work)
    async with asyncio.timeout(WITHIN_S):
        while (await databases.fetch(dsn, _WAITS))[0]["count"] == 0:
            assert not begun.done()
    return begun


async def test_p30_a_poll_waits_for_a_revocation_whose_commit_is_under_way(
    stores: Stores, shared_url: str
) -> None:
    """
    And returns it: no process relies on what was read before its commit.
    """
    await polled(stores)
    async with transaction(shared_url) as revoking:
        position = await revoking.fetchval(_REVOKE)
        poll = await waits(shared_url, polled(stores))
        await revoking.execute("commit")
        answer = await poll
    assert (answer.head, len(answer.users)) == (position, 1)


async def test_p30_a_revocation_waits_for_the_heartbeat_of_a_poll_that_has_read(
    stores: Stores, shared_url: str
) -> None:
    """
    So the poll finds it: the process had not heard of it.
    """
    await polled(stores, process_id="two")
    async with transaction(shared_url) as polling:
        await polling.fetch(_POLL, 0)
        revoking = await waits(shared_url, revoked_before(stores))
        await polling.execute("commit")
        position = await revoking
    await polled(stores, position, process_id="two")
    assert not await stores.revocations.is_heard(position)


async def test_polls_do_not_wait_for_each_other(
    stores: Stores, shared_url: str
) -> None:
    """
    However slow the commit of one of them is.
    """
    await polled(stores)
    async with transaction(shared_url) as polling, asyncio.timeout(WITHIN_S):
        await polling.fetch(_POLL, 0)
        await polled(stores, process_id="two")


async def test_p30_of_snapshots_that_are_taken_too_early_nothing_is_relied_on(
    stores: Stores, shared_url: str
) -> None:
    """
    If a server's default is `repeatable read`, a poll that missed one is an error.
    """
    await polled(stores)
    async with transaction(shared_url, "repeatable read") as polling:
        await polling.fetch("select from deployment")
        await revoked_before(stores)
        with pytest.raises(asyncpg.SerializationError):
            await polling.fetch(_POLL, 0)


async def test_positions_are_in_the_order_of_commits_without_a_gap(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    However many revoke at once; a concurrent reader misses none.
    """
    told: list[str] = []
    is_over = False

    async def read() -> None:
        after = 0
        while not is_over or after < (await polled(stores, after)).head:
            answer = await polled(stores, after, limit=3)
            told.extend(names(answer))
            after = answer.reached

    reading = asyncio.create_task(read())
    await asyncio.gather(*[revoked(stores, str(number)) for number in range(100)])
    is_over = True
    await reading

    assert sorted(told, key=int) == [str(number) for number in range(100)]
    rows = await fetch(shared, "select position from invalidated_tokens order by 1")
    assert [it["position"] for it in rows] == list(range(1, 101))


async def test_f50_what_the_release_before_revokes_is_heard(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    A token, a user's tokens, and a later time for theirs; a repetition is no new
    revocation. And it finds what this release revoked.
    """
    token, at = a_token(), NOON
    values = (token.issuer, token.jti, ADA, token.expires_at, NOON)
    reached = 0
    for query, given, tokens, moments in (
        (_OLD_TOKEN, values, [token.jti], []),
        (_OLD_TOKEN, values, [], []),
        (_OLD_CUT_OFF, (ADA, at), [], [at]),
        (_OLD_CUT_OFF, (ADA, at + timedelta(1)), [], [at + timedelta(1)]),
        (_OLD_CUT_OFF, (ADA, at), [], []),
    ):
        await fetch(shared, query, *given)
        answer = await polled(stores, reached)
        assert names(answer) == tokens
        assert [it.at for it in answer.users] == moments
        reached = answer.reached

    await revoked(stores, "this")
    own = (token.issuer, "this", "nobody", NOON)
    assert (await fetch(shared, _OLD_CHECK, *own))[0][0]
    # An update of a row for another reason is no new revocation.
    await fetch(shared, "update invalidated_tokens set user_id = null")
    assert (await polled(stores)).head == reached + 1


async def test_a_head_that_is_lost_begins_after_what_is_there(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    No position is given twice.
    """
    await revoked(stores, "a", "b")
    last = await revoked_before(stores)
    await fetch(shared, "delete from revocation_head")
    assert (await polled(stores)).head == last
    await fetch(shared, "delete from revocation_head")
    assert await revoked(stores, "c") == [last + 1]


async def known_processes(store: PostgresStore) -> set[str]:
    rows = await fetch(store, "select process_id from revocation_heartbeats")
    return {it["process_id"] for it in rows}


async def test_f06_each_poll_shows_that_its_process_lives(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    However long it was silent before. A process that was purged meanwhile is registered
    again.
    """
    for _ in range(2):
        await polled(stores)
        await fetch(shared, _OLDER, "one", "25 hours")
    await polled(stores)
    assert await purged(stores, PurgeKind.HEARTBEATS, before=FAR_AHEAD) == []

    await fetch(shared, _OLDER, "one", "25 hours")
    assert await purged(stores, PurgeKind.HEARTBEATS, before=FAR_AHEAD) == [1]
    assert await known_processes(shared) == set()
    await polled(stores)
    (position,) = await revoked(stores, "a")
    assert not await stores.revocations.is_heard(position)


async def test_f43_a_clock_that_jumps_by_hours_forgets_no_process(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    The row of a killed process is purged a day later, and no other row, however wrong
    the clock of the purging process is: a revocation would not wait for that process.
    """
    for name in ("lives", "silent", "killed"):
        await polled(stores, process_id=name)
    for name, age in (("silent", "3 hours"), ("killed", "25 hours")):
        await fetch(shared, _OLDER, name, age)
    await polled(stores, process_id="new")
    assert await purged(stores, PurgeKind.HEARTBEATS, before=NOON) == []

    assert await stores.purges.count(PurgeKind.HEARTBEATS, FAR_AHEAD, limit=9) == 1
    assert await purged(stores, PurgeKind.HEARTBEATS, before=FAR_AHEAD) == [1]
    assert await known_processes(shared) == {"lives", "silent", "new"}


def follower(store: PostgresStore, time: LeaseTime) -> FollowRevocations:
    log = PostgresRevocationLog(store, store)
    tokens = PostgresTokens(store)
    return FollowRevocations(log, tokens, time, FixedClock(NOON), "one")


async def test_f55_a_process_reads_a_restored_database_from_its_beginning(
    store: PostgresStore, database_url: str
) -> None:
    """
    Tokens revoked after the backup are valid again, as the table says; tokens revoked
    since then are not, although their positions are ones that the process had passed.
    """
    time, tokens = LeaseTime(), PostgresTokens(store)
    process = follower(store, time)
    for name in ("kept", "lost", "lost, too"):
        await tokens.invalidate(revocation_of(a_token(name)))
    assert await process.is_revoked(a_token("lost"))
    await databases.execute(
        database_url,
        "delete from invalidated_tokens where position > 1",
        "update revocation_head set position = 1",
    )
    assert await tokens.invalidate(revocation_of(a_token("new"))) == 2

    time.now += 2
    assert await process.is_revoked(a_token("new"))
    assert await process.is_revoked(a_token("kept"))
    assert not await process.is_revoked(a_token("lost"))


async def test_f55_a_failover_that_lost_commits_is_found_out_by_its_marks(
    store: PostgresStore, database_url: str
) -> None:
    """
    Their positions are given again: the head is the same as before, and tokens revoked
    since then are refused nevertheless.
    """
    time, tokens = LeaseTime(), PostgresTokens(store)
    process = follower(store, time)
    await tokens.invalidate(revocation_of(a_token("kept")))
    assert await process.is_revoked(a_token("kept"))
    (then,) = await databases.fetch(
        database_url,
        "select h.mark, b.marks from revocation_head h, revocation_heartbeats b",
    )
    await tokens.invalidate(revocation_of(a_token("lost")))
    time.now += 2
    assert await process.is_revoked(a_token("lost"))
    for query, *values in (
        ("delete from invalidated_tokens where position > 1",),
        ("update revocation_head set position = 1, mark = $1", then["mark"]),
        ("update revocation_heartbeats set heard = 0, marks = $1", then["marks"]),
    ):
        await databases.fetch(database_url, query, *values)
    assert await tokens.invalidate(revocation_of(a_token("new"))) == 2
    assert await tokens.invalidate(revocation_of(a_token("newer"))) == 3

    time.now += 2
    assert await process.is_revoked(a_token("new"))
    assert await process.is_revoked(a_token("kept"))
    assert not await process.is_revoked(a_token("lost"))


async def test_t38_a_server_that_only_reads_gives_no_lease(
    store: PostgresStore, database_url: str
) -> None:
    """
    A replica, or an old primary that was fenced: no token is accepted.
    """
    time = LeaseTime()
    process = follower(store, time)
    assert not await process.is_revoked(a_token())
    name = database_url.rpartition("/")[2]
    await databases.execute(
        database_url, f"alter database {name} set default_transaction_read_only = on"
    )
    time.now += 2
    async with PostgresStore(databases.direct(database_url), 1).opened() as reading:
        with pytest.raises(StoreUnavailable):
            await follower(reading, time).is_revoked(a_token())


async def test_revocations_work_through_a_pooler(
    database_url: str,
) -> None:
    """
    Each call is one transaction, and needs no session state.
    """
    with pooled(database_url) as through:
        async with PostgresStore(through, 2).opened() as store:
            time, tokens = LeaseTime(), PostgresTokens(store)
            process = follower(store, time)
            for number in range(5):
                token = a_token(str(number))
                assert not await process.is_revoked(token)
                await tokens.invalidate(revocation_of(token))
                time.now += 2
                assert await process.is_revoked(token)
