"""One database for the tests of a module, emptied before each."""

from collections.abc import AsyncIterator, Iterator

import pytest

from contracts.stores import Stores
from payments_adapters.postgres.store import PostgresStore
from support import databases
from support.postgres_stores import emptied, stores_on


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
    # A slow machine is no failure: a test that needs a time-out sets its own.
    monkeypatch.setattr("payments_adapters.postgres.ledger.SAVE_TIMEOUT_S", 60)
    await emptied(shared)
    return stores_on(shared)
