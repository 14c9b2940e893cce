"""Accounts as last committed, by user id, e-mail or customer."""

from typing import Any

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import PostgresStore
from payments_core.account import PaymentAccount
from payments_core.account_version import AccountVersion
from payments_core.identity import CustomerId, Email, UserId


@attrs.frozen
class PostgresDirectory:
    _store: PostgresStore

    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        row = await self._row(
            user, statements.FIND_ACCOUNT, statements.FIND_ACCOUNT_BY_EMAIL
        )
        if row is None:
            return None
        found = row["subscriptions"] or ()
        return rows.to_account(row, [rows.to_subscription(it) for it in found])

    async def version_of(self, user: UserId | Email) -> AccountVersion | None:
        row = await self._row(
            user, statements.FIND_VERSION, statements.FIND_VERSION_BY_EMAIL
        )
        return None if row is None else AccountVersion(UserId(row[0]), row[1])

    async def _row(self, user: UserId | Email, by_id: str, by_email: str) -> Any:
        async with self._store.connection() as connection:
            if isinstance(user, Email):
                return await connection.fetchrow(by_email, user.key)
            return await connection.fetchrow(by_id, user)

    async def owner_of_customer(self, customer_id: CustomerId) -> UserId | None:
        async with self._store.connection() as connection:
            found = await connection.fetchval(
                statements.FIND_CUSTOMER_OWNER, customer_id
            )
        return UserId(found) if found else None
