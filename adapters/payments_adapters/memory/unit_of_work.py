"""Transactions in memory: one at a time, all or nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

import attrs

from payments_adapters.memory.tables import EventRow, Tables
from payments_adapters.memory.work_items import WorkItems
from payments_core.account import PaymentAccount
from payments_core.errors import ChangedElsewhere
from payments_core.events import GatewayEvent, Outcome
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


@attrs.define
class MemoryUnitOfWork(WorkItems):
    """Works on tables of its own; `commit` puts them in the place of the old ones."""

    _database: "MemoryDatabase"

    async def look_up(self, events: Sequence[GatewayEvent]) -> Findings:
        payments = [e.report for e in events if isinstance(e.report, Payment)]
        reports = [e.report for e in events if isinstance(e.report, SubscriptionReport)]
        terms = [e.report for e in events if isinstance(e.report, PaidTerm)]
        known = self._staged.payments_reported_by(payments)
        ids = [*(it.gateway_id for it in reports), *(it.gateway_id for it in terms)]
        subscriptions = await self.subscriptions(ids)
        keys = link_keys(payments, reports)
        # A report may leave out whose it is; who has its thing is known.
        owners = {record.user_id for record in known if record.user_id}
        owners |= {it.user_id for it in subscriptions if it.user_id}
        return Findings(
            frozenset(e.key for e in events if e.key in self._staged.events),
            await self.accounts(attrs.evolve(keys, user_ids=keys.user_ids | owners)),
            known,
            subscriptions,
        )

    async def accounts(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        return self._staged.accounts_under(keys)

    async def payments(self, ids: Iterable[PaymentId]) -> Sequence[PaymentRecord]:
        known = self._staged.payments
        return [known[id_] for id_ in sorted(set(ids)) if id_ in known]

    async def subscriptions(self, gateway_ids: Iterable[str]) -> Sequence[Subscription]:
        known = self._staged.subscriptions
        return [known[id_] for id_ in sorted(set(gateway_ids)) if id_ in known]

    async def hold(self, keys: LinkKeys, *, exclusive: bool) -> None:
        """Do nothing: whoever is here holds everything until the end."""

    async def unlinked(self, keys: LinkKeys) -> Unlinked:
        return self._staged.unlinked_under(keys)

    async def linkable(self, *, limit: int) -> LinkKeys:
        return self._staged.linkable(limit)

    async def history(self, user_ids: Iterable[UserId]) -> Sequence[PaymentRecord]:
        return self._staged.payments_of(user_ids)

    async def tickets(self, count: int) -> Sequence[int]:
        # As a sequence of Postgres: a ticket that was drawn stays drawn.
        first = self._database.last_ticket + 1
        self._database.last_ticket += count
        return range(first, first + count)

    async def keep(
        self,
        *,
        events: Sequence[tuple[GatewayEvent, Outcome]] = (),
        accounts: Sequence[PaymentAccount] = (),
        payments: Sequence[PaymentRecord] = (),
        subscriptions: Sequence[Subscription] = (),
        at: datetime,
    ) -> None:
        tables = self._staged.copy()
        for event, outcome in events:
            if event.key in tables.events:
                raise ChangedElsewhere(event.id)
            tables.put_event(EventRow(event, at, outcome))
        for account in accounts:
            alone = attrs.evolve(account, subscriptions=())
            _save(tables.accounts, account.user_id, alone)
        for record in payments:
            _require_owner(tables, record.user_id)
            _save(tables.payments, record.payment.id, record)
        for subscription in subscriptions:
            _require_owner(tables, subscription.user_id)
            _save(tables.subscriptions, subscription.gateway_id, subscription)
        _require_unique(tables.accounts.values())
        # Only now: what was refused leaves no half of itself behind.
        self._staged = tables

    async def commit(self) -> None:
        self._database.tables = self._staged


@attrs.define(eq=False)
class MemoryDatabase:
    """Call it to open a unit of work; `tables` is what was committed."""

    tables: Tables = attrs.field(factory=Tables)
    last_ticket: int = 0
    _lock: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[MemoryUnitOfWork]:
        async with self._lock:
            work = MemoryUnitOfWork(self.tables, self)
            # A database never answers at once: others run in between, here as well.
            await asyncio.sleep(0)
            yield work


_Id = TypeVar("_Id", bound=str)
_Row = TypeVar("_Row", PaymentAccount, PaymentRecord, Subscription)


def _save(rows: dict[_Id, _Row], id_: _Id, row: _Row) -> None:
    stored = rows.get(id_)
    # Rows are saved as version 1 and up, so 0 says: there was none when I read.
    if row.version != (stored.version if stored else 0):
        raise ChangedElsewhere(id_)
    rows[id_] = attrs.evolve(row, version=row.version + 1)


def _require_owner(tables: Tables, user_id: UserId | None) -> None:
    if user_id is not None and user_id not in tables.accounts:
        raise ChangedElsewhere(user_id)


def _require_unique(accounts: Iterable[PaymentAccount]) -> None:
    """Refuse what a unique constraint would, whoever forgot to look."""
    seen: Counter[tuple[str, str]] = Counter()
    for account in accounts:
        seen["the holder of an e-mail", account.email.key] += 1
        if account.customer_id is not None:
            seen["the holder of a customer", account.customer_id] += 1
    for (what, _), holders in seen.items():
        if holders > 1:
            raise ChangedElsewhere(what)
