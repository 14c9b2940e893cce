"""Payments as last committed, and what was decided by hand of whose they are."""

from collections.abc import Sequence

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import PostgresStore
from payments_core.by_hand import LoggedChange
from payments_core.payment import PaymentId, PaymentRecord


@attrs.frozen
class PostgresPaymentDirectory:
    _store: PostgresStore

    async def find(self, id_: PaymentId) -> PaymentRecord | None:
        async with self._store.connection() as connection:
            row = await connection.fetchrow(statements.FIND_PAYMENT, id_)
        return None if row is None else rows.to_payment(row)

    async def changes_by_hand(self, id_: PaymentId) -> Sequence[LoggedChange]:
        async with self._store.connection() as connection:
            found = await connection.fetch(statements.CHANGES_BY_HAND, id_)
        return [rows.to_logged_change(row) for row in found]
