"""Deliveries, for operators: list, show, replay."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.caller import Caller
from payments_core.deliveries import (
    Delivery,
    DeliveryKey,
    DeliveryPage,
    DeliveryQuery,
    Replayed,
)
from payments_core.errors import DeliveryNotFound, TooManyOpen
from payments_core.feed import FeedChange
from payments_core.ports import (
    DeliveryDirectory,
    DeliveryQueue,
    FeedReader,
    SystemClock,
)

# Deliveries replayed with one statement, and changes read with one.
BATCH: Final = 500
LOOKED_AT: Final = 10_000


async def change_at(feed: FeedReader, position: int) -> FeedChange | None:
    """Return the change at a position; None: none exists, or its user was erased."""
    page = await feed.page(position - 1, 1)
    return next((it for it in page.changes if it.position == position), None)


@attrs.frozen
class ListDeliveries:
    deliveries: DeliveryDirectory

    async def __call__(
        self,
        wanted: DeliveryQuery,
        *,
        after: DeliveryKey | None,
        limit: int,
        caller: Caller,
    ) -> DeliveryPage:
        """Return open and dead deliveries, in the order of their keys.

        Raises:
            ScopeRequired: the caller is no administrator.
        """
        caller.require_admin()
        return await self.deliveries.page(wanted, after=after, limit=limit)


@attrs.frozen
class ReadDelivery:
    deliveries: DeliveryDirectory
    feed: FeedReader

    async def __call__(
        self, key: DeliveryKey, *, caller: Caller
    ) -> tuple[Delivery, FeedChange | None]:
        """Return an open or dead delivery, and its change.

        Raises:
            ScopeRequired: the caller is no administrator.
            DeliveryNotFound: it does not exist: it was delivered, or never created.
        """
        caller.require_admin()
        found = await self.deliveries.find(key)
        if found is None:
            raise DeliveryNotFound(key.id)
        return found, await change_at(self.feed, key.position)


@attrs.frozen
class ReplayDeliveries:
    """Replays deliveries: due at once, and tried for another three days.

    A delivery in progress is unchanged. A dry run does not check the limit.
    """

    queue: DeliveryQueue
    deliveries: DeliveryDirectory
    system_clock: SystemClock

    async def one(self, key: DeliveryKey, *, dry_run: bool, caller: Caller) -> None:
        """Replay one delivery: dead, waiting, or already delivered.

        Raises:
            ScopeRequired: the caller is no administrator.
            DeliveryNotFound: there is no such change, the endpoint has not reached it,
                its user was erased, or it is in progress.
            TooManyOpen: the endpoint is at its limit.
        """
        caller.require_admin()
        done = await self._replay([key], dry_run=dry_run)
        if done.left:
            raise TooManyOpen(key.endpoint, 1, key.position - 1)
        if not done.due:
            raise DeliveryNotFound(key.id)

    async def dead(
        self, endpoint: str, *, dry_run: bool, caller: Caller
    ) -> AsyncIterator[Sequence[DeliveryKey]]:
        """Replay all dead deliveries of an endpoint; yield each batch.

        Raises:
            ScopeRequired: the caller is no administrator.
            StoreUnavailable: what was yielded stays replayed.
            TooManyOpen: what was yielded is replayed, the rest is above the limit.
        """
        caller.require_admin()
        async for done in self._each(self._dead(endpoint), dry_run=dry_run):
            yield done

    async def between(  # noqa: PLR0913  # each a bound, by name
        self,
        endpoint: str,
        since: datetime,
        until: datetime,
        *,
        dry_run: bool,
        caller: Caller,
        after: int = 0,
    ) -> AsyncIterator[Sequence[DeliveryKey]]:
        """Replay the changes of a time range, delivered or not; yield each batch.

        The changes from `since` on and before `until`, as far as the endpoint has come,
        and `after` a position.

        Raises:
            ScopeRequired, StoreUnavailable, TooManyOpen: see `dead`.
        """
        caller.require_admin()
        wanted = self._between(endpoint, since, until, after)
        async for done in self._each(wanted, dry_run=dry_run):
            yield done

    async def _dead(self, endpoint: str) -> AsyncIterator[Sequence[DeliveryKey]]:
        wanted, after = DeliveryQuery(endpoint=endpoint, dead=True), None
        while True:
            page = await self.deliveries.page(wanted, limit=BATCH, after=after)
            if page.deliveries:
                yield [it.key for it in page.deliveries]
            after = page.after
            if after is None:
                return

    async def _between(
        self, endpoint: str, since: datetime, until: datetime, after: int
    ) -> AsyncIterator[Sequence[DeliveryKey]]:
        place: int | None = after
        while place is not None:
            found, place = await self.deliveries.passed(
                endpoint, since, until, limit=LOOKED_AT, after=place
            )
            for first in range(0, len(found), BATCH):
                batch = found[first : first + BATCH]
                yield [DeliveryKey(endpoint, it) for it in batch]

    async def _each(
        self, wanted: AsyncIterator[Sequence[DeliveryKey]], *, dry_run: bool
    ) -> AsyncIterator[Sequence[DeliveryKey]]:
        """Replay in batches up to the limit of open deliveries, then count the rest."""
        first: DeliveryKey | None = None
        count = 0
        async for keys in wanted:
            if first is None:
                done = await self._replay(keys, dry_run=dry_run)
                yield done.due
                left = done.left
            else:
                left = (await self._replay(keys, dry_run=True)).due
            first = first or next(iter(left), None)
            count += len(left)
        if first is not None:
            raise TooManyOpen(first.endpoint, count, first.position - 1)

    async def _replay(self, keys: Sequence[DeliveryKey], *, dry_run: bool) -> Replayed:
        now = self.system_clock()
        if dry_run:
            return Replayed(await self.deliveries.replayable(keys, now=now))
        return await self.queue.replay(keys, now=now)
