"""Deleting rows after their retention, in memory."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_adapters.memory.tables import EventRow, Tables
from payments_adapters.memory.tokens import MemoryTokenStore
from payments_core.events import OPEN_STATES, EventState
from payments_core.identity import UserId
from payments_core.retention import PurgeKind

_Purge = Callable[[Tables], None]


@attrs.frozen
class MemoryPurgeStore:
    _database: MemoryDatabase
    _tokens: MemoryTokenStore

    async def purge(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        # A database never answers at once: other tasks run in between, here as well.
        await asyncio.sleep(0)
        tables = self._database.tables.copy()
        most = 1 if kind is PurgeKind.BODY_DAYS else limit
        found = self._found(tables, kind, before)[:most]
        for it in found:
            it(tables)
        self._database.tables = tables
        return len(found)

    async def count(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        await asyncio.sleep(0)
        found = self._found(self._database.tables, kind, before)
        return min(len(found), limit)

    def _found(
        self, tables: Tables, kind: PurgeKind, before: datetime
    ) -> Sequence[_Purge]:
        """Return a function for each old row that deletes it."""
        events = list(tables.events.values())
        match kind:
            case PurgeKind.BODY_DAYS:
                days = {_day(it) for it in events if it.of_day}
                old = sorted(it for it in days if it < before.date())
                return [_dropping(it) for it in old]
            case PurgeKind.BODIES:
                return [
                    _emptying(it)
                    for it in events
                    if it.has_body
                    and not (it.of_day or _is_open(it))
                    and it.received_at < before
                ]
            case PurgeKind.EVENTS:
                return [
                    partial(Tables.purge_event, key=it.event.key)
                    for it in events
                    if it.received_at < before
                    and it.outcome.state is not EventState.PENDING
                ]
            case PurgeKind.INTENTS:
                return [
                    partial(Tables.purge_intent, id_=it.id)
                    for it in tables.intents.values()
                    if not it.open and it.created_at < before
                ]
            case PurgeKind.JOBS:
                return [
                    partial(Tables.purge_job, key=key)
                    for key, at in tables.finished_at.items()
                    if at < before
                ]
            case PurgeKind.REVOCATIONS | PurgeKind.HEARTBEATS:
                return [self._expired(it) for it in self._tokens.old(kind, before)]

    def _expired(self, key: tuple[str, str] | UserId) -> _Purge:
        return lambda _: self._tokens.purge(key)


def _day(row: EventRow) -> date:
    return row.received_at.astimezone(UTC).date()


def _is_open(row: EventRow) -> bool:
    return row.outcome.state in OPEN_STATES


def _dropping(day: date) -> _Purge:
    def drop(tables: Tables) -> None:
        for it in list(tables.events.values()):
            if it.of_day and _day(it) == day:
                kept = _is_open(it)
                tables.put_event(attrs.evolve(it, of_day=False, has_body=kept))

    return drop


def _emptying(row: EventRow) -> _Purge:
    return lambda tables: tables.put_event(attrs.evolve(row, has_body=False))
