"""Lists of very many users, and one user's timeline, are read by index.

What is checked is how many rows a plan reads, not how long it takes.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql

from contracts.examples import CUS_1
from payments_adapters.postgres.payment_directory import payments_query
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.timelines import PostgresTimelines, timeline_query
from payments_adapters.postgres.user_list import (
    CHUNK,
    PostgresUserList,
    reading_of,
)
from payments_core.entitlement import PaymentStatus
from payments_core.identity import CustomerId, Email, UserId
from payments_core.payment import PaymentId
from payments_core.payment_list import PaymentPlace
from payments_core.timeline import TimelineKind, TimelinePlace, place_of
from payments_core.user_list import UserFilter, UserPlace
from support import databases
from support.profiles import only_in_prove

# Filling the tables takes two minutes; in small tables a full scan is cheaper.
pytestmark = [pytest.mark.anyio, only_in_prove]

COUNT: Final = 1_000_000
# Numbers of payments, and of other timeline items.
OTHERS: Final = 300_000
# For one user alone.
MANY: Final = 30_000
RARE: Final = 1_000
PAGE: Final = 100
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
# Ids in the order of their numbers. One each second; of many items two in one second.
_NAME: Final = "'u' || to_char(n, 'fm0000000')"
_THEN: Final = "timestamptz '2026-01-01' + n * interval '1 second'"
_FILL: Final = f"""
insert into payment_accounts (user_id, email, email_key, customer_id, payment_status,
    latest_status, latest_created_at, latest_precedence, latest_payment_id,
    latest_buys_month, latest_returned, version, created_at, updated_at)
select {_NAME}, 'a' || n || '@x.org', 'a' || n || '@x.org', 'cus_' || n, status, status,
    {_THEN}, 1, 'p' || n, false, false, 1, now(), now()
from generate_series(1, {COUNT}) n,
    lateral (
        select case when n % {RARE} = 7 then 'failed' else 'refunded' end
    ) as s (status);
-- What is left of users who were erased comes before them, and is as much.
insert into payment_accounts (user_id, email, email_key, payment_status, version,
    created_at, updated_at)
select 'erased/' || n, 'erased/' || n || '@erased.invalid',
    'erased/' || n || '@erased.invalid', 'none', 1, now(), now()
from generate_series(1, {COUNT} / 10) n;
insert into subscriptions (gateway_id, id, user_id, customer_id, status, product, price,
    quantity, item_id, currency, created_at, period_start, period_end,
    cancel_at_period_end, known_until, ticket, version, recorded_at, updated_at)
select 's' || n || '_' || m, 's' || n || '_' || m, {_NAME}, 'cus_' || n,
    case when n % 2 = 0 then 'active' else 'canceled' end,
    case when n % {RARE} = 8 then 'prod_rare' else 'prod_often' end,
    'p', 1, 'i', 'eur', now(), now(), now(), false, now(), 1, 1, now(), now()
from generate_series(1, {COUNT}) n, generate_series(1, 2) m where n % 4 < 2;
insert into payments (id, user_id, state, dispute, amount_minor, currency,
    refunded_minor, created_at, version, recorded_at, updated_at)
select 'p' || n, {_NAME}, 'succeeded', 'none', 100, 'eur', 0, {_THEN}, 1, now(), now()
from generate_series(1, {OTHERS}) n
union all
select 'pm' || n, 'u0000001', 'succeeded', 'none', 100, 'eur', 0,
    case when n > 3 then timestamptz '2026-01-01' + n / 2 * interval '1 second' end,
    1, now(), now()
from generate_series(1, {MANY}) n;
insert into webhook_events (id, type, user_id, created_at, received_at, livemode, state)
select 'e' || n, 'charge.succeeded', {_NAME}, {_THEN}, {_THEN}, false, 'applied'
from generate_series(1, {OTHERS}) n
union all
select 'em' || n, 'charge.succeeded', 'u0000001', now(),
    timestamptz '2026-01-01' + n / 2 * interval '1 second', false, 'applied'
from generate_series(1, {MANY}) n;
insert into account_log (user_id, version, at, payment_status, cause, sources)
select {_NAME}, 1, {_THEN}, 'none', '', array['e'] from generate_series(1, {OTHERS}) n
union all
select 'u0000001', n + 1, timestamptz '2026-01-01' + n / 2 * interval '1 second',
    'paid', '', array['e']
from generate_series(1, {MANY}) n;
insert into changes_by_hand (at, action, subject, user_id, decided_by, reason)
select {_THEN}, 'retry_job', 's', 'u0000001', 'operator', ''
from generate_series(1, {MANY}) n
union all
select {_THEN}, 'retry_job', 's', {_NAME}, 'operator', ''
from generate_series(2, {OTHERS}) n;
"""  # noqa: S608  # our own numbers
_TABLES: Final = (
    *("payment_accounts", "subscriptions", "payments", "webhook_events"),
    *("account_log", "changes_by_hand"),
)
HEAVY: Final = UserId("u0000001")
FAILED: Final = PaymentStatus.FAILED
# The rows that each of them reads are counted; a sequential scan is not allowed.
_SCANS: Final = frozenset({"Index Scan", "Index Only Scan", "Bitmap Heap Scan"})


@pytest.fixture(scope="module")
def many_url(postgres: str, template: str) -> Iterator[str]:
    """
    A database that is filled once, and that its tests can only read.
    """
    with databases.copy_of(postgres, template) as dsn:
        # The planner's statistics are updated once.
        unwatched = [
            f"alter table {it} set (autovacuum_enabled = off)" for it in _TABLES
        ]
        databases.run(databases.execute(dsn, *unwatched, _FILL, "analyze"))
        yield dsn


@pytest.fixture(scope="module")
async def many(many_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await databases.connected(many_url)
    yield connection
    await connection.close()


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


async def plans_of(
    connection: asyncpg.Connection, query: str, values: Sequence[object]
) -> list[Mapping[str, Any]]:
    """Run a query, planned for its values and generically; return both plans."""
    quoted = ", ".join("'" + str(it).replace("'", "''") + "'" for it in values)
    given = f"({quoted})" if values else ""
    found = []
    for mode in ("force_custom_plan", "force_generic_plan"):
        await connection.execute(f"set plan_cache_mode = {mode}")
        await connection.execute(f"prepare asked as {query}")
        explained = await connection.fetchval(
            f"explain (analyze, timing off, format json) execute asked{given}"
        )
        await connection.execute("deallocate asked")
        found.append(json.loads(explained)[0]["Plan"])
    return found


def assert_short(plan: Mapping[str, Any], read_max: int) -> None:
    """Assert that a plan goes by indexes, and reads at most this many rows.

    So it sorts no more either.
    """
    found = [it for it in nodes(plan) if it["Node Type"].endswith("Scan")]
    kinds = {it["Node Type"] for it in found}
    assert kinds <= _SCANS | {"Bitmap Index Scan", "Subquery Scan", "Function Scan"}
    read = sum(
        (it["Actual Rows"] + it.get("Rows Removed by Filter", 0)) * it["Actual Loops"]
        for it in found
        if it["Node Type"] in _SCANS
    )
    assert read <= read_max


FIRST, MIDDLE, LAST = "", f"u{COUNT // 2:07}", f"u{COUNT - 5:07}"
# How often a user of a page is read: in a list, as an account, with subscriptions; and
# subscriptions are found that are others of one product.
_EACH: Final = 1 + 1 + 2 + 1


@pytest.mark.parametrize("after", [FIRST, MIDDLE, LAST])
@pytest.mark.parametrize(
    "wanted",
    [
        UserFilter(),
        UserFilter(status=PaymentStatus.REFUNDED),
        UserFilter(status=FAILED),
        UserFilter(status=PaymentStatus.DISPUTED),
        UserFilter(product="prod_often"),
        UserFilter(product="prod_rare"),
        UserFilter(product="prod_none"),
        UserFilter(product="prod_often", status=FAILED),
        UserFilter(text="u"),
        UserFilter(text="u00"),
        UserFilter(text="A1"),
        UserFilter(text="e"),
        UserFilter(text="nobody"),
        UserFilter(text="u", status=FAILED),
        UserFilter(customer_id=CustomerId("cus_7")),
        UserFilter(customer_id=CUS_1, status=FAILED),
        UserFilter(email=Email.of("a7@x.org")),
    ],
    ids=str,
)
async def test_p36_a_page_of_users_is_read_by_an_index(
    many: asyncpg.Connection, wanted: UserFilter, after: str
) -> None:
    """
    For every filter and every start; with plans for the values and generic plans.
    """
    place = UserPlace(after, UserId(after)) if after else None
    reading = reading_of(wanted, place)
    for most in (PAGE + 1, CHUNK):
        for plan in await plans_of(many, reading.query(most), reading.values):
            assert_short(plan, (2 if wanted.text else 1) * _EACH * (most + 1))


_PLACES: Final = [
    None,
    PaymentPlace(None, PaymentId("pm2")),
    PaymentPlace(AT + timedelta(seconds=MANY // 4), PaymentId("pm1")),
    PaymentPlace(AT, PaymentId("a")),
]


@pytest.mark.parametrize("after", _PLACES, ids=str)
async def test_p36_a_page_of_payments_is_read_by_an_index(
    many: asyncpg.Connection, after: PaymentPlace | None
) -> None:
    """
    For one user who has very many.
    """
    query, values = payments_query(after, PAGE + 1)
    for plan in await plans_of(many, query, [HEAVY, *values]):
        # All items of a second that begins on this page are read.
        assert_short(plan, PAGE + 1 + 3 + 4)


@pytest.mark.parametrize("kind", [None, *TimelineKind])
@pytest.mark.parametrize("seconds", [0, MANY // 4, MANY])
async def test_p36_a_page_of_a_timeline_is_read_by_indexes(
    many: asyncpg.Connection, kind: TimelineKind | None, seconds: int
) -> None:
    """
    One query for each kind of item, however many exist.
    """
    at = AT + timedelta(seconds=seconds)
    before = TimelinePlace(at, kind, "7") if kind else None
    query = str(
        timeline_query(HEAVY, before, PAGE + 1).compile(
            dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]  # SQLAlchemy's
            compile_kwargs={"literal_binds": True},
        )
    )
    for plan in await plans_of(many, query, []):
        assert_short(plan, 4 * (PAGE + 1 + 4))


async def test_p36_pages_of_many_are_all_of_them(many_url: str) -> None:
    """
    Each user of a rare status once, found by it, or by a product as well; and one
    user's whole timeline.
    """
    async with PostgresStore(many_url, 4).opened() as store:
        users, found, after = PostgresUserList(store), list[str](), None
        while True:
            wanted = UserFilter(status=FAILED)
            page = await users.page(wanted, limit=PAGE, after=after)
            found += [it.user_id for it in page.accounts]
            after = page.after
            if after is None:
                break
        expected = [f"u{n:07}" for n in range(7, COUNT + 1, RARE)]
        assert found == expected

        wanted, after = UserFilter(product="prod_often", status=FAILED), None
        for _ in range(3):
            page = await users.page(wanted, limit=PAGE, after=after)
            assert page.accounts == []
            # No user matches: the list says where it stopped.
            assert page.after is not None
            assert after is None or page.after.key > after.key
            after = page.after

        timelines, count, before = PostgresTimelines(store), 0, None
        while True:
            items = await timelines.newest(HEAVY, limit=1_000, before=before)
            count += len(items)
            if len(items) < 1_000:
                break
            before = place_of(items[-1])
        # Of three payments the time is not known.
        assert count == 4 * MANY - 3 + 3
