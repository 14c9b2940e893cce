"""Payments as last committed."""

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import PostgresStore
from payments_core.payment import PaymentId, PaymentRecord


@attrs.frozen
class PostgresPaymentDirectory:
    _store: PostgresStore

    async def find(self, id_: PaymentId) -> PaymentRecord | None:
        async with self._store.connection() as connection:
            row = await connection.fetchrow(statements.FIND_PAYMENT, id_)
        return None if row is None else rows.to_payment(row)
