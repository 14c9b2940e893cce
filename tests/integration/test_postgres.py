"""The contracts of the stores, on a real Postgres."""

import pytest

from contracts.account_directory import AccountDirectoryContract
from contracts.event_log import EventLogContract
from contracts.token_store import TokenStoreContract
from contracts.unit_of_work import UnitOfWorkContract
from payments_adapters.postgres.queries import (
    PostgresDirectory,
    PostgresEventLog,
    PostgresTokens,
)
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.unit_of_work import PostgresUnitsOfWork
from payments_core.ports import (
    AccountDirectory,
    EventLog,
    OpenUnitOfWork,
    TokenStore,
)

pytestmark = pytest.mark.anyio


class _OnPostgres:
    @pytest.fixture
    def open_unit_of_work(self, store: PostgresStore) -> OpenUnitOfWork:
        return PostgresUnitsOfWork(store)


class TestPostgresUnitOfWork(_OnPostgres, UnitOfWorkContract):
    pass


class TestPostgresDirectory(_OnPostgres, AccountDirectoryContract):
    @pytest.fixture
    def directory(self, store: PostgresStore) -> AccountDirectory:
        return PostgresDirectory(store)


class TestPostgresEventLog(_OnPostgres, EventLogContract):
    @pytest.fixture
    def event_log(self, store: PostgresStore) -> EventLog:
        return PostgresEventLog(store)


class TestPostgresTokens(TokenStoreContract):
    @pytest.fixture
    def token_store(self, store: PostgresStore) -> TokenStore:
        return PostgresTokens(store)
