"""The contracts of the stores on a real Postgres, and rows that are read by name."""

import importlib
import sys
from typing import Final

import attrs
import pytest
import sqlalchemy as sa

from contracts import every_contract_of
from contracts.ledger_values import LedgerValuesContract
from contracts.token_store import TokenStoreContract
from contracts.work_queue import ClaimsContract
from contracts.work_queue_overdue import OverdueContract
from payments_adapters import postgres as postgres_package
from payments_adapters.postgres import tables
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.token_store import PostgresTokens
from payments_core.ports import TokenStore
from support.postgres_stores import emptied, stores_on

pytestmark = pytest.mark.anyio


@every_contract_of("stores")
class TestPostgres:
    """Every contract of the stores, on Postgres."""


class TestPostgresTokens(TokenStoreContract):
    @pytest.fixture
    async def token_store(self, shared: PostgresStore) -> TokenStore:
        await emptied(shared)
        return PostgresTokens(shared)


_READ: Final = ("payment_accounts", "payments", "subscriptions", "intents", "jobs")


def _shuffled(table: sa.Table) -> sa.Table:
    """Return a table whose columns come in another order, with one more among them."""
    columns = [sa.Column(it.name, it.type) for it in reversed(list(table.c))]
    middle = len(columns) // 2
    added = sa.Column("added", sa.Text)
    return sa.Table(
        table.name, sa.MetaData(), *columns[:middle], added, *columns[middle:]
    )


async def test_rows_are_read_by_name(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An additional column in the middle, and all others in another order: no value
    shifts.
    """
    async with store.connection() as connection:
        for name in _READ:
            await connection.execute(
                f"alter table {name} add column added text default 'added'"
            )
    modules = (
        "statements",
        "ledger",
        "work_queue",
        "account_directory",
        "intent_directory",
    )
    with monkeypatch.context() as patch:
        for name in _READ:
            patch.setattr(tables, name, _shuffled(getattr(tables, name)))
        # Imported again: their statements are built at import. The indexes are not
        # needed.
        package = "payments_adapters.postgres"
        for name in modules:
            patch.delitem(sys.modules, f"{package}.{name}")
            patch.setattr(postgres_package, name, getattr(postgres_package, name))
        fresh = {name: importlib.import_module(f"{package}.{name}") for name in modules}
    assert "added" in fresh["work_queue"]._CLAIM_JOBS
    stores = attrs.evolve(
        stores_on(store),
        ledger=fresh["ledger"].PostgresLedger(store),
        queue=fresh["work_queue"].PostgresWorkQueue(store),
        accounts=fresh["account_directory"].PostgresDirectory(store),
        intents=fresh["intent_directory"].PostgresIntentDirectory(store),
    )
    values, claims = LedgerValuesContract(), ClaimsContract()
    for test in (
        values.test_accounts_come_back_exactly,
        values.test_payments_come_back_exactly,
        values.test_subscriptions_come_back_exactly,
        values.test_intents_come_back_exactly,
        values.test_an_account_comes_with_its_subscriptions_the_first_first,
        claims.test_a_claimed_job_is_what_is_kept_and_leased,
        claims.test_a_claimed_intent_is_what_is_kept_and_leased,
        OverdueContract().test_what_should_have_been_heard_of_is_asked_for,
    ):
        await emptied(store)
        await test(stores)
