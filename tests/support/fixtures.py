"""Fixtures that many files request by name; a file with another need has its own."""

from collections.abc import AsyncIterator, Iterator

import pytest

from payments_adapters.postgres.store import PostgresStore
from payments_sandbox import Sandbox
from support import databases
from support.receiver import Receiver, receiving
from support.sandbox import Api, conforming
from support.sdk_client import SdkClient, opened
from support.service import ServiceProcess, World, running
from support.service_with_sandbox import Payer, ServiceWithSandbox, selling
from support.watched import watched
from support.wire import Wire, wired


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
def empty_database(postgres: str) -> Iterator[str]:
    """A database that is not migrated."""
    with databases.empty(postgres) as dsn:
        yield dsn


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(database_url, 25).opened() as store:
        yield store


@pytest.fixture(scope="module")
def service(postgres: str, template: str) -> Iterator[ServiceProcess]:
    """One service for the tests of a module; each test uses its own users."""
    with (
        databases.copy_of(postgres, template) as dsn,
        running(World(dsn)) as [service],
    ):
        yield service


@pytest.fixture
def api() -> Iterator[Api]:
    """A sandbox in this process; all its answers must conform to the SDK's types."""
    with watched() as api:
        yield api


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A served sandbox; each test of a module begins by resetting it."""
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
async def sdk(sandbox: Sandbox) -> AsyncIterator[SdkClient]:
    """The SDK as a client of the reset sandbox."""
    async with opened(sandbox) as sdk:
        yield sdk


@pytest.fixture(scope="module")
def shared_wire() -> Iterator[Wire]:
    """A sandbox whose deliveries arrive, for the tests of a module."""
    with conforming(seed=7) as sandbox, wired(sandbox) as wire:
        yield wire


@pytest.fixture
def wire(shared_wire: Wire) -> Wire:
    """A sandbox in which nothing has happened yet."""
    shared_wire.sandbox.reset()
    return shared_wire


@pytest.fixture
def receiver(wire: Wire) -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver
        # No delivery may be under way to an address that no longer exists.
        wire.sandbox.reset()
        wire.sandbox.deliver()


@pytest.fixture(scope="module")
def stack(postgres: str, template: str) -> Iterator[ServiceWithSandbox]:
    """A service and its sandbox for the tests of a module; each has its own payer."""
    with selling(postgres, template) as stack:
        yield stack


@pytest.fixture
def ada(stack: ServiceWithSandbox) -> Payer:
    """A new user who has nothing yet."""
    return stack.user()


@pytest.fixture(scope="module")
def begun(stack: ServiceWithSandbox) -> tuple[Payer, str]:
    """A user with a subscription that no test changes."""
    payer = stack.user()
    return payer, payer.subscribed()["id"]
