"""One transaction over what a batch of events touches: four round trips in all."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

import attrs

from payments_adapters.postgres import rows, statements
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    payment_accounts,
    payments,
    subscriptions,
    webhook_events,
)
from payments_adapters.postgres.work_items import PostgresWorkItems
from payments_core.account import PaymentAccount
from payments_core.errors import ChangedElsewhere
from payments_core.events import EventKey, GatewayEvent, Outcome
from payments_core.identity import UserId
from payments_core.payment import Payment, PaymentId
from payments_core.ports import (
    Findings,
    LinkKeys,
    PaymentRecord,
    Unlinked,
    link_keys,
)
from payments_core.subscription import PaidTerm, Subscription, SubscriptionReport


@attrs.frozen
class PostgresUnitOfWork(PostgresWorkItems):
    async def look_up(self, events: Sequence[GatewayEvent]) -> Findings:
        payments = [e.report for e in events if isinstance(e.report, Payment)]
        reports = [e.report for e in events if isinstance(e.report, SubscriptionReport)]
        terms = [e.report for e in events if isinstance(e.report, PaidTerm)]
        values = [
            *_arrays(link_keys(payments, reports)),
            [report.id for report in payments],
            [event.id for event in events],
            [event.type for event in events],
            [*(it.gateway_id for it in reports), *(it.gateway_id for it in terms)],
        ]
        found = await self._connection.fetchrow(statements.LOOK_UP, *values)
        if any(map(_is_stale, found[0] or ())):
            found = await self._connection.fetchrow(statements.LOOK_UP, *values)
        locked, known, kept, reported = found
        return Findings(
            frozenset(EventKey(*row) for row in kept or ()),
            [rows.to_account(row[:-1]) for row in locked or ()],
            [rows.to_payment(row) for row in known or ()],
            [rows.to_subscription(row) for row in reported or ()],
        )

    async def accounts(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        arrays = _arrays(keys)
        found = await self._connection.fetch(statements.ACCOUNTS, *arrays)
        if any(map(_is_stale, found)):
            found = await self._connection.fetch(statements.ACCOUNTS, *arrays)
        return [rows.to_account(tuple(row)[:-1]) for row in found]

    async def payments(self, ids: Iterable[PaymentId]) -> Sequence[PaymentRecord]:
        found = await self._connection.fetch(statements.PAYMENTS, list(ids))
        return [rows.to_payment(tuple(row)) for row in found]

    async def subscriptions(self, gateway_ids: Iterable[str]) -> Sequence[Subscription]:
        found = await self._connection.fetch(
            statements.SUBSCRIPTIONS, list(gateway_ids)
        )
        return [rows.to_subscription(tuple(row)) for row in found]

    async def hold(self, keys: LinkKeys, *, exclusive: bool) -> None:
        words = [
            *(f"user {user}" for user in keys.user_ids),
            *(f"customer {customer}" for customer in keys.customer_ids),
            *(f"email {email}" for email in keys.email_keys),
        ]
        statement = statements.HOLD_EXCLUSIVE if exclusive else statements.HOLD_SHARED
        await self._connection.fetch(statement, words)

    async def unlinked(self, keys: LinkKeys) -> Unlinked:
        arrays = _arrays(keys)
        payments = await self._connection.fetch(statements.UNLINKED, *arrays)
        found = await self._connection.fetch(
            statements.UNLINKED_SUBSCRIPTIONS, *arrays[:2]
        )
        return Unlinked(
            [rows.to_payment(tuple(row)) for row in payments],
            [rows.to_subscription(tuple(row)) for row in found],
        )

    async def linkable(self, *, limit: int) -> LinkKeys:
        found = await self._connection.fetch(statements.LINKABLE, limit)
        return LinkKeys(
            frozenset(user for user, _, _ in found),
            frozenset(customer for _, customer, _ in found if customer),
            frozenset(email for _, _, email in found),
        )

    async def history(self, user_ids: Iterable[UserId]) -> Sequence[PaymentRecord]:
        found = await self._connection.fetch(statements.HISTORY, list(user_ids))
        return [rows.to_payment(tuple(row)) for row in found]

    async def tickets(self, count: int) -> Sequence[int]:
        found = await self._connection.fetch(statements.TICKETS, count)
        return [ticket for (ticket,) in found]

    async def keep(
        self,
        *,
        events: Sequence[tuple[GatewayEvent, Outcome]] = (),
        accounts: Sequence[PaymentAccount] = (),
        payments: Sequence[PaymentRecord] = (),
        subscriptions: Sequence[Subscription] = (),
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
        if subscriptions:
            await self._keep_subscriptions(subscriptions, at)

    async def _keep_subscriptions(
        self, subscriptions: Sequence[Subscription], at: datetime
    ) -> None:
        # A statement of its own: most batches have none.
        saved = await self._connection.fetchval(
            statements.KEEP_SUBSCRIPTIONS,
            at,
            *_columns(map(rows.of_subscription, subscriptions), _SUBSCRIPTION),
        )
        if saved != len(subscriptions):
            raise ChangedElsewhere("a subscription")

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


def _is_stale(row: Sequence[Any]) -> bool:
    """Say whether an account was saved by somebody while we waited for its lock."""
    return bool(row[_VERSION] != row[-1])


_VERSION: Final = [column.name for column in payment_accounts.c].index("version")
# Every table's key comes first; an event's has two parts.
_KEY: Final = itemgetter(0, 1)
_EVENT: Final = statements.width(webhook_events)
_ACCOUNT: Final = statements.width(payment_accounts)
_PAYMENT: Final = statements.width(payments)
_SUBSCRIPTION: Final = statements.width(subscriptions)


def _columns(table: Iterable[rows.Row], width: int) -> Sequence[Sequence[object]]:
    """Turn rows into columns in the order of their keys, for `unnest`."""
    ordered = sorted(table, key=_KEY)
    return list(zip(*ordered, strict=True)) if ordered else [()] * width


def _arrays(keys: LinkKeys) -> Sequence[Sequence[str]]:
    return list(keys.user_ids), list(keys.customer_ids), list(keys.email_keys)
