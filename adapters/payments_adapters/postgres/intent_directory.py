"""Intents as last committed."""

from typing import Final

import attrs
import sqlalchemy as sa

from payments_adapters.postgres import work_rows
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import intents
from payments_core.intent import Intent, IntentId

_FIND_INTENT: Final = sa.select(intents).where(
    intents.c.id == sa.bindparam("intent_id", type_=sa.Text)
)


@attrs.frozen
class PostgresIntentDirectory:
    _store: PostgresStore

    async def find(self, id_: IntentId) -> Intent | None:
        found = await self._store.execute(_FIND_INTENT, intent_id=id_)
        return work_rows.to_intent(found[0]) if found else None
