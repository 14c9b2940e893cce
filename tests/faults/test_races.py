"""Races of writers, on a real Postgres."""

import pytest

from contracts.races import RacesContract
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import PostgresStore
from payments_core.ports import Ledger

pytestmark = pytest.mark.anyio


class TestPostgresRaces(RacesContract):
    @pytest.fixture
    def ledger(self, store: PostgresStore) -> Ledger:
        return PostgresLedger(store)
