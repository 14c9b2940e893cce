"""Transactions in memory: one at a time, all or nothing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

import attrs

from payments_adapters.memory.tables import EventRow, Tables
from payments_core.account import PaymentAccount, UserId
from payments_core.errors import ChangedElsewhere
from payments_core.events import GatewayEvent, Outcome
from payments_core.payment import Payment
from payments_core.ports import Findings, LinkKeys, PaymentRecord, link_keys


@attrs.define
class MemoryUnitOfWork:
    """Works on tables of its own; `commit` puts them in the place of the old ones."""

    _database: "MemoryDatabase"
    _staged: Tables

    async def look_up(self, events: Sequence[GatewayEvent]) -> Findings:
        reports = [e.report for e in events if isinstance(e.report, Payment)]
        payments = self._staged.payments_reported_by(reports)
        keys = link_keys(reports)
        # A report may leave out whose it is; who has its payment is known.
        owners = {record.user_id for record in payments if record.user_id}
        return Findings(
            frozenset(e.key for e in events if e.key in self._staged.events),
            await self.accounts(attrs.evolve(keys, user_ids=keys.user_ids | owners)),
            payments,
        )

    async def accounts(self, keys: LinkKeys) -> Sequence[PaymentAccount]:
        return self._staged.accounts_under(keys)

    async def hold(self, keys: LinkKeys, *, exclusive: bool) -> None:
        """Do nothing: whoever is here holds everything until the end."""

    async def unlinked(self, keys: LinkKeys) -> Sequence[PaymentRecord]:
        return self._staged.unlinked_under(keys)

    async def history(self, user_ids: Iterable[UserId]) -> Sequence[PaymentRecord]:
        return self._staged.payments_of(user_ids)

    async def keep(
        self,
        *,
        events: Sequence[tuple[GatewayEvent, Outcome]] = (),
        accounts: Sequence[PaymentAccount] = (),
        payments: Sequence[PaymentRecord] = (),
        at: datetime,
    ) -> None:
        tables = self._staged.copy()
        for event, outcome in events:
            if event.key in tables.events:
                raise ChangedElsewhere(event.id)
            tables.events[event.key] = EventRow(event, at, outcome)
        for account in accounts:
            _save(tables.accounts, account.user_id, account)
        for record in payments:
            if record.user_id is not None and record.user_id not in tables.accounts:
                raise ChangedElsewhere(record.user_id)
            _save(tables.payments, record.payment.id, record)
        _require_unique(tables.accounts.values())
        # Only now: what was refused leaves no half of itself behind.
        self._staged = tables

    async def commit(self) -> None:
        self._database.tables = self._staged


@attrs.define(eq=False)
class MemoryDatabase:
    """Call it to open a unit of work; `tables` is what was committed."""

    tables: Tables = attrs.field(factory=Tables)
    _lock: asyncio.Lock = attrs.field(init=False, factory=asyncio.Lock)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[MemoryUnitOfWork]:
        async with self._lock:
            work = MemoryUnitOfWork(self, self.tables)
            # A database never answers at once: others run in between, here as well.
            await asyncio.sleep(0)
            yield work


_Id = TypeVar("_Id", bound=str)
_Row = TypeVar("_Row", PaymentAccount, PaymentRecord)


def _save(rows: dict[_Id, _Row], id_: _Id, row: _Row) -> None:
    stored = rows.get(id_)
    # Rows are saved as version 1 and up, so 0 says: there was none when I read.
    if row.version != (stored.version if stored else 0):
        raise ChangedElsewhere(id_)
    rows[id_] = attrs.evolve(row, version=row.version + 1)


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
