"""The feed of changes, and their deliveries to endpoints."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.deliveries import (
    ALL_DELIVERIES,
    Backlogs,
    Delivery,
    DeliveryKey,
    DeliveryPage,
    DeliveryQuery,
    Replayed,
    SendResult,
)
from payments_core.feed import FeedChange, FeedPage


class FeedSequencer(Protocol):
    async def give(self, limit: int) -> int:
        """Give positions to about so many changes that have none, the oldest first.

        Return to how many. 0: there are none, or another process gives them at this
        moment. A change that is not committed is not waited for; it gets its position
        once it is. Of a user, all that came before a change has a smaller one.
        """


class FeedReader(Protocol):
    async def page(self, after: int, limit: int, *, latest: bool = False) -> FeedPage:
        """Return changes whose positions are greater, in their order.

        `latest`: of each user the last one only. Those of users who were erased are
        left out. However few of all are wanted, a page reads no more than a thousand
        more than `limit`: it may hold fewer, or none, and not be the last.
        """

    async def last(self) -> int:
        """Return the position that was given last; 0: none was."""


class DeliveryQueue(Protocol):
    """Deliveries of changes to delivery endpoints: see `payments_core.deliveries`."""

    async def begin(self, endpoint: str, *, from_start: bool) -> None:
        """Begin an endpoint's cursor, unless it has one.

        At the beginning of the feed, or after all that was saved so far, also what
        has no position yet.
        """

    async def take_over(self, endpoint: str, *, now: datetime, limit: int) -> int:
        """Make deliveries of the next changes, and move the cursor behind them.

        Return by how many changes it moved: at most `limit`, and at most as many as
        there is room for. What another process is doing at this moment is left to it.
        """

    async def claim(
        self, endpoint: str, *, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        """Claim deliveries that are due: of each user the earliest one that is open.

        None of a user of whom another one is claimed.
        """

    async def finish(self, claimed: Delivery) -> bool:
        """Delete a delivery that is done, if the claim still holds; say whether."""

    async def release(self, claimed: Delivery, after: Delivery) -> bool:
        """Give a delivery back as it is then, if the claim still holds; say whether."""

    async def replay(self, keys: Sequence[DeliveryKey], *, now: datetime) -> Replayed:
        """Make deliveries due at once, with all their attempts; return which.

        Those that are kept, and anew those of changes that the endpoint's cursor has
        passed. One that is claimed is left to who has it. Those of an endpoint are made
        due in their order, as many as there is room for: one that is open takes none.
        """


class DeliveryDirectory(Protocol):
    async def find(self, key: DeliveryKey) -> Delivery | None:
        """Return a delivery that is open or dead."""

    async def page(
        self,
        wanted: DeliveryQuery = ALL_DELIVERIES,
        *,
        limit: int = 100,
        after: DeliveryKey | None = None,
    ) -> DeliveryPage:
        """Return deliveries that are open or dead, in the order of their keys."""

    async def replayable(
        self, keys: Sequence[DeliveryKey], *, now: datetime
    ) -> Sequence[DeliveryKey]:
        """Return which of them `DeliveryQueue.replay` would make due."""

    async def passed(
        self,
        endpoint: str,
        since: datetime,
        until: datetime,
        *,
        limit: int,
        after: int = 0,
    ) -> tuple[Sequence[int], int | None]:
        """Return the positions of changes of a time that an endpoint's cursor passed.

        From `since` on and before `until`, of `limit` changes that come after a
        position; and the last position that was looked at, None if that was the end.
        """

    async def backlogs(self) -> Backlogs:
        """Return how each endpoint stands that has a cursor."""


class ChangeSender(Protocol):
    async def send(self, key: DeliveryKey, body: bytes) -> SendResult:
        """Send a body to the delivery endpoint that the key names, signed, once.

        It may have arrived although the result says otherwise.
        """


class ChangeBody(Protocol):
    def __call__(self, change: FeedChange) -> bytes:
        """Return what an endpoint is sent of a change."""
