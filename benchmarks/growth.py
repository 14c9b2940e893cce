"""The cost of an event and a read in a large database, compared with a small one.

Two databases on one server, each with a service of its own, in turns. The large one is
the small one many times over, under other names; one account has very many payments.
Bodies of old events are dropped after their retention, so there are none.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import attrs

from benchmarks.deployment import (
    REQUESTS_MAX,
    Bench,
    Meter,
    load,
    processes,
    webhook_body,
)
from payments_adapters.postgres.feed import PostgresFeedSequencer
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import METADATA
from payments_core.jobs.give_positions import BATCH
from payments_service.dev.postgres import embedded_postgres
from payments_service.presentation import PREFIX

ACCOUNTS_COUNT: Final = 1_000
# Users of the small database are `user1000` to `user1999`; of the large one those, and
# from `user2000` on as many times over.
FIRST: Final = ACCOUNTS_COUNT
COPIES_COUNT: Final = 999
# No divisor of the number of accounts: consecutive accounts are far apart.
STEP: Final = 617_983
CONNECTIONS: Final = 16
PAYMENTS_COUNTS: Final = (1_000, 20_000)
FILLED_S: Final = 120.0
# The events of one account in a round: its number of payments hardly changes.
FEW: Final = 300
# Enough that the index pages of a look-up are cached, as at a server that is sized for
# as many accounts.
BUFFERS_MB: Final = 2_048
_KEYED: Final[Mapping[str, tuple[str, ...]]] = {
    "payment_accounts": ("user_id", "email", "email_key", "customer_id"),
    "payments": ("user_id", "customer_id"),
    "webhook_events": ("user_id",),
    "account_log": ("user_id",),
    "link_keys": ("key",),
}
_OWN_IDS: Final = frozenset({"latest_payment_id", "id", "object_id"})
_HOT_SHARES: Final = """
select relname, n_tup_upd as updates,
    round(100.0 * n_tup_hot_upd / n_tup_upd) as hot, n_live_tup as live,
    n_dead_tup as dead, autovacuum_count as vacuumed,
    pg_relation_size(relid) / 1024 as kib
from pg_stat_user_tables where n_tup_upd > 100 order by n_tup_upd desc
"""


@attrs.frozen
class Side:
    """A database with its service; users are `first` and the `count` after it."""

    bench: Bench
    port: int
    meter: Meter
    first: int
    count: int

    def events(self, *, seconds: float, **plan: Any) -> dict[str, float]:
        return self.meter.around(
            lambda: load(
                **{
                    **self.bench.next_run(),
                    "body": webhook_body(),
                    "secret": self.bench.secret,
                    "ports": [self.port],
                    "path": f"{PREFIX}/webhooks/stripe",
                    "connections": CONNECTIONS,
                    "first_customer": self.first,
                    "customers_count": self.count,
                    "customers_step": STEP,
                    "seconds": seconds,
                    "requests_max": REQUESTS_MAX,
                    **plan,
                }
            )
        )

    def reads(self, *, seconds: float, **plan: Any) -> dict[str, float]:
        return self.meter.around(
            lambda: load(
                **{
                    "ports": [self.port],
                    "path": f"{PREFIX}/users/user@CUSTOMER@/payment-status",
                    "headers": f"Authorization: Bearer {self.bench.token()}\r\n",
                    "connections": CONNECTIONS,
                    "first_customer": self.first,
                    "customers_count": self.count,
                    "customers_step": STEP,
                    "seconds": seconds,
                    "requests_max": 20_000,
                    **plan,
                }
            )
        )


def main(port: int, rounds: int, seconds: float) -> None:
    with embedded_postgres(durable=True, shared_buffers_mb=BUFFERS_MB) as postgres:
        small = Bench(_named(postgres.dsn, "small"))
        asyncio.run(_run(postgres.dsn, "create database small"))
        asyncio.run(small.prepare(range(FIRST, FIRST + ACCOUNTS_COUNT)))
        with _served(small, port, postgres.pid, FIRST, ACCOUNTS_COUNT) as side:
            side.events(seconds=FILLED_S, requests_max=ACCOUNTS_COUNT, customers_step=1)
        asyncio.run(_numbered(small.database_url))
        asyncio.run(_run(postgres.dsn, "create database large template small"))
        large = attrs.evolve(small, database_url=_named(postgres.dsn, "large"))
        asyncio.run(_run(large.database_url, *_copies(), "vacuum analyze"))
        asyncio.run(_run(small.database_url, "vacuum analyze", "checkpoint"))
        count = ACCOUNTS_COUNT * COPIES_COUNT
        with (
            _served(small, port, postgres.pid, FIRST, ACCOUNTS_COUNT) as little,
            _served(large, port + 1, postgres.pid, 2 * FIRST, count) as much,
        ):
            _compared(
                f"{count + ACCOUNTS_COUNT:,} accounts", little, much, rounds, seconds
            )
            for payments, user in zip(
                PAYMENTS_COUNTS, range(FIRST, 2 * FIRST), strict=False
            ):
                _of_one(much, payments, user, rounds, seconds)
        for bench in (small, large):
            for row in asyncio.run(_fetched(bench.database_url, _HOT_SHARES)):
                print("  ".join(f"{name} {value}" for name, value in row.items()))


def _compared(name: str, little: Side, much: Side, rounds: int, seconds: float) -> None:
    """Print the costs there, as a ratio to the costs here."""
    for what, measured in (("event", Side.events), ("read", Side.reads)):
        # One uncounted run: the first reads of a page go to the disk.
        measured(little, seconds=seconds)
        measured(much, seconds=2 * seconds)
        pairs = [
            (measured(little, seconds=seconds), measured(much, seconds=seconds))
            for _ in range(rounds)
        ]
        _told(f"{what}: {name} | {ACCOUNTS_COUNT:,}", pairs)


def _of_one(side: Side, payments: int, user: int, rounds: int, seconds: float) -> None:
    """Print the cost of an account with so many payments, compared with one payment."""
    if payments > 1:
        side.events(
            seconds=FILLED_S,
            first_customer=user,
            customers_count=1,
            requests_max=payments - 1,
        )
    few = {"customers_count": 1, "connections": 1, "requests_max": FEW}
    for what, measured in (("event", Side.events), ("read", Side.reads)):
        pairs = [
            (
                measured(side, seconds=seconds, **few, first_customer=2 * FIRST + n),
                measured(side, seconds=seconds, **few, first_customer=user),
            )
            for n in range(rounds)
        ]
        _told(f"{what}: {payments:,} payments of one account | few", pairs)


def _told(name: str, pairs: list[tuple[dict[str, float], dict[str, float]]]) -> None:
    def costs(run: Mapping[str, float]) -> float:
        return run["service_us"] + run["postgres_us"]

    little, much = ([pair[side] for pair in pairs] for side in (0, 1))
    print(
        f"{name:<48}"
        f"  p50 {median(it['p50_ms'] for it in much):.2f}"
        f" of {median(it['p50_ms'] for it in little):.2f} ms"
        f"  service {median(it['service_us'] for it in much):.0f}"
        f" of {median(it['service_us'] for it in little):.0f}"
        f"  Postgres {median(it['postgres_us'] for it in much):.0f}"
        f" of {median(it['postgres_us'] for it in little):.0f} us"
        f"  cost x {median(costs(b) / costs(a) for a, b in pairs):.2f}"
        f"  p50 x {median(b['p50_ms'] / a['p50_ms'] for a, b in pairs):.2f}",
        flush=True,
    )


@contextmanager
def _served(
    bench: Bench, port: int, postgres: int, first: int, count: int
) -> Iterator[Side]:
    serve = (["-m", "payments_service", "serve"], bench.service_env(port))
    with processes([serve], [port]) as pids:
        yield Side(bench, port, Meter(pids, [postgres]), first, count)


def _copies() -> Iterator[str]:
    """Return the statements that make the small database large: its rows, renamed."""
    # No trigger or foreign key is checked, and nothing is waited for.
    yield "set session_replication_role = replica; set synchronous_commit = off"
    for name, keyed in _KEYED.items():
        table = METADATA.tables[name]
        values = [_copied(column.name, keyed) for column in table.c]
        yield (
            f"insert into {name} ({', '.join(table.c.keys())})"  # noqa: S608  # our own names
            f" select {', '.join(values)}"
            f" from {name} t, generate_series(2, {COPIES_COUNT + 1}) n"
        )
    yield "update feed_head set last = (select max(position) from account_log)"


def _copied(column: str, keyed: Sequence[str]) -> str:
    if column in keyed:
        return f"regexp_replace(t.{column}, '1(\\d{{3}})', n || '\\1')"
    if column in _OWN_IDS:
        return f"t.{column} || '_' || n"
    if column == "position":
        return "t.position + (n - 1) * (select last from feed_head)"
    return f"t.{column}"


async def _numbered(dsn: str) -> None:
    async with PostgresStore(dsn).opened() as store:
        while await PostgresFeedSequencer(store).give(BATCH):
            continue


async def _run(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _fetched(dsn: str, query: str) -> Sequence[Mapping[str, Any]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [dict(it) for it in await connection.fetch(query)]
    finally:
        await connection.close()


def _named(dsn: str, database: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))
