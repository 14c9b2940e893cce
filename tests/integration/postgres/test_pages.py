"""Every list is read by an index, a page at a time, whatever its length."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from payments_adapters.postgres.audit_log import PostgresAuditLog
from payments_adapters.postgres.event_log import READ_MAX, PostgresEventLog
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.token_store import PostgresTokens
from payments_core.by_hand import ActionByHand
from payments_core.events import EventKey, EventState
from payments_core.kept_events import cursor_of
from payments_service.cli.webhook import listed
from payments_service.clocks import utc_now
from support import databases
from support.postgres_stores import fetch

pytestmark = pytest.mark.anyio

COUNT: Final = 30_000
PAGE: Final = 100
# The oldest half is unlinked, and one in ten had no effect. One second apart.
_FILL: Final = f"""
insert into payment_accounts (user_id, email, email_key, customer_id, payment_status,
    version, created_at, updated_at)
select 'u' || n, n || '@x', n || '@x', 'c' || n, 'none', 1, now(), now()
from generate_series(1, {COUNT}) n;
insert into payments (id, user_id, state, dispute, refunded_minor, version,
    recorded_at, updated_at)
select 'p' || n, case when n <= {COUNT} / 2 then 'u' || n end, 'succeeded', 'none', 0,
    1, now(), now()
from generate_series(1, {COUNT}) n;
insert into subscriptions (gateway_id, id, user_id, customer_id, status, product, price,
    quantity, item_id, currency, created_at, period_start, period_end,
    cancel_at_period_end, known_until, ticket, version, recorded_at, updated_at)
select 's' || n, 's' || n, 'u' || n, 'c' || n, 'active', 'p', 'p', 1, 'i', 'eur', now(),
    now(), now(), false, now(), 1, 1, now(), now()
from generate_series(1, {COUNT}) n;
insert into webhook_events (id, type, object_id, created_at, received_at, livemode,
    state)
select 'e' || n, 'charge.succeeded', 'p' || n, now(), now() - n * interval '1 second',
    false, case n % 10 when 0 then 'ignored' when 1 then 'quarantined' else 'applied'
    end
from generate_series(1, {COUNT}) n;
insert into invalidated_tokens (issuer, jti, user_id, expires_at, invalidated_at)
select 'users', 'j' || n, 'u' || n, now(), now() from generate_series(1, {COUNT}) n;
insert into changes_by_hand (at, action, subject, user_id, decided_by, reason)
select now() - n * interval '1 second',
    case n % 10 when 0 then 'retry_job' else 'replay_event' end, 's' || n % {PAGE},
    'u' || n % {PAGE}, 'operator', ''
from generate_series(1, {COUNT}) n;
"""  # noqa: S608  # our own numbers
_FLUSH: Final = sa.select(sa.func.pg_stat_force_next_flush())
_TABLES: Final = (
    "payment_accounts payments subscriptions webhook_events invalidated_tokens"
    " changes_by_hand"
)
_READ: Final = """
select sum(seq_tup_read) as by_scan, sum(idx_tup_fetch) as by_index
from pg_stat_user_tables where relname = any(string_to_array($1, ' '))
"""


@pytest.fixture(scope="module")
def full(postgres: str, template: str) -> Iterator[str]:
    """Fill a database once as a template of the others; return its name."""
    # The planner gets no statistics in the meantime.
    unwatched = [
        f"alter table {table} set (autovacuum_enabled = off)"
        for table in _TABLES.split()
    ]
    with databases.copy_of(postgres, template) as dsn:
        databases.run(databases.execute(dsn, *unwatched, _FILL))
        yield _name_of(dsn)


def _name_of(dsn: str) -> str:
    return urlsplit(dsn).path.removeprefix("/")


@contextmanager
def _copied(postgres: str, full: str, *more: str) -> Iterator[str]:
    """Lend a full database that its tests can only read."""
    with databases.copy_of(postgres, full) as dsn:
        kept = f"alter database {_name_of(dsn)} set default_transaction_read_only = on"
        databases.run(databases.execute(dsn, *more, kept))
        yield dsn


@pytest.fixture(scope="module")
def new_url(postgres: str, full: str) -> Iterator[str]:
    with _copied(postgres, full) as dsn:
        yield dsn


@pytest.fixture(scope="module")
def filled_url(postgres: str, full: str) -> Iterator[str]:
    with _copied(postgres, full, "analyze") as dsn:
        yield dsn


@pytest.fixture
async def new(new_url: str) -> AsyncIterator[PostgresStore]:
    """Lend full tables without statistics for the planner."""
    async with PostgresStore(new_url, 25).opened() as store:
        yield store


@pytest.fixture
async def filled(filled_url: str) -> AsyncIterator[PostgresStore]:
    """Lend full, analyzed tables."""
    async with PostgresStore(filled_url, 25).opened() as store:
        yield store


async def rows_read(store: PostgresStore, listing: Any) -> tuple[Any, int]:
    """Await a list; return its result, and how many rows it read."""
    async with store.connection() as connection:
        await connection.execute("select pg_stat_force_next_flush()")
        await connection.execute("select pg_stat_reset()")
    page = await listing
    # Another connection may have read: it reports its counts when it is idle.
    await store.execute(_FLUSH)
    async with store.connection() as connection:
        await connection.execute("select pg_stat_force_next_flush()")
        (read,) = await connection.fetch(_READ, _TABLES)
    assert read["by_scan"] == 0
    return page, read["by_index"]


# A page of a thousand, of which the matching rows are taken, with their owners.
_PART: Final = 3 * (READ_MAX + 1)
_WHOLE: Final = 3 * (PAGE + 1)


@pytest.mark.parametrize(
    ("state", "unlinked", "read_max"),
    [
        (None, False, _WHOLE),
        (EventState.QUARANTINED, False, _WHOLE),
        (EventState.PENDING, False, 0),
        (EventState.APPLIED, False, _PART),
        (EventState.IGNORED, False, _PART),
        (None, True, _PART),
        (EventState.QUARANTINED, True, _PART),
        (EventState.IGNORED, True, _PART),
    ],
)
async def test_p36_a_page_of_events_reads_no_more_than_a_page(
    filled: PostgresStore, state: EventState | None, read_max: int, *, unlinked: bool
) -> None:
    """
    The first and the following pages, though few rows match, and those are the oldest.
    """
    await assert_short(filled, read_max, state=state, unlinked=unlinked)


@pytest.mark.parametrize(("unlinked", "read_max"), [(False, _WHOLE), (True, _PART)])
async def test_p36_so_does_a_page_that_nobody_has_a_plan_for(
    new: PostgresStore, read_max: int, *, unlinked: bool
) -> None:
    """
    For example after a back-fill, before the tables were analyzed.
    """
    await assert_short(new, read_max, state=None, unlinked=unlinked)


async def assert_short(
    store: PostgresStore, read_max: int, *, state: EventState | None, unlinked: bool
) -> None:
    log, after = PostgresEventLog(store), None
    for _ in range(3):
        listing = log.page(state=state, unlinked=unlinked, limit=PAGE, after=after)
        page, count = await rows_read(store, listing)
        assert count <= read_max
        after = page.after


async def test_p36_what_is_unlinked_is_found_at_the_end(filled: PostgresStore) -> None:
    """
    Page by page: everything that matches, and nothing else.
    """
    log, after, found = PostgresEventLog(filled), None, list[str]()
    for _ in range(3 * COUNT // READ_MAX):
        page = await log.page(unlinked=True, limit=READ_MAX, after=after)
        found += [it.key.id for it in page.events]
        after = page.after
        if after is None:
            break
    assert found == [f"e{n}" for n in range(COUNT // 2 + 1, COUNT + 1)]


async def test_p36_a_list_of_few_among_many_ends_and_says_where(
    filled: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    It reads a bounded number of pages, and the next call continues from there.
    """
    log, pages_max = PostgresEventLog(filled), 3
    monkeypatch.setattr("payments_service.cli.webhook.PAGES_MAX", pages_max)
    listing = listed(log, None, None, unlinked=True, limit=PAGE)
    page, count = await rows_read(filled, listing)

    assert count <= pages_max * _PART
    assert page.events == []
    assert page.after is not None
    (last_linked,) = await log.find(f"e{COUNT // 2}")
    found = await listed(log, None, cursor_of(last_linked), unlinked=True, limit=PAGE)
    names = [it.key.id for it in found.events]
    assert names == [f"e{COUNT // 2 + number}" for number in range(1, PAGE + 1)]


@pytest.mark.parametrize("state", [None, *EventState])
async def test_p36_a_page_of_one_type_since_a_moment_reads_no_more_than_a_page(
    filled: PostgresStore, state: EventState | None
) -> None:
    """
    Though no event has that type.
    """
    since = utc_now() - timedelta(days=1)
    log, after = PostgresEventLog(filled), None
    for _ in range(3):
        listing = log.page(
            state=state, type_="no.such", since=since, limit=PAGE, after=after
        )
        page, count = await rows_read(filled, listing)
        assert count <= _PART
        assert page.events == []
        after = page.after


async def test_p36_what_is_received_since_is_read_alone(filled: PostgresStore) -> None:
    """
    The rest of the log is not read.
    """
    since = utc_now() - timedelta(days=365)
    log = PostgresEventLog(filled)
    (latest,) = (await log.page(limit=1, since=since)).events
    listing = log.page(state=EventState.IGNORED, since=latest.received_at)
    page, count = await rows_read(filled, listing)

    assert (list(page.events), page.after) == ([], None)
    assert count <= PAGE + 2


async def test_p36_what_is_open_is_counted_up_to_a_limit(filled: PostgresStore) -> None:
    """
    However many there are.
    """
    log = PostgresEventLog(filled)
    listing = log.count(EventState.QUARANTINED, limit=PAGE)
    found, count = await rows_read(filled, listing)
    assert found == PAGE
    assert count <= PAGE + 2
    keys = [EventKey(f"e{number}", "charge.succeeded") for number in range(1, PAGE)]
    found, count = await rows_read(filled, log.with_bodies(keys))
    assert found == frozenset()
    assert count <= 2 * PAGE


@pytest.mark.parametrize(
    "wanted",
    [{}, {"subject": "s7"}, {"user_id": "u7"}, {"action": ActionByHand.RETRY_JOB}],
    ids=["all", "subject", "user", "action"],
)
async def test_p36_a_page_of_the_audit_log_reads_no_more_than_a_page(
    filled: PostgresStore, wanted: Any
) -> None:
    """
    From every start, and since a time.
    """
    log, after = PostgresAuditLog(filled), None
    since = utc_now() - timedelta(days=1)
    for _ in range(3):
        listing = log.page(**wanted, since=since, after=after, limit=PAGE)
        page, count = await rows_read(filled, listing)
        assert count <= 2 * PAGE
        assert len(page.changes) == PAGE
        after = page.after


async def test_p36_a_page_of_revocations_reads_no_more_than_a_page(
    filled: PostgresStore,
) -> None:
    """
    By issuer and `jti`, from every start.
    """
    tokens, after = PostgresTokens(filled), None
    for _ in range(3):
        page, count = await rows_read(filled, tokens.page(after=after, limit=PAGE))
        assert count <= PAGE + 1
        assert len(page.revocations) == PAGE
        after = page.after


async def test_p36_an_event_is_found_by_its_id(filled: PostgresStore) -> None:
    """
    With its owner.
    """
    (event,), count = await rows_read(filled, PostgresEventLog(filled).find("e7"))

    assert event.user_id == "u7"
    assert count <= 3
    assert len(await fetch(filled, "select from webhook_events")) == COUNT
