"""Connections of the pool that are cut, awaited or idle; no plan scans a table."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import attrs
import pytest
import sqlalchemy as sa

from contracts.examples import (
    APPLIED,
    CH_1,
    NOON,
    NOW,
    SUB_1,
    a_job,
    a_payment,
    a_record,
    an_account,
    an_event,
    an_intent,
    email_of,
)
from contracts.ledger_jobs import finished
from contracts.stores import SAVED, Stores, moved, users
from payments_adapters.postgres import schema
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import (
    KEPT_FOR_S,
    RARE_CONNECTIONS_MAX,
    Connections,
    PostgresStore,
)
from payments_core.changes import Lookup
from payments_core.errors import StoreUnavailable
from payments_core.job import Job
from payments_core.linking import LinkKeys
from payments_core.ports import Ledger
from support import databases
from support.postgres_stores import stores_on
from support.service import free_port

pytestmark = pytest.mark.anyio

# Every table that grows, large enough for the planner to take notice.
_FILL: Final = """
insert into payment_accounts (user_id, email, email_key, customer_id, payment_status,
    version, created_at, updated_at)
select 'u' || n, n || '@x', n || '@x', 'c' || n, 'none', 1, now(), now()
from generate_series(1, 3000) n;
insert into payments (id, user_id, state, dispute, refunded_minor, claimed_by, version,
    recorded_at, updated_at)
select 'p' || n, 'u' || n, 'succeeded', 'none', 0, 'u' || n, 1, now(), now()
from generate_series(1, 3000) n;
insert into webhook_events (id, type, created_at, received_at, livemode, state)
select 'e' || n, 'charge.succeeded', now(), now(), false, 'applied'
from generate_series(1, 3000) n;
insert into subscriptions (gateway_id, id, user_id, customer_id, status, product, price,
    quantity, item_id, currency, created_at, period_start, period_end,
    cancel_at_period_end, known_until, ticket, version, recorded_at, updated_at)
select 's' || n, 's' || n, 'u' || n, 'c' || n, 'active', 'p', 'p', 1, 'i', 'eur', now(),
    now(), now(), false, now(), 1, 1, now(), now()
from generate_series(1, 3000) n;
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead,
    finished_at)
select 'payment', 'p' || n, 'done', now(), 1, 0, 1, true, now()
from generate_series(1, 3000) n;
insert into intents (id, user_id, kind, subject, state, wanted, calls, fingerprint,
    attempts, due_at, created_at, version, updated_at)
select 'i' || n, 'u' || n, 'create_customer', '', 'succeeded', '{}', '[]', 'f', 0,
    now(), now(), 1, now()
from generate_series(1, 3000) n;
insert into link_keys (key, version)
select 'k' || n, 1 from generate_series(1, 3000) n;
insert into paid_periods (subscription_id, invoice_id, starts_at, ends_at, source,
    recorded_at)
select 's' || n, 'i' || n, now(), now(), 'invoice', now()
from generate_series(1, 3000) n;
analyze payment_accounts, payments, webhook_events, subscriptions, jobs, intents,
    link_keys, paid_periods
"""
_SCANS: Final = """
select relname, seq_scan from pg_stat_user_tables where seq_scan > 0 and relname in (
    'payment_accounts', 'payments', 'webhook_events', 'subscriptions', 'jobs',
    'intents', 'link_keys', 'paid_periods'
)
"""

_WAITS: Final = """
select count(*) from pg_locks where not granted and locktype = 'advisory'
    and database = (select oid from pg_database where datname = current_database())
"""


@pytest.mark.parametrize("size", [1, 8])
async def test_f11_a_connection_that_was_cut_while_idle_is_replaced(
    database_url: str, postgres: str, size: int
) -> None:
    """
    A restart, a failover, a proxy's idle time-out: the next call is not refused.
    """
    async with PostgresStore(databases.direct(database_url), size).opened() as store:
        for _ in range(3):
            lost = asyncio.Event()
            async with store.connection() as connection:
                pid = await connection.fetchval("select pg_backend_pid()")
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
            await databases.execute(postgres, f"select pg_terminate_backend({pid})")
            await lost.wait()
            async with store.connection() as another:
                assert await another.fetchval("select pg_backend_pid()") != pid


async def test_who_waits_for_the_only_connection_gets_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It is not kept idle while a call waits for it.
    """
    monkeypatch.setattr("payments_adapters.postgres.store.CONNECT_TIMEOUT_S", 3600)
    async with PostgresStore(database_url, 1).opened() as store:
        async with store.connection() as connection:
            waiting = asyncio.create_task(store.ping())
            await connection.fetchval("select 1")
        await waiting
        assert waiting.exception() is None


async def test_a_pool_says_how_many_connections_are_used_and_idle(
    database_url: str,
) -> None:
    """
    The spare connection is idle.
    """
    store = PostgresStore(database_url, 3)
    assert store.connections == Connections(0, 0, 3)
    async with store.opened():
        assert store.connections == Connections(0, 0, 3)
        async with store.connection(), store.connection():
            assert store.connections == Connections(2, 0, 3)
        assert store.connections == Connections(0, 2, 3)
        async with store.connection():
            assert store.connections == Connections(1, 1, 3)


async def test_f15_a_transaction_that_was_cut_off_is_nobody_elses(
    database_url: str,
) -> None:
    """
    It is rolled back before the connection is reused.
    """
    async with PostgresStore(database_url, 1).opened() as store:
        async with store.connection() as connection:
            await connection.execute("begin")
        async with store.connection() as connection:
            assert not connection.is_in_transaction()


async def test_a_connection_that_nobody_uses_is_closed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A proxy between the service and the server may drop it after a while, without
    notice.
    """
    monkeypatch.setattr("payments_adapters.postgres.store.KEPT_FOR_S", 0.001)
    monkeypatch.setattr("payments_adapters.postgres.store.IDLE_FOR_S", 0.001)
    async with PostgresStore(databases.direct(database_url), 1).opened() as store:
        closed = asyncio.Event()
        async with store.connection() as connection:
            pid = await connection.fetchval("select pg_backend_pid()")
            connection.add_termination_listener(lambda _: closed.set())
        await closed.wait()
        async with store.connection() as another:
            assert await another.fetchval("select pg_backend_pid()") != pid


async def test_closing_waits_for_who_uses_a_connection_and_no_longer(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A connection that is returned meanwhile is closed instead of kept.
    """
    monkeypatch.setattr("payments_adapters.postgres.store.CLOSE_TIMEOUT_S", 3600)
    store = PostgresStore(database_url, 2)
    used, may_end = asyncio.Event(), asyncio.Event()

    async def use() -> int:
        async with store.connection() as connection:
            used.set()
            await may_end.wait()
            found: int = await connection.fetchval("select 1")
            return found

    async with store.opened():
        using = asyncio.create_task(use())
        await used.wait()
        asyncio.get_running_loop().call_soon(may_end.set)
    assert await using == 1


_PID: Final = sa.select(sa.func.pg_backend_pid().label("pid"))
_END: Final = sa.select(sa.func.pg_terminate_backend(sa.func.pg_backend_pid()))


async def test_f11_a_rare_statement_outlives_a_cut_connection(
    database_url: str, postgres: str
) -> None:
    """
    Cut while idle, it is replaced; cut during a statement, the store's error is raised.
    """
    async with PostgresStore(database_url, 1).opened() as store:
        (before,) = await store.execute(_PID)
        await databases.execute(
            postgres, f"select pg_terminate_backend({before['pid']}, 5000)"
        )
        (after,) = await store.execute(_PID)
        assert after != before

        with pytest.raises(StoreUnavailable):
            await store.execute(_END)
        assert await store.execute(_PID)


async def test_rare_statements_have_few_connections_of_their_own(
    database_url: str,
) -> None:
    """
    However many calls come at once, and while the pool's only connection is taken.
    """
    async with PostgresStore(database_url, 1).opened() as store, store.connection():
        found = await asyncio.gather(*[store.execute(_PID) for _ in range(20)])
    assert len({row["pid"] for (row,) in found}) <= RARE_CONNECTIONS_MAX


async def test_a_rare_statement_that_finds_no_connection_free_is_told(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It waits no longer than a new connection takes. The caller sets how many
    connections there are.
    """
    lock = sa.select(sa.func.pg_advisory_xact_lock(1))
    lender = PostgresStore(database_url, 1)
    async with lender.opened(), lender.connection() as held:
        monkeypatch.setattr("payments_adapters.postgres.store.CONNECT_TIMEOUT_S", 0.01)
        async with PostgresStore(database_url, 1, rare_size=1).opened() as store:
            async with held.transaction():
                await held.execute("select pg_advisory_xact_lock(1)")
                waiting = asyncio.create_task(store.execute(lock))
                while not await held.fetchval(_WAITS):
                    pass
                with pytest.raises(StoreUnavailable):
                    await store.execute(_PID)
            await waiting


# Connections that stay are closed after this, and after minutes.
SOON_S: Final = KEPT_FOR_S / 2
_WRITE: Final = "update deployment set livemode = livemode"
_RARE_WRITE: Final = sa.text(_WRITE)


async def written(store: PostgresStore) -> bool:
    try:
        async with store.connection() as connection:
            await connection.execute(_WRITE)
    except StoreUnavailable:
        return False
    return True


async def writable(store: PostgresStore) -> bool:
    await store.ping()
    return not store.writability.is_lost


async def written_rarely(store: PostgresStore) -> bool:
    try:
        await store.execute(_RARE_WRITE)
    except StoreUnavailable:
        return False
    return True


@pytest.mark.parametrize("write", [written, written_rarely])
async def test_f11_no_session_of_a_server_that_only_reads_is_kept(
    database_url: str,
    write: Callable[[PostgresStore], Awaitable[bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    As after a failover: a connection that refused a write is not reused. All are
    replaced, including those that refused nothing yet, and writes soon succeed.
    """
    monkeypatch.setattr("payments_adapters.postgres.store.WRITES_POLL_S", 0.001)
    await databases.only_read(database_url, on=True)
    async with (
        PostgresStore(database_url, 3).opened() as store,
        AsyncExitStack() as all_,
    ):
        for _ in range(3):
            await all_.enter_async_context(store.connection())
        await store.execute(_PID)
        await all_.aclose()
        assert not await write(store)
        assert store.writability.is_lost
        assert await store.execute(_PID)

        await databases.only_read(database_url, on=False)
        async with asyncio.timeout(SOON_S):
            while not await writable(store):
                continue
        assert [await written(store), await written_rarely(store)] == [True, True]
        for _ in range(3):
            connection = await all_.enter_async_context(store.connection())
            await connection.execute(_WRITE)
    assert store.writability.lost_for_s == 0


async def test_f11_a_ping_tells_that_a_server_only_reads(database_url: str) -> None:
    """
    Before any write; reads are still answered. Another store of the same database knows
    it, too.
    """
    await databases.only_read(database_url, on=True)
    async with PostgresStore(database_url, 1).opened() as store:
        other = PostgresStore(database_url, 1, writability=store.writability)
        await store.ping()
        assert other.writability.is_lost
        assert await store.execute(_PID)


async def test_f11_what_waits_for_writes_ends_with_its_store(database_url: str) -> None:
    """
    Nothing is left behind, and a store that is opened again starts fresh.
    """
    await databases.only_read(database_url, on=True)
    store, before = PostgresStore(database_url, 1), asyncio.all_tasks()
    for _ in range(2):
        async with store.opened():
            assert not await written(store)
            assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


async def test_the_driver_reads_the_dsn_itself(database_url: str) -> None:
    """
    It may contain parameters that libpq knows and SQLAlchemy does not, because
    providers hand it out so.
    """
    dsn = f"{database_url}?sslmode=prefer"
    async with PostgresStore(dsn, 1).opened() as store:
        await store.ping()
        assert await store.execute(_PID)
    assert await schema.current(dsn) == schema.head()


async def test_a_dsn_with_two_hosts_leads_to_the_one_that_takes_writes(
    database_url: str,
) -> None:
    """
    A primary and its standby, each with its port: here the first does not answer.
    """
    parts = urlsplit(database_url)
    login, _, host = parts.netloc.rpartition("@")
    netloc = f"{login}@127.0.0.1:{free_port()},{host}"
    dsn = urlunsplit(
        parts._replace(netloc=netloc, query="target_session_attrs=primary")
    )
    async with PostgresStore(dsn, 1).opened() as store:
        await store.ping()
        assert await store.execute(_PID)
    assert await schema.current(dsn) == schema.head()


async def test_no_load_save_or_claim_reads_a_whole_table(database_url: str) -> None:
    """
    For any values, and after any earlier call: also by a plan that was made while the
    tables were empty, which is kept as long as the connection lives.
    """
    async with PostgresStore(database_url, 1).opened() as store:
        stores = stores_on(store)
        summing = PostgresLedger(store, 0)
        await _all_hot(stores, summing, "empty", count=7)
        async with store.connection() as connection:
            await connection.execute(_FILL)
            await connection.execute("select pg_stat_force_next_flush()")
            await connection.execute("select pg_stat_reset()")
        await _all_hot(stores, summing, "full", count=2)
        async with store.connection() as connection:
            await connection.execute("select pg_stat_force_next_flush()")
            scans = [tuple(row) for row in await connection.fetch(_SCANS)]
    assert scans == []


async def _all_hot(stores: Stores, summing: Ledger, name: str, *, count: int) -> None:
    """Make all hot calls, as often as it takes for a generic plan to be kept."""
    for number in range(count):
        user = f"{name}-{number}"
        report = a_payment(f"ch-{user}", user=user)
        await stores.keep(an_account(user), events=[(an_event(f"e-{user}"), APPLIED)])
        account = await stores.account(user)
        keys = users(user) | LinkKeys(email_keys=frozenset({email_of(user).key}))
        group = moved(
            account,
            attrs.evolve(account),
            payments=(a_record(report, owner=user),),
            events=((an_event(f"evt-{user}", report), APPLIED),),
            jobs=(a_job(user),),
            link_versions={f"user {user}": 0},
            intents=(an_intent(f"i-{user}", user=user),),
        )
        assert await stores.save(group) == [SAVED]
        await stores.load(
            keys=keys,
            payments=frozenset({report.id}),
            subscriptions=frozenset({SUB_1}),
            events=frozenset({an_event(f"evt-{user}").key}),
        )
        await stores.load(
            keys=keys,
            histories=frozenset({account.user_id}),
            unlinked=keys,
            link_keys=keys,
            intents=frozenset({an_intent(f"i-{user}").id}),
            idempotency_keys=frozenset({"a key"}),
            open_intents=frozenset({account.user_id}),
        )
        history = Lookup(payments=frozenset({CH_1}), histories=frozenset(keys.user_ids))
        (whole,) = (await summing.load(history)).histories
        assert whole.payment == report
        for claim in await stores.queue.claim(now=NOON, limit=9):
            if isinstance(claim.work, Job):
                await finished(stores, claim.work)
        await stores.queue.request_overdue(now=NOW, limit=9)
        await stores.accounts.find(account.user_id)
        await stores.accounts.find(email_of(user))
