"""Deliveries of changes, in memory."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.deliveries import (
    ALL_DELIVERIES,
    OPEN_MAX,
    Backlogs,
    Delivery,
    DeliveryKey,
    DeliveryPage,
    DeliveryQuery,
    EndpointBacklog,
    Replayed,
)
from payments_core.erasure import is_pseudonym
from payments_core.identity import UserId


@attrs.frozen
class MemoryDeliveries:
    """The queue and the directory; `open_max` limits the open ones of an endpoint."""

    _database: MemoryDatabase
    _open_max: int = OPEN_MAX

    async def begin(self, endpoint: str, *, from_start: bool) -> None:
        tables = self._database.tables
        # Changes without a position get the next ones.
        count = len(tables.account_log) - len(tables.positions)
        last = tables.last_position + count
        cursors = self._database.delivery_cursors
        cursors.setdefault(endpoint, 0 if from_start else last)

    async def take_over(self, endpoint: str, *, now: datetime, limit: int) -> int:
        # A database never answers at once: other tasks run in between, here as well.
        await asyncio.sleep(0)
        it, cursor = self._database, self._database.delivery_cursors[endpoint]
        room = max(self._open_max - len(self._open(endpoint)), 0)
        log = self._log()
        passed = [at for at in log if at > cursor][: min(limit, room)]
        for position in passed:
            key, user = DeliveryKey(endpoint, position), log[position][0]
            if not is_pseudonym(user) and key not in it.deliveries:
                it.deliveries[key] = Delivery.due(key, user, now)
        if passed:
            it.delivery_cursors[endpoint] = passed[-1]
        return len(passed)

    async def claim(
        self, endpoint: str, *, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        await asyncio.sleep(0)
        firsts = dict[str, Delivery]()
        busy = set[str]()
        for it in self._open(endpoint):
            firsts.setdefault(it.user_id, it)
            if it.lease.until is not None and it.lease.until > now:
                busy.add(it.user_id)
        due = [
            it
            for user, it in firsts.items()
            if user not in busy and it.lease.is_due(now)
        ]
        due.sort(key=lambda it: (it.lease.due_at, it.key.position))
        return [self._claimed(it, now) for it in due[:limit]]

    def _claimed(self, it: Delivery, now: datetime) -> Delivery:
        claimed = it.claimed(now)
        lease = attrs.evolve(claimed.lease, fence=self._database.next_sequence())
        claimed = attrs.evolve(claimed, lease=lease)
        self._database.deliveries[it.key] = claimed
        return claimed

    async def finish(self, claimed: Delivery) -> bool:
        await asyncio.sleep(0)
        if not self._holds(claimed):
            return False
        del self._database.deliveries[claimed.key]
        return True

    async def release(self, claimed: Delivery, after: Delivery) -> bool:
        await asyncio.sleep(0)
        if not self._holds(claimed):
            return False
        self._database.deliveries[claimed.key] = after
        return True

    async def replay(self, keys: Sequence[DeliveryKey], *, now: datetime) -> Replayed:
        found = await self.replayable(keys, now=now)
        log, kept = self._log(), self._database.deliveries
        due, left = list[DeliveryKey](), list[DeliveryKey]()
        for name in sorted({it.endpoint for it in found}):
            room = max(self._open_max - len(self._open(name)), 0)
            takes = 0
            for key in (it for it in found if it.endpoint == name):
                new = Delivery.due(key, log[key.position][0], now)
                takes += kept.get(key) is None or kept[key].dead
                if takes > room:
                    left.append(key)
                    continue
                kept[key] = kept.get(key, new).replayed(now)
                due.append(key)
        return Replayed(due, left)

    async def replayable(
        self, keys: Sequence[DeliveryKey], *, now: datetime
    ) -> Sequence[DeliveryKey]:
        await asyncio.sleep(0)
        log = self._log()
        return [
            key
            for key in sorted(set(keys))
            if key.position <= self._database.delivery_cursors.get(key.endpoint, 0)
            and key.position in log
            and not is_pseudonym(log[key.position][0])
            and not self._is_claimed(key, now)
        ]

    def _is_claimed(self, key: DeliveryKey, now: datetime) -> bool:
        kept = self._database.deliveries.get(key)
        until = kept.lease.until if kept else None
        return until is not None and until > now

    async def find(self, key: DeliveryKey) -> Delivery | None:
        return self._database.deliveries.get(key)

    async def page(
        self,
        wanted: DeliveryQuery = ALL_DELIVERIES,
        *,
        limit: int = 100,
        after: DeliveryKey | None = None,
    ) -> DeliveryPage:
        found = [
            it
            for key, it in sorted(self._database.deliveries.items())
            if (after is None or key > after)
            and wanted.endpoint in {None, key.endpoint}
            and (it.dead or not wanted.dead)
        ]
        listed = found[:limit]
        return DeliveryPage(listed, listed[-1].key if len(found) > limit else None)

    async def passed(
        self,
        endpoint: str,
        since: datetime,
        until: datetime,
        *,
        limit: int,
        after: int = 0,
    ) -> tuple[Sequence[int], int | None]:
        kept, log = self._database.tables.account_log, self._log()
        cursor = self._database.delivery_cursors.get(endpoint, 0)
        behind = [it for it in log if after < it <= cursor]
        looked_at = behind[:limit]
        found = [
            it
            for it in looked_at
            if not is_pseudonym(log[it][0]) and since <= kept[log[it]].at < until
        ]
        return found, looked_at[-1] if len(behind) > limit else None

    async def backlogs(self) -> Backlogs:
        return {
            name: self._backlog(name, position)
            for name, position in sorted(self._database.delivery_cursors.items())
        }

    def _backlog(self, endpoint: str, position: int) -> EndpointBacklog:
        opened = self._open(endpoint)
        kept = self._database.deliveries.values()
        dead = [it for it in kept if it.dead and it.key.endpoint == endpoint]
        failing = [it.first_tried_at for it in opened if it.first_tried_at is not None]
        return EndpointBacklog(
            position=position,
            open=min(len(opened), OPEN_MAX),
            dead=min(len(dead), OPEN_MAX),
            failing_since=min(failing, default=None),
        )

    def _open(self, endpoint: str) -> Sequence[Delivery]:
        return [
            it
            for key, it in sorted(self._database.deliveries.items())
            if key.endpoint == endpoint and not it.dead
        ]

    def _holds(self, claimed: Delivery) -> bool:
        kept = self._database.deliveries.get(claimed.key)
        return kept is not None and kept.lease.fence == claimed.lease.fence

    def _log(self) -> Mapping[int, tuple[UserId, int]]:
        """Return the rows of the log that have positions, in order."""
        positions = self._database.tables.positions.items()
        return {position: row for row, position in sorted(positions, key=itemgetter(1))}
