"""Intents as last committed."""

from collections.abc import Sequence
from datetime import datetime

import attrs

from payments_adapters.postgres import statements, work_rows
from payments_adapters.postgres.store import PostgresStore
from payments_core.identity import UserId
from payments_core.intent import Intent, IntentId


@attrs.frozen
class PostgresIntentDirectory:
    _store: PostgresStore

    async def find(self, id_: IntentId) -> Intent | None:
        # Polled by every client with an operation in progress: it is on the hot path.
        async with self._store.connection() as connection:
            row = await connection.fetchrow(statements.FIND_INTENT, id_)
        return None if row is None else work_rows.to_intent(row)

    async def declines_of(
        self, user_id: UserId, *, after: datetime, limit: int
    ) -> Sequence[datetime]:
        async with self._store.connection() as connection:
            rows = await connection.fetch(statements.DECLINES_OF, user_id, after, limit)
        return [row["created_at"] for row in rows]
