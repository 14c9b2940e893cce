"""The contracts of the stores on a real Postgres, and what only it can get wrong."""

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final

import attrs
import pytest
import sqlalchemy as sa

from contracts.examples import (
    ADA,
    APPLIED,
    BOB,
    CH_1,
    NOON,
    SUB_1,
    a_job,
    a_job_key,
    a_payment,
    a_record,
    a_subscription,
    an_account,
    an_event,
    an_intent,
    email_of,
)
from contracts.ledger_guards import (
    LOCKED,
    NEIGHBOURS_COUNT,
    Neighbours,
    all_of,
    ridden,
    words_around,
)
from contracts.ledger_jobs import WAITING, claimed, died, finished
from contracts.ledger_links import ADAS_EMAIL, KEYS, NAME, claimer, keeper
from contracts.stores import SAVED, Stores, moved, users
from contracts.stores_contract import StoresContract
from contracts.token_store import TokenStoreContract
from contracts.work_queue import SILENT_AT, names, silent
from payments_adapters import postgres as postgres_package
from payments_adapters.postgres import partitions, tables
from payments_adapters.postgres.queries import PostgresTokens
from payments_adapters.postgres.store import PostgresStore
from payments_core.changes import Changes, SaveResult
from payments_core.errors import SaveTimedOut
from payments_core.identity import Email
from payments_core.job import Job, JobState
from payments_core.linking import LinkKeys
from payments_core.ports import TokenStore
from support import databases
from support.postgres_stores import emptied, fetch, holding, stores_on

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def shared_url(postgres: str, template: str) -> Iterator[str]:
    """
    One database for all tests that leave nothing but rows.
    """
    with databases.copy_of(postgres, template) as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def shared(shared_url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(shared_url, 25).opened() as store:
        yield store


@pytest.fixture
async def stores(shared: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> Stores:
    # A slow machine is no failure: what has to time out says so itself.
    monkeypatch.setattr("payments_adapters.postgres.ledger.SAVE_TIMEOUT_S", 60)
    await emptied(shared)
    return stores_on(shared)


class TestPostgres(StoresContract):
    """The contract, on Postgres."""


class TestPostgresTokens(TokenStoreContract):
    @pytest.fixture
    async def token_store(self, shared: PostgresStore) -> TokenStore:
        await emptied(shared)
        return PostgresTokens(shared)


# Locks that only a database has: on rows that are no account's, and those of others
# who have written and not committed.
_LOCKS: Final = {
    "a payment": "select from payments where id = 'ch_1' for update",
    "a subscription": "select from subscriptions where gateway_id = 'sub_1' for update",
    "a link key": "select from link_keys for update",
    "an intent": "select from intents where id = 'int_1' for update",
    "a job": "select from jobs where subject = 'sub_1' for update",
    "a pending event": "select from webhook_events where id = 'evt_1' for update",
    "a new payment": (
        'insert into payments select (jsonb_populate_record(p, \'{"id": "ch_9"}\')).*'
        " from payments p where id = 'ch_1' returning id"
    ),
    "a taken e-mail": """
        insert into payment_accounts
        select (jsonb_populate_record(a, '{"user_id": "eve", "email_key": "bob"}')).*
        from payment_accounts a where user_id = 'ada' returning user_id
    """,
}


async def _held(stores: Stores) -> dict[str, dict[str, Any]]:
    """Fill the store; return what of a group needs each of the locks above."""
    await stores.keep(
        an_account(),
        payments=[a_record()],
        subscriptions=[a_subscription()],
        intents=[an_intent()],
        jobs=[a_job()],
        events=[(an_event(), WAITING)],
    )
    assert await stores.save(keeper("ch_0", 0)) == [SAVED]
    return {
        "a payment": {"payments": (await stores.payment(CH_1),)},
        "a subscription": {"subscriptions": (await stores.subscription(SUB_1),)},
        "a link key": {"link_versions": {NAME: 1}},
        "an intent": {"intents": (await stores.intent("int_1"),)},
        "a job": {"jobs": (a_job(),)},
        "a pending event": {"settled": ((an_event().key, APPLIED),)},
        "a new payment": {"payments": (a_record(a_payment("ch_9")),)},
        "a taken e-mail": {
            "after": attrs.evolve(an_account(BOB), email=Email("bob", "bob"), version=1)
        },
    }


async def test_whatever_is_locked_its_neighbours_are_saved(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    The group is told so, and nothing of it is there; nobody waits for longer than a
    moment.
    """
    needs = await _held(stores)
    neighbours = Neighbours()
    await neighbours.open(stores)
    before = await all_of(stores)
    for name, need in needs.items():
        async with shared.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            assert await connection.fetch(_LOCKS[name]), name
            words = await stores.save(*neighbours.around(ridden(**need)))
            await transaction.rollback()
        assert (name, words) == (name, words_around(LOCKED))
        assert await neighbours.went_on(stores, words)
        assert await all_of(stores) == before


async def test_a_locked_account_is_not_waited_for_at_all(store: PostgresStore) -> None:
    """
    It is passed over, and costs its neighbours nothing: even where a lock would be
    waited for without an end.
    """
    async with store.connection() as connection:
        await connection.execute("alter function save_v1 set lock_timeout = 0")
    stores = stores_on(store)
    await stores.keep(an_account(), an_account(BOB))
    ada, bob = await stores.account(ADA), await stores.account(BOB)
    async with stores.hold(ADA):
        words = await stores.save(moved(ada, ada), moved(bob, bob))
    assert words == [LOCKED, SAVED]


async def test_several_locks_do_not_keep_the_others_from_being_saved(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    All of them together are waited for no longer than a save may take, and whatever
    is not locked is saved.
    """
    needs = await _held(stores)
    del needs["a taken e-mail"], needs["a new payment"]
    neighbours = Neighbours()
    await neighbours.open(stores)
    groups = [Changes(key=name, **need) for name, need in needs.items()]
    async with AsyncExitStack() as locks:
        for name in needs:
            await locks.enter_async_context(holding(shared, _LOCKS[name]))
        words = await stores.save(*groups, *neighbours.around(Changes(key="nothing")))

    assert words[: len(groups)] == [LOCKED] * len(groups)
    assert words[len(groups) :] == [SAVED] * (NEIGHBOURS_COUNT + 1)
    assert await stores.save(*groups) == [SAVED] * len(groups)


async def test_work_that_another_claims_at_this_moment_is_left_out(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    Nobody waits for it: the next ones come at once, and it when the other has ended.
    """
    ids = [f"int_{number}" for number in range(3)]
    subjects = [f"sub_{number}" for number in range(3)]
    await stores.keep(
        *map(an_account, ids),
        intents=[an_intent(it, user=it) for it in ids],
        jobs=[a_job(it) for it in subjects],
    )
    async with (
        holding(shared, "select from intents where id <= 'int_1' for update"),
        holding(shared, "select from jobs where subject <= 'sub_1' for update"),
    ):
        assert set(await names(stores)) == {"int_2", "sub_2"}
    assert set(await names(stores)) == {"int_0", "int_1", "sub_0", "sub_1"}


async def test_what_an_account_locks_does_not_hold_up_what_only_refers_to_it(
    stores: Stores,
) -> None:
    """
    An intent or a payment of a locked account, in a group that does not rest on it.
    """
    await stores.keep(an_account())
    group = Changes(key="it", intents=(an_intent(),), payments=(a_record(owner=ADA),))
    async with stores.hold(ADA):
        assert await stores.save(group) == [SAVED]


async def test_a_save_that_takes_too_long_says_so_and_can_be_run_again(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nobody knows whether it was saved: a load tells, and the groups themselves do.
    """
    group = Changes(key="it", events=((an_event(), APPLIED),))
    with monkeypatch.context() as patch:
        patch.setattr("payments_adapters.postgres.ledger.SAVE_TIMEOUT_S", 0)
        with pytest.raises(SaveTimedOut):
            await stores.save(group)
    known = (await stores.load(events=frozenset({an_event().key}))).events

    (word,) = await stores.save(group)
    assert word is (SaveResult.CHANGED if known else SAVED)


# The release before writes accounts and unlinked things by itself.
_BY_THE_RELEASE_BEFORE: Final = {
    "a payment of nobody": (
        "insert into payments (id, state, dispute, refunded_minor, email_key, version,"
        " recorded_at, updated_at) values ('ch_old', 'succeeded', 'none', 0, $1, 1,"
        " now(), now())"
    ),
    "an account": (
        "insert into payment_accounts (user_id, email, email_key, payment_status,"
        " version, created_at, updated_at) values ('old', $1, $1, 'none', 1, now(),"
        " now())"
    ),
    "a new e-mail": "update payment_accounts set email_key = $1 where user_id = 'bob'",
}


@pytest.mark.parametrize("writes", _BY_THE_RELEASE_BEFORE)
async def test_what_the_release_before_writes_raises_the_link_keys(
    stores: Stores, shared: PostgresStore, writes: str
) -> None:
    """
    So whoever decided without knowing of it is told that it changed.
    """
    await stores.keep(an_account(BOB))
    assert await stores.save(keeper("ch_0", 0)) == [SAVED]
    await fetch(shared, _BY_THE_RELEASE_BEFORE[writes], ADAS_EMAIL)

    assert await stores.link_version(NAME, KEYS) == 2
    for group in (keeper("ch_1", 1), attrs.evolve(claimer(1), after=None)):
        assert await stores.save(group) == [SaveResult.CHANGED]


@pytest.mark.parametrize("by", ["finished_at", "dead"])
async def test_a_job_that_the_release_before_asked_for_again_is_open(
    stores: Stores, shared: PostgresStore, by: str
) -> None:
    """
    It does not know that a finished job's row stays. It may be asked for, and die.
    """
    subscriptions = [silent(SUB_1), silent("sub_2")]
    await stores.keep(subscriptions=subscriptions, jobs=[a_job()])
    await finished(stores, await claimed(stores))
    await fetch(shared, "update jobs set dead = false, asked = asked + 1")
    assert (await stores.job(a_job_key())).state is JobState.OPEN

    if by == "dead":
        await died(stores, await claimed(stores))
        assert (await stores.job(a_job_key())).state is JobState.DEAD
    before = await stores.job(a_job_key())
    assert await stores.queue.request_overdue(now=SILENT_AT, limit=1) == 1
    assert await stores.job(a_job_key()) == before
    assert a_job_key("sub_2") in await stores.jobs()


async def test_what_another_asks_for_at_this_moment_is_left_to_him(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    Who waits until the other has ended does not ask once more.
    """
    await stores.keep(subscriptions=[silent(SUB_1)])
    async with shared.connection() as connection, connection.transaction():
        await connection.execute(
            "insert into jobs values ('subscription', 'sub_1', 'his', now(), 1, 0, 0,"
            " null, false)"
        )
        asking = asyncio.create_task(
            stores.queue.request_overdue(now=SILENT_AT, limit=9)
        )
        while not await fetch(shared, "select from pg_locks where not granted"):
            assert not asking.done()
    assert await asking == 0
    assert (await stores.job(a_job_key())).reason == "his"


async def test_a_body_is_found_whatever_the_day(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    A day that has a partition, one that has none, and the last moment of a day; more
    partitions may be made at any time, twice as well.
    """
    (today,) = await fetch(shared, "select (now() at time zone 'UTC')::date")
    await partitions.prepare(shared, today[0])
    await partitions.prepare(shared, today[0] + timedelta(days=1))
    midnight = NOON.replace(hour=23, minute=59, second=59, microsecond=999_999)
    days = [
        NOON,
        midnight,
        midnight.replace(year=today[0].year, month=today[0].month, day=today[0].day),
        NOON.replace(year=2100),
    ]
    for number, at in enumerate(days):
        event = an_event(f"evt_{number}", body=f"{number}".encode())
        seconds = (at - NOON).total_seconds()
        await stores.keep(events=[(event, APPLIED)], seconds=seconds)

    for number, at in enumerate(days):
        (kept,) = await stores.events.find(f"evt_{number}")
        assert (kept.body, kept.received_at) == (f"{number}".encode(), at)


async def test_the_body_of_an_event_of_the_release_before_is_found(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    It stands beside the event.
    """
    await stores.keep(events=[(an_event(body=b"new"), APPLIED)])
    await fetch(shared, "delete from event_bodies")
    await fetch(shared, "update webhook_events set body = 'old'")

    (kept,) = await stores.events.find("evt_1")
    assert kept.body == b"old"


# Rows are read by the names of their columns


_READ: Final = ("payment_accounts", "payments", "subscriptions", "intents", "jobs")


def _shuffled(table: sa.Table) -> sa.Table:
    """Return a table whose columns come in another order, with one more among them."""
    columns = [sa.Column(it.name, it.type) for it in reversed(list(table.c))]
    middle = len(columns) // 2
    added = sa.Column("added", sa.Text)
    return sa.Table(
        table.name, sa.MetaData(), *columns[:middle], added, *columns[middle:]
    )


async def test_rows_are_read_by_name(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A column more, in the middle, and all others in another order: nothing shifts.
    """
    async with store.connection() as connection:
        for name in _READ:
            await connection.execute(
                f"alter table {name} add column added text default 'added'"
            )
    modules = ("statements", "ledger", "work_queue", "queries")
    with monkeypatch.context() as patch:
        for name in _READ:
            patch.setattr(tables, name, _shuffled(getattr(tables, name)))
        # Read anew: their statements are made at import. The indexes are not needed.
        package = "payments_adapters.postgres"
        for name in modules:
            patch.delitem(sys.modules, f"{package}.{name}")
            patch.setattr(postgres_package, name, getattr(postgres_package, name))
        fresh = {name: importlib.import_module(f"{package}.{name}") for name in modules}
    assert "added" in fresh["work_queue"]._CLAIM_JOBS
    stores = attrs.evolve(
        stores_on(store),
        ledger=fresh["ledger"].PostgresLedger(store),
        queue=fresh["work_queue"].PostgresWorkQueue(store),
        accounts=fresh["queries"].PostgresDirectory(store),
        intents=fresh["queries"].PostgresIntentDirectory(store),
    )
    contract = StoresContract()
    for test in (
        contract.test_accounts_come_back_exactly,
        contract.test_payments_come_back_exactly,
        contract.test_subscriptions_come_back_exactly,
        contract.test_intents_come_back_exactly,
        contract.test_an_account_comes_with_its_subscriptions_the_first_first,
        contract.test_a_claimed_job_is_what_is_kept_and_leased,
        contract.test_a_claimed_intent_is_what_is_kept_and_leased,
        contract.test_what_should_have_been_heard_of_is_asked_for,
    ):
        await emptied(store)
        await test(stores)


# Plans


# Every table that grows, as large as a plan takes notice of.
_FILL: Final = """
insert into payment_accounts (user_id, email, email_key, customer_id, payment_status,
    version, created_at, updated_at)
select 'u' || n, n || '@x', n || '@x', 'c' || n, 'none', 1, now(), now()
from generate_series(1, 3_000) n;
insert into payments (id, user_id, state, dispute, refunded_minor, claimed_by, version,
    recorded_at, updated_at)
select 'p' || n, 'u' || n, 'succeeded', 'none', 0, 'u' || n, 1, now(), now()
from generate_series(1, 3_000) n;
insert into webhook_events (id, type, created_at, received_at, livemode, state)
select 'e' || n, 'charge.succeeded', now(), now(), false, 'applied'
from generate_series(1, 3_000) n;
insert into subscriptions (gateway_id, id, user_id, customer_id, status, product, price,
    quantity, item_id, currency, created_at, period_start, period_end,
    cancel_at_period_end, known_until, ticket, version, recorded_at, updated_at)
select 's' || n, 's' || n, 'u' || n, 'c' || n, 'active', 'p', 'p', 1, 'i', 'eur', now(),
    now(), now(), false, now(), 1, 1, now(), now()
from generate_series(1, 3_000) n;
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead,
    finished_at)
select 'payment', 'p' || n, 'done', now(), 1, 0, 1, true, now()
from generate_series(1, 3_000) n;
insert into intents (id, user_id, kind, subject, state, wanted, calls, fingerprint,
    attempts, due_at, created_at, version, updated_at)
select 'i' || n, 'u' || n, 'create_customer', '', 'succeeded', '{}', '[]', 'f', 0,
    now(), now(), 1, now()
from generate_series(1, 3_000) n;
insert into link_keys (key, version)
select 'k' || n, 1 from generate_series(1, 3_000) n;
analyze payment_accounts, payments, webhook_events, subscriptions, jobs, intents,
    link_keys
"""
_SCANS: Final = """
select relname, seq_scan from pg_stat_user_tables where seq_scan > 0 and relname in (
    'payment_accounts', 'payments', 'webhook_events', 'subscriptions', 'jobs',
    'intents', 'link_keys'
)
"""


@pytest.mark.parametrize("size", [1, 8])
async def test_f11_a_connection_that_was_cut_while_idle_is_replaced(
    database_url: str, postgres: str, size: int
) -> None:
    """
    A restart, a failover, a proxy's idle time-out: what comes next is not refused.
    """
    async with PostgresStore(database_url, size).opened() as store:
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
    It is not kept at hand while somebody waits for it.
    """
    monkeypatch.setattr("payments_adapters.postgres.store.CONNECT_TIMEOUT_S", 3600)
    async with PostgresStore(database_url, 1).opened() as store:
        async with store.connection() as connection:
            waiting = asyncio.create_task(store.ping())
            await connection.fetchval("select 1")
        await waiting
        assert waiting.exception() is None


async def test_a_transaction_that_was_cut_off_is_nobody_elses(
    database_url: str,
) -> None:
    """
    It is rolled back before anybody else has the connection.
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
    A proxy between us and the server may drop it after a while, and tell nobody.
    """
    monkeypatch.setattr("payments_adapters.postgres.store.KEPT_FOR_S", 0.001)
    monkeypatch.setattr("payments_adapters.postgres.store.IDLE_FOR_S", 0.001)
    async with PostgresStore(database_url, 1).opened() as store:
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
    The connection that comes back meanwhile is closed, and kept for nobody.
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


async def test_no_load_save_or_claim_reads_a_whole_table(database_url: str) -> None:
    """
    Whatever it looks for, and whatever it found before: also by a plan that was made
    while the tables were empty, which is kept for as long as the connection lives.
    """
    async with PostgresStore(database_url, 1).opened() as store:
        stores = stores_on(store)
        await _all_hot(stores, "empty", count=7)
        async with store.connection() as connection:
            await connection.execute(_FILL)
            await connection.execute("select pg_stat_force_next_flush()")
            await connection.execute("select pg_stat_reset()")
        await _all_hot(stores, "full", count=2)
        async with store.connection() as connection:
            await connection.execute("select pg_stat_force_next_flush()")
            scans = [tuple(row) for row in await connection.fetch(_SCANS)]
    assert scans == []


async def _all_hot(stores: Stores, name: str, *, count: int) -> None:
    """Do all that is hot, as often as it takes for a plan to be kept."""
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
        for claim in await stores.queue.claim(now=NOON, limit=9):
            if isinstance(claim.work, Job):
                await finished(stores, claim.work)
        await stores.queue.request_overdue(now=NOON, limit=9)
        await stores.accounts.find(account.user_id)
        await stores.accounts.find(email_of(user))
