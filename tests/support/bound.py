"""Customers bound as an operation does it, without a gateway that has them."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import PostgresStore
from payments_core import Email
from payments_core.facts import SourcedFacts, UserRegistered
from payments_core.identity import CustomerId, UserId
from payments_core.policy import Policy
from payments_core.use_cases.record_facts import RecordedState, RecordFacts

# A user's id, e-mail and customer.
Person = tuple[str, str, str]


def utc_now() -> datetime:
    return datetime.now(UTC)


def recorder(store: PostgresStore) -> RecordFacts:
    return RecordFacts(PostgresLedger(store), utc_now, utc_now, Policy())


async def registered(dsn: str, people: Iterable[Person]) -> None:
    """Register people, each with a customer."""
    sources = [
        SourcedFacts(
            facts=(
                UserRegistered(
                    user_id=UserId(user),
                    email=Email.of(email),
                    customer_id=CustomerId(customer),
                ),
            )
        )
        for user, email, customer in people
    ]
    async with PostgresStore(dsn, 1).opened() as store:
        recorded = await recorder(store)(sources)
    assert {it.state for it in recorded} == {RecordedState.SAVED}


def register(dsn: str, *people: Person) -> None:
    """Do the same where an event loop may already be running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, registered(dsn, people)).result()
