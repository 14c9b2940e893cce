"""Reading what was committed, outside any transaction."""

from collections.abc import Sequence

import attrs

from payments_adapters.memory.unit_of_work import MemoryDatabase
from payments_core.account import Email, PaymentAccount, UserId
from payments_core.events import EventState, KeptEvent


@attrs.frozen
class MemoryAccountDirectory:
    _database: MemoryDatabase

    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        accounts = self._database.tables.accounts
        if not isinstance(user, Email):
            return accounts.get(user)
        return next((a for a in accounts.values() if a.email.key == user.key), None)


@attrs.frozen
class MemoryEventLog:
    _database: MemoryDatabase

    async def kept(
        self,
        *,
        state: EventState | None = None,
        unlinked: bool = False,
        limit: int = 100,
    ) -> Sequence[KeptEvent]:
        tables = self._database.tables
        rows = [
            row
            for _, row in sorted(tables.events.items())
            if state in (None, row.outcome.state)
            and (not unlinked or tables.is_unlinked(row))
        ]
        # Stable: of several in one moment the first id is first.
        rows.sort(key=lambda row: row.received_at, reverse=True)
        return [tables.kept(row, with_body=False) for row in rows[:limit]]

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        tables = self._database.tables
        return [
            tables.kept(row, with_body=True)
            for row in tables.events.values()
            if row.event.id == event_id
        ]
