"""One transaction over what a batch of events touches: four round trips in all."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from operator import itemgetter
from typing import Final

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import Connection, PostgresStore
from payments_adapters.postgres.tables import (
    payment_accounts,
    payments,
    webhook_events,
)
from payments_core.account import PaymentAccount, UserId
from payments_core.errors import ChangedElsewhere
from payments_core.events import EventKey, GatewayEvent, Outcome
from payments_core.payment import Payment
from payments_core.ports import Findings, LinkKeys, PaymentRecord, link_keys


@attrs.frozen
class PostgresUnitOfWork:
    _connection: Connection

    async def look_up(self, events: Sequence[GatewayEvent]) -> Findings:
        reports = [e.report for e in events if isinstance(e.report, Payment)]
        locked, known, kept = await self._connection.fetchrow(
            statements.LOOK_UP,
            *_arrays(link_keys(reports)),
            [report.id for report in reports],
            [event.id for event in events],
            [event.type for event in events],
        )
        return Findings(
            frozenset(EventKey(*row) for row in kept or ()),
            [rows.to_account(row) for row in locked or ()],
            [rows.to_payment(row) for row in known or ()],
        )

    async def accounts(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        found = await self._connection.fetch(statements.ACCOUNTS, *_arrays(keys))
        return [rows.to_account(tuple(row)) for row in found]

    async def hold(self, keys: LinkKeys, *, exclusive: bool) -> None:
        words = [
            *(f"user {user}" for user in keys.user_ids),
            *(f"customer {customer}" for customer in keys.customer_ids),
            *(f"email {email}" for email in keys.email_keys),
        ]
        statement = statements.HOLD_EXCLUSIVE if exclusive else statements.HOLD_SHARED
        await self._connection.fetch(statement, words)

    async def unlinked(self, keys: LinkKeys) -> Sequence[PaymentRecord]:
        found = await self._connection.fetch(statements.UNLINKED, *_arrays(keys))
        return [rows.to_payment(tuple(row)) for row in found]

    async def history(self, user_ids: Iterable[UserId]) -> Sequence[PaymentRecord]:
        found = await self._connection.fetch(statements.HISTORY, list(user_ids))
        return [rows.to_payment(tuple(row)) for row in found]

    async def keep(
        self,
        *,
        events: Sequence[tuple[GatewayEvent, Outcome]] = (),
        accounts: Sequence[PaymentAccount] = (),
        payments: Sequence[PaymentRecord] = (),
        at: datetime,
    ) -> None:
        saved = await self._connection.fetchrow(
            statements.KEEP,
            at,
            *_columns((rows.of_event(*event) for event in events), _EVENT),
            *_columns(map(rows.of_account, accounts), _ACCOUNT),
            *_columns(map(rows.of_payment, payments), _PAYMENT),
        )
        if tuple(saved) != (len(events), len(accounts), len(payments)):
            raise ChangedElsewhere("an event, an account or a payment")

    async def commit(self) -> None:
        await self._connection.execute("commit")


@attrs.frozen
class PostgresUnitsOfWork:
    """Call it to open a unit of work."""

    _store: PostgresStore

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[PostgresUnitOfWork]:
        async with self._store.connection() as connection:
            await connection.execute(statements.BEGIN)
            try:
                yield PostgresUnitOfWork(connection)
            finally:
                if connection.is_in_transaction():
                    await connection.execute("rollback")


# Every table's key comes first; an event's has two parts.
_KEY: Final = itemgetter(0, 1)
_EVENT: Final = statements.width(webhook_events)
_ACCOUNT: Final = statements.width(payment_accounts)
_PAYMENT: Final = statements.width(payments)


def _columns(table: Iterable[rows.Row], width: int) -> Sequence[Sequence[object]]:
    """Turn rows into columns in the order of their keys, for `unnest`."""
    ordered = sorted(table, key=_KEY)
    return list(zip(*ordered, strict=True)) if ordered else [()] * width


def _arrays(keys: LinkKeys) -> Sequence[Sequence[str]]:
    return list(keys.user_ids), list(keys.customer_ids), list(keys.email_keys)
