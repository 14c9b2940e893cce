"""What waits, in memory."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.backlog import (
    OPEN_INTENT_STATES,
    Backlog,
    EndpointWaiting,
    Waiting,
)
from payments_core.events import EventState


@attrs.frozen
class MemoryBacklog:
    _database: MemoryDatabase

    async def read(
        self, *, due_by: datetime, endpoints: Sequence[str], limit: int
    ) -> Backlog:
        await asyncio.sleep(0)
        tables = self._database.tables
        pending = [
            it.received_at
            for it in tables.events.values()
            if it.outcome.state is EventState.PENDING
        ]
        due = [it.lease.due_at for it in tables.jobs.values() if it.is_due(due_by)]
        unlinked = sum(
            it.user_id is None and not it.linked_by_hand
            for it in tables.payments.values()
        )
        unnumbered = [
            logged.at
            for key, logged in tables.account_log.items()
            if key not in tables.positions
        ]
        # Counted together, because Postgres reads one index for them.
        intents = sorted(tables.all_open_intents(), key=lambda it: it.lease.due_at)
        return Backlog(
            pending_since=min(pending, default=None),
            due_jobs=_waiting(due, limit),
            unlinked_payments=min(unlinked, limit),
            intents={
                state: _waiting(
                    (it.created_at for it in intents[:limit] if it.state is state),
                    limit,
                )
                for state in OPEN_INTENT_STATES
            },
            unnumbered_since=min(unnumbered, default=None),
            endpoints={
                name: self._endpoint(name, cursor, limit)
                for name, cursor in self._database.delivery_cursors.items()
                if name in endpoints
            },
        )

    def _endpoint(self, name: str, cursor: int, limit: int) -> EndpointWaiting:
        tables = self._database.tables
        theirs = [
            it for key, it in self._database.deliveries.items() if key.endpoint == name
        ]
        open_ = {it.key.position for it in theirs if not it.dead}
        since = [
            tables.account_log[key].at
            for key, position in tables.positions.items()
            if position > cursor or position in open_
        ]
        dead = sum(it.dead for it in theirs)
        return EndpointWaiting(since=min(since, default=None), dead=min(dead, limit))


def _waiting(moments: Iterable[datetime], limit: int) -> Waiting:
    found = sorted(moments)[:limit]
    return Waiting(len(found), min(found, default=None))
