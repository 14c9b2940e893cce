"""Intents as last committed."""

from typing import Final

import attrs
import sqlalchemy as sa

from payments_adapters.postgres import work_rows
from payments_adapters.postgres.statements import compiled
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    intents,
)
from payments_core.intent import Intent, IntentId

_FIND_INTENT: Final = compiled(
    sa.select(intents).where(intents.c.id == sa.bindparam("intent_id", type_=sa.Text))
)


@attrs.frozen
class PostgresIntentDirectory:
    _store: PostgresStore

    async def find(self, id_: IntentId) -> Intent | None:
        values = _FIND_INTENT.values(intent_id=id_)
        async with self._store.connection() as connection:
            row = await connection.fetchrow(_FIND_INTENT.text, *values)
        return work_rows.to_intent(row) if row else None
