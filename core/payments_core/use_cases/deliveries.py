"""Deliveries, for the people who run the service: list, show, replay."""

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
)
from payments_core.errors import DeliveryNotFound
from payments_core.feed import FeedChange
from payments_core.ports import (
    DeliveryDirectory,
    DeliveryQueue,
    FeedReader,
    SystemClock,
)

# So many are replayed with one statement, or looked at with one.
BATCH: Final = 500
LOOKED_AT: Final = 10_000


async def change_at(feed: FeedReader, position: int) -> FeedChange | None:
    """Return the change at a position; None: there is none, or its user was erased."""
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
        """Return deliveries that are open or dead, in the order of their keys.

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
        """Return a delivery that is open or dead, and its change.

        Raises:
            ScopeRequired: the caller is no administrator.
            DeliveryNotFound: there is none: it is delivered, or never was one.
        """
        caller.require_admin()
        found = await self.deliveries.find(key)
        if found is None:
            raise DeliveryNotFound(key.id)
        return found, await change_at(self.feed, key.position)


@attrs.frozen
class ReplayDeliveries:
    """Deliver again: due at once, for three days anew.

    What is under way at this moment is left as it is.
    """

    queue: DeliveryQueue
    deliveries: DeliveryDirectory
    system_clock: SystemClock

    async def one(self, key: DeliveryKey, *, dry_run: bool, caller: Caller) -> None:
        """Deliver one again: dead, waiting, or delivered before.

        Raises:
            ScopeRequired: the caller is no administrator.
            DeliveryNotFound: there is no such change, the endpoint has not come to it,
                its user was erased, or it is under way.
        """
        caller.require_admin()
        if not await self._replay([key], dry_run=dry_run):
            raise DeliveryNotFound(key.id)

    async def dead(
        self, endpoint: str, *, dry_run: bool, caller: Caller
    ) -> AsyncIterator[Sequence[DeliveryKey]]:
        """Deliver again all that is dead of an endpoint; yield each batch.

        Raises:
            ScopeRequired: the caller is no administrator.
            StoreUnavailable: what was yielded stays replayed.
        """
        caller.require_admin()
        wanted, after = DeliveryQuery(endpoint=endpoint, dead=True), None
        while True:
            page = await self.deliveries.page(wanted, limit=BATCH, after=after)
            keys = [it.key for it in page.deliveries]
            if keys:
                yield await self._replay(keys, dry_run=dry_run)
            after = page.after
            if after is None:
                return

    async def between(
        self,
        endpoint: str,
        since: datetime,
        until: datetime,
        *,
        dry_run: bool,
        caller: Caller,
    ) -> AsyncIterator[Sequence[DeliveryKey]]:
        """Deliver again the changes of a time, delivered or not; yield each batch.

        Those that became known from one moment on and before another, as far as the
        endpoint has come.

        Raises:
            ScopeRequired, StoreUnavailable: see `dead`.
        """
        caller.require_admin()
        after: int | None = 0
        while after is not None:
            found, after = await self.deliveries.passed(
                endpoint, since, until, limit=LOOKED_AT, after=after
            )
            for first in range(0, len(found), BATCH):
                batch = found[first : first + BATCH]
                keys = [DeliveryKey(endpoint, it) for it in batch]
                yield await self._replay(keys, dry_run=dry_run)

    async def _replay(
        self, keys: Sequence[DeliveryKey], *, dry_run: bool
    ) -> Sequence[DeliveryKey]:
        now = self.system_clock()
        if dry_run:
            return await self.deliveries.replayable(keys, now=now)
        return await self.queue.replay(keys, now=now)
