"""Purges that drop partitions, go by an index, and skip locked rows."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from contracts.examples import APPLIED, NOON, an_event
from contracts.purges import OUTCOMES, bodies
from contracts.stores import Stores
from payments_adapters.postgres import partitions
from payments_adapters.postgres.event_log import PostgresEventLog
from payments_adapters.postgres.purge_store import PostgresPurgeStore
from payments_adapters.postgres.store import PostgresStore
from payments_core.retention import PurgeKind
from support import databases
from support.postgres_stores import fetch, holding, stores_on
from support.profiles import PROVES

pytestmark = pytest.mark.anyio

DAY: Final = timedelta(days=1)
TODAY: Final = datetime.now(UTC).date()
COUNT: Final = 1_000_000 if PROVES else 5_000
BATCH: Final = 10
OLD: Final = datetime(2020, 1, 1, tzinfo=UTC)
# One in a hundred is old, at random places; what is older still is open.
_FILL: Final = f"""
insert into payment_accounts (user_id, email, email_key, payment_status, version,
    created_at, updated_at) values ('u', 'u@x', 'u@x', 'none', 1, now(), now());
insert into webhook_events (id, type, created_at, received_at, livemode, state, body)
select 'e' || n, 't', now(), case n % 100 when 0 then '2019-01-01' when 1 then
    '2018-01-01'::timestamptz else now() end, false,
    case n % 100 when 1 then 'pending' else 'applied' end, ''
from generate_series(1, {COUNT}) n;
insert into intents (id, user_id, kind, subject, state, wanted, calls, fingerprint,
    attempts, due_at, created_at, version, updated_at)
select 'i' || n, 'u', 'set_up_card', n, case n % 100 when 1 then 'new' else 'succeeded'
    end, '{{}}', '[]', '', 0, now(), case when n % 100 < 2 then '2019-01-01' else now()
    end, 1, now()
from generate_series(1, {COUNT}) n;
insert into jobs (kind, subject, reason, due_at, asked, attempts, lease_no, dead,
    finished_at)
select 'payment', n, '', '2019-01-01', 1, 0, 1, n % 100 <> 1, case n % 100 when 0 then
    '2019-01-01' when 1 then null else now() end
from generate_series(1, {COUNT}) n;
insert into invalidated_tokens (issuer, jti, expires_at, invalidated_at)
select 'i', n, case n % 100 when 0 then '2019-01-01' else now() end, now()
from generate_series(1, {COUNT}) n;
insert into token_cut_offs (user_id, at)
select n, case n % 100 when 0 then '2018-01-01' else now() end
from generate_series(1, {COUNT}) n;
"""  # noqa: S608  # our own numbers
_TABLES: Final = [
    "webhook_events",
    "intents",
    "jobs",
    "invalidated_tokens",
    "token_cut_offs",
]
_SCANNED: Final = """
select coalesce(sum(seq_scan), 0) as scans from pg_stat_user_tables
where relname = any($1)
"""
# After so many executions Postgres may choose the generic plan of a statement.
_OFTEN: Final = 12


@pytest.fixture(scope="module", params=["new", "analyzed"])
def filled_url(
    postgres: str, template: str, request: pytest.FixtureRequest
) -> Iterator[str]:
    with databases.copy_of(postgres, template) as dsn:
        unwatched = [
            f"alter table {it} set (autovacuum_enabled = off)" for it in _TABLES
        ]
        looked = ["analyze"] if request.param == "analyzed" else []
        databases.run(databases.execute(dsn, *unwatched, _FILL, *looked))
        yield dsn


@pytest.fixture
async def filled(filled_url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(filled_url, 2).opened() as store:
        yield store


async def scans_of(store: PostgresStore, doing: Any) -> tuple[Any, int]:
    """Await a call; return its result, and how many tables were scanned whole."""
    async with store.connection() as connection:
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("select pg_stat_reset()")
    said = await doing
    async with store.connection() as connection:
        await connection.execute("select pg_stat_force_next_flush()")
        return said, await connection.fetchval(_SCANNED, _TABLES)


# Each day is a table, and each process has one heartbeat.
_NOT_BY_INDEX: Final = {PurgeKind.BODY_DAYS, PurgeKind.HEARTBEATS}


@pytest.mark.parametrize("kind", [it for it in PurgeKind if it not in _NOT_BY_INDEX])
async def test_p36_a_batch_is_found_by_an_index(
    filled: PostgresStore, kind: PurgeKind
) -> None:
    """
    However much is stored, whatever statistics the planner has, however often it is
    run.
    """
    it = PostgresPurgeStore(filled)
    for _ in range(_OFTEN):
        counted, scans = await scans_of(filled, it.count(kind, OLD, limit=BATCH))
        assert (counted, scans) == (BATCH, 0)
    for _ in range(min(_OFTEN, COUNT // 100 // BATCH)):
        purged, scans = await scans_of(filled, it.purge(kind, OLD, limit=BATCH))
        assert (purged, scans) == (BATCH, 0)


async def days_of(store: PostgresStore) -> list[date]:
    return await partitions.days_before(store, date(9999, 1, 1), limit=999)


@pytest.fixture
async def old(store: PostgresStore) -> Stores:
    """Lend a database with a day of 40 days ago, which has an event of each state."""
    day = TODAY - 40 * DAY
    async with store.connection() as connection:
        await connection.execute(partitions.creation(day, has_lz4=False))
    stores = stores_on(store)
    events = [(an_event(name, body=b"x"), it) for name, it in OUTCOMES.items()]
    await stores.keep(events=events, seconds=seconds_until(day))
    return stores


def seconds_until(day: date) -> float:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return (at - NOON).total_seconds()


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


KEPT: Final = {
    name: b"x" if name in {"pending", "quarantined"} else None for name in OUTCOMES
}


async def test_a_day_is_dropped_and_takes_only_what_is_settled(
    store: PostgresStore, old: Stores
) -> None:
    """
    Not before the whole day is old enough. Its files are deleted.
    """
    day = TODAY - 40 * DAY
    assert (await days_of(store))[0] == day
    kind = PurgeKind.BODY_DAYS
    last = midnight(day + DAY) - timedelta(microseconds=1)
    assert await old.purges.purge(kind, last, limit=1) == 0

    assert await old.purges.count(kind, midnight(day + DAY), limit=9) == 1
    assert await old.purges.purge(kind, midnight(day + DAY), limit=1) == 1

    assert day not in await days_of(store)
    assert await bodies(old) == KEPT
    assert await old.purges.purge(kind, midnight(day + DAY), limit=1) == 0

    # A body that arrives exactly then is stored with its own day.
    young = an_event("young", body=b"y")
    await old.keep(events=[(young, APPLIED)], seconds=seconds_until(TODAY))
    (found,) = await PostgresEventLog(store).find("young")
    assert found.body == b"y"
    rows = await fetch(store, "select tableoid::regclass::text from event_bodies")
    assert [name for (name,) in rows] == [partitions.name_of(TODAY)]


async def test_a_body_without_a_partition_goes_as_well(store: PostgresStore) -> None:
    """
    Row by row from the default partition; and a body that the previous release stored.
    """
    stores = stores_on(store)
    events = [(an_event(name, body=b"x"), it) for name, it in OUTCOMES.items()]
    await stores.keep(events=events)
    legacy = an_event("legacy", body=b"y")
    await stores.keep(events=[(legacy, APPLIED)])
    async with store.connection() as connection:
        await connection.execute("delete from event_bodies where id = 'legacy'")
        await connection.execute(
            "update webhook_events set body = 'y' where id = 'legacy'"
        )
    before = midnight(NOON.date() + DAY)
    assert (
        await stores.purges.count(PurgeKind.BODIES, before, limit=99)
        == len(OUTCOMES) + 1
    )

    purged = [
        await stores.purges.purge(PurgeKind.BODIES, before, limit=3) for _ in range(4)
    ]

    assert purged == [1, 3, len(OUTCOMES) - 3, 0]
    assert await bodies(stores) == {**KEPT, "legacy": None}


@pytest.mark.parametrize(
    "query",
    [
        # Another session reads bodies, or dumps the table.
        "select from event_bodies",
        # An unsettled event is being changed.
        "select from webhook_events where id = 'pending' for update",
    ],
)
async def test_f05_what_is_in_use_is_left_to_the_next_time(
    store: PostgresStore, old: Stores, query: str
) -> None:
    """
    Nothing waits for it, nothing is lost, and the day is dropped an hour later.
    """
    day = TODAY - 40 * DAY
    async with holding(store, query):
        assert (
            await old.purges.purge(PurgeKind.BODY_DAYS, midnight(TODAY), limit=1) == 0
        )
        assert await bodies(old) == dict.fromkeys(OUTCOMES, b"x")
        assert day in await days_of(store)
    assert await old.purges.purge(PurgeKind.BODY_DAYS, midnight(TODAY), limit=1) == 1
    assert await bodies(old) == KEPT


async def test_f05_an_event_that_is_locked_is_left_to_the_next_time(
    store: PostgresStore, old: Stores
) -> None:
    """
    All other days are dropped meanwhile.
    """
    await old.purges.purge(PurgeKind.BODY_DAYS, midnight(TODAY), limit=1)
    async with holding(
        store, "select from webhook_events where id = 'applied' for update"
    ):
        purge, before = old.purges.purge, midnight(TODAY)
        counts = [await purge(PurgeKind.EVENTS, before, limit=9) for _ in range(2)]
        assert counts == [len(OUTCOMES) - 2, 0]
    assert set(await bodies(old)) == {"pending", "applied"}


async def test_f09_a_drop_that_was_cut_off_is_finished(
    store: PostgresStore, old: Stores
) -> None:
    """
    Killed when the day was detached from the table, and not yet dropped.
    """
    day = TODAY - 40 * DAY
    async with store.connection() as connection:
        await connection.execute(
            "create function no_drop() returns event_trigger language plpgsql as"
            " $$ begin raise exception using errcode = '57P01'; end $$;"
            " create event trigger no_drop on ddl_command_start when tag in"
            " ('DROP TABLE') execute function no_drop()"
        )
    with pytest.raises(Exception):  # noqa: B017, PT011  # the process ends there
        await old.purges.purge(PurgeKind.BODY_DAYS, midnight(TODAY), limit=1)
    assert await bodies(old) == KEPT
    assert day in await days_of(store)
    async with store.connection() as connection:
        await connection.execute("drop event trigger no_drop")

    assert await old.purges.purge(PurgeKind.BODY_DAYS, midnight(TODAY), limit=1) == 1

    assert day not in await days_of(store)
    assert await bodies(old) == KEPT
