"""Users who pay every month, and their expected state."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import attrs

from faults.deliveries import Event
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import PostgresStore
from payments_core import (
    Payment,
    PaymentStatus,
    Policy,
    Standing,
    UserId,
    standing,
)
from payments_core.changes import Lookup
from payments_core.months import months_after
from support import databases
from support.events import SUCCEEDED, event
from support.service import ServiceProcess

# Days that February lacks are among the anchors.
ANCHORS: Final = tuple(
    datetime(2015, 1, day, 12, tzinfo=UTC) for day in (31, 30, 29, 28, 15, 1)
)
# No month is entitled any longer, whatever the day of the test.
NOW: Final = datetime(2500, 1, 1, tzinfo=UTC)


@attrs.frozen
class Payer:
    """Pays at the anchor, and then at the very end of each paid month."""

    number: int
    months: int

    @property
    def user(self) -> UserId:
        return UserId(f"payer-{self.number}")

    @property
    def email(self) -> str:
        return f"{self.user}@example.com"

    @property
    def customer(self) -> str:
        return f"cus_{self.number}"

    @property
    def anchor(self) -> datetime:
        return ANCHORS[self.number % len(ANCHORS)]

    @property
    def paid_until(self) -> datetime:
        return months_after(self.anchor, self.months)

    def events(self) -> list[Event]:
        whose = (
            {"customer": self.customer},
            {"receipt_email": self.email},
            {"metadata": {"user_id": self.user}},
        )
        return [
            event(
                SUCCEEDED,
                f"{self.number}_{month}",
                at=months_after(self.anchor, month),
                **whose[month % len(whose)],
            )
            for month in range(self.months)
        ]


def payers(users: int, months: int) -> list[Payer]:
    return [Payer(number, months) for number in range(users)]


def register(service: ServiceProcess, everybody: list[Payer]) -> None:
    for payer in everybody:
        service.register(payer.user, payer.email, payer.customer)


def shuffled(everybody: list[Payer], dice: random.Random) -> list[Event]:
    events = [event for payer in everybody for event in payer.events()]
    dice.shuffle(events)
    return events


async def kept_ids(store: PostgresStore) -> Counter[str]:
    """Return how often each event id is stored."""
    async with store.connection() as connection:
        found = await connection.fetch("select id from webhook_events")
    return Counter(row["id"] for row in found)


async def assert_each_counted_once(
    dsn: str, everybody: list[Payer], *, set_aside: Sequence[str] = ()
) -> None:
    """Assert that every event of theirs is stored, and applied once.

    `set_aside` are the ids of all other stored events.
    """
    ids = [event["id"] for payer in everybody for event in payer.events()]
    async with PostgresStore(dsn).opened() as store:
        assert await kept_ids(store) == Counter([*ids, *set_aside])
        assert await _count(store, "webhook_events where state = 'applied'") == len(ids)
        assert await _count(store, "payments") == len(ids)
        await _assert_standings(dsn, store, everybody)


async def assert_theirs_counted_once(dsn: str, everybody: list[Payer]) -> None:
    """Assert the same of their events, whatever else is stored."""
    ids = [event["id"] for payer in everybody for event in payer.events()]
    found = await databases.fetch(
        dsn, "select id, state from webhook_events where id = any($1)", ids
    )
    assert {row["id"] for row in found} == set(ids)
    assert {row["state"] for row in found} == {"applied"}
    async with PostgresStore(dsn).opened() as store:
        await _assert_standings(dsn, store, everybody)


async def _assert_standings(
    dsn: str, store: PostgresStore, everybody: list[Payer]
) -> None:
    for payer in everybody:
        expected = Standing(PaymentStatus.PAID, payer.paid_until, entitled=False)
        assert await _told(dsn, payer.user) == expected
        facts = await _facts(store, payer.user)
        assert standing(facts, now=NOW, policy=Policy()) == expected


async def _count(store: PostgresStore, rows: str) -> int:
    async with store.connection() as connection:
        return int(await connection.fetchval(f"select count(*) from {rows}"))  # noqa: S608  # our own names


async def _told(dsn: str, user: UserId) -> Standing:
    """Return the account's columns."""
    [row] = await databases.fetch(
        dsn,
        "select payment_status, payment_expire_date from payment_accounts"
        " where user_id = $1",
        user,
    )
    return Standing(PaymentStatus(row[0]), row[1], entitled=False)


async def _facts(store: PostgresStore, user: UserId) -> list[Payment]:
    lookup = Lookup(histories=frozenset({user}), whole_histories=frozenset({user}))
    snapshot = await PostgresLedger(store).load(lookup)
    return [record.payment for record in snapshot.histories]
