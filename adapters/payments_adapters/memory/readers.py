"""Reading what was committed, outside any transaction."""

from collections.abc import Sequence

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.account import PaymentAccount
from payments_core.by_hand import ActionByHand, LoggedChange
from payments_core.events import EventState, KeptEvent
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Intent, IntentId
from payments_core.payment import PaymentId, PaymentRecord


@attrs.frozen
class MemoryAccountDirectory:
    _database: MemoryDatabase

    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        tables = self._database.tables
        id_ = tables.emails.get(user.key) if isinstance(user, Email) else user
        account = tables.accounts.get(id_) if id_ else None
        return tables.whole(account) if account else None

    async def owner_of_customer(self, customer_id: CustomerId) -> UserId | None:
        return self._database.tables.customers.get(customer_id)


@attrs.frozen
class MemoryPaymentDirectory:
    _database: MemoryDatabase

    async def find(self, id_: PaymentId) -> PaymentRecord | None:
        return self._database.tables.payments.get(id_)

    async def changes_by_hand(self, id_: PaymentId) -> Sequence[LoggedChange]:
        return [
            LoggedChange(at=at, change=it)
            for at, it in self._database.tables.changes_by_hand
            if it.subject == id_ and it.action is not ActionByHand.BIND_CUSTOMER
        ]


@attrs.frozen
class MemoryIntentDirectory:
    _database: MemoryDatabase

    async def find(self, id_: IntentId) -> Intent | None:
        return self._database.tables.intents.get(id_)


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
