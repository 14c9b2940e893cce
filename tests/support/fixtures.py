from collections.abc import AsyncIterator, Iterator

import pytest

from payments_adapters.postgres.store import PostgresStore
from support import databases
from support.service import ServiceProcess, World, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with databases.server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(postgres: str) -> Iterator[str]:
    with databases.template(postgres) as name:
        yield name


@pytest.fixture
def database_url(postgres: str, template: str) -> Iterator[str]:
    with databases.copy_of(postgres, template) as dsn:
        yield dsn


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(database_url, 25).opened() as store:
        yield store


@pytest.fixture(scope="module")
def service(postgres: str, template: str) -> Iterator[ServiceProcess]:
    """One service for the tests of a module; each uses users of its own."""
    with (
        databases.copy_of(postgres, template) as dsn,
        running(World(dsn)) as [service],
    ):
        yield service
