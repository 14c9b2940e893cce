"""What a save guards besides a load's snapshot: see `ledger_guards` for the rest."""

import attrs
import pytest

from contracts.examples import ADA, BOB, CH_1, CH_2, a_payment, a_record, an_account
from contracts.ledger_guards import CHANGED, changing
from contracts.stores import SAVED, Stores, moved
from payments_adapters.postgres.store import PostgresStore
from payments_core.payment import PaymentRecord
from support.postgres_stores import fetch

pytestmark = pytest.mark.anyio


def _of_an_invoice(id_: str, invoice_id: str, owner: str) -> PaymentRecord:
    payment = attrs.evolve(a_payment(id_, user=owner), invoice_id=invoice_id)
    return a_record(payment, owner=owner)


async def test_an_invoice_is_kept_with_its_group_or_not_at_all(
    stores: Stores, shared: PostgresStore
) -> None:
    """
    The invoice of a refused group would name a payment that does not exist.
    """
    await stores.keep(an_account(), an_account(BOB))
    bob = attrs.evolve(an_account(BOB), version=1)
    stale = attrs.evolve(an_account(ADA), version=3)
    refused = attrs.evolve(
        changing(stale), payments=(_of_an_invoice(CH_1, "in_1", ADA),)
    )
    kept = moved(bob, attrs.evolve(bob), payments=(_of_an_invoice(CH_2, "in_2", BOB),))

    assert await stores.save(refused, kept) == [CHANGED, SAVED]

    found = await fetch(shared, "select invoice_id, payment_id from invoice_payments")
    assert [tuple(row) for row in found] == [("in_2", CH_2)]
