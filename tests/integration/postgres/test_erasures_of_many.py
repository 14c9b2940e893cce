"""A user with very many payments is exported and erased like any other."""

from typing import Final

import pytest

from contracts.erasures import AT, GONE, an_erasure
from contracts.examples import ADA, APPLIED, CUS_1, an_account, an_event
from contracts.stores import Stores
from payments_adapters.postgres.personal_data import AccountExport
from payments_adapters.postgres.store import PostgresStore
from payments_core.events import GatewayEvent
from support.profiles import PROVES

pytestmark = pytest.mark.anyio

COUNT: Final = 20_000 if PROVES else 4_000
EVENTS: Final = 3_000 if PROVES else 300
# Users whose events mention a payment, an invoice, or neither.
KINDS: Final = 3
_PAID: Final = """
insert into payments (
    id, user_id, state, dispute, amount_minor, currency, refunded_minor, created_at,
    customer_id, invoice_id, invoice_known, version, recorded_at, updated_at
)
select 'ch_' || n, 'ada', 'succeeded', 'none', 500, 'eur', 0, $2, 'cus_1', 'in_' || n,
    true, 1, $2, $2
from generate_series(1, $1::int) n
"""
_INVOICES: Final = """
insert into invoice_payments (invoice_id, payment_id, recorded_at)
select invoice_id, id, recorded_at from payments
"""


def told(number: int) -> GatewayEvent:
    thing = ("ch", "in", "other")[number % KINDS]
    body = f'{{"object": "{thing}_{number % COUNT + 1}", "text": "{"x" * 3_000}"}}'
    return an_event(f"evt_{number}", body=body.encode())


@pytest.fixture
async def many(stores: Stores, shared: PostgresStore) -> Stores:
    """Lend a store of a user with very many payments, and events of some of them."""
    await stores.keep(
        an_account(ADA, customer=CUS_1),
        events=[(told(number), APPLIED) for number in range(EVENTS)],
    )
    async with shared.connection() as connection:
        await connection.execute(_PAID, COUNT, AT, timeout=60)
        await connection.execute(_INVOICES, timeout=60)
    return stores


@pytest.mark.usefixtures("many")
async def test_whatever_mentions_one_of_very_many_payments_is_exported(
    shared: PostgresStore,
) -> None:
    """
    Or one of as many invoices.
    """
    found = [table async for table, _ in AccountExport(shared)(ADA)]
    assert found.count("payments") == found.count("invoice_payments") == COUNT
    assert found.count("webhook_events") == EVENTS * 2 // KINDS


async def test_who_has_very_many_payments_is_erased(many: Stores) -> None:
    """
    No event mentions any of them any longer, nor any of as many invoices.
    """
    assert await many.erasures.begin(await many.account(ADA), an_erasure())
    assert await many.erasures.finish(GONE) == EVENTS * 2 // KINDS
    bare = [await many.events.find(f"evt_{number}") for number in range(KINDS)]
    assert [bool(it.body) for [it] in bare] == [False, False, True]
