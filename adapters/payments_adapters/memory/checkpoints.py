"""The progress of loops, in memory."""

import asyncio
from datetime import datetime, timedelta

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.checkpoints import LoopCheckpoint
from payments_core.lease import Lease


@attrs.frozen
class MemoryCheckpoints:
    _database: MemoryDatabase

    async def find(self, name: str) -> LoopCheckpoint | None:
        return self._database.loops.get(name)

    async def claim(
        self, name: str, *, now: datetime, lease: timedelta
    ) -> LoopCheckpoint | None:
        # A database never answers at once: other tasks run in between, here as well.
        await asyncio.sleep(0)
        new = LoopCheckpoint(name=name, lease=Lease(due_at=now))
        known = self._database.loops.get(name, new)
        if not known.lease.is_due(now):
            return None
        claimed = attrs.evolve(known, lease=known.lease.claimed(now, lease))
        self._database.loops[name] = claimed
        return claimed

    async def save(self, claimed: LoopCheckpoint) -> bool:
        await asyncio.sleep(0)
        known = self._database.loops.get(claimed.name)
        if known is None or known.lease.fence != claimed.lease.fence:
            return False
        self._database.loops[claimed.name] = claimed
        return True
