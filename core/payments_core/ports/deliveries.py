"""The feed of changes, and their delivery to endpoints."""

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
        """Give positions to about `limit` changes that have none, oldest first.

        Return how many were given. 0: no change needs one, or another process is giving
        them now. An uncommitted change is not waited for; it gets its position after
        its commit. All earlier changes of the same user have smaller positions.
        """


class FeedReader(Protocol):
    async def page(self, after: int, limit: int, *, latest: bool = False) -> FeedPage:
        """Return changes with greater positions, in their order.

        `latest`: only the last change of each user. Changes of erased users are left
        out. However few changes match, a page reads at most a thousand rows more than
        `limit`: it may hold fewer changes than `limit`, or none, and still not be the
        last.
        """

    async def last(self) -> int:
        """Return the last position that was given; 0 if there is none."""


class DeliveryQueue(Protocol):
    """Deliveries of changes to delivery endpoints: see `payments_core.deliveries`."""

    async def begin(self, endpoint: str, *, from_start: bool) -> None:
        """Create an endpoint's cursor, unless it has one.

        The cursor starts at the beginning of the feed, or after everything saved so
        far, including changes without a position.
        """

    async def take_over(self, endpoint: str, *, now: datetime, limit: int) -> int:
        """Create deliveries of the next changes, and move the cursor behind them.

        Return by how many changes the cursor moved: at most `limit`, and at most as
        many as there is room for. What another process is taking over now is left to
        it.
        """

    async def claim(
        self, endpoint: str, *, now: datetime, limit: int
    ) -> Sequence[Delivery]:
        """Claim due deliveries: for each user the earliest open one.

        A user who has a claimed delivery is skipped.
        """

    async def finish(self, claimed: Delivery) -> bool:
        """Delete a finished delivery if the claim still holds; say whether it did."""

    async def release(self, claimed: Delivery, after: Delivery) -> bool:
        """Save a delivery as `after`, unclaimed, if the claim holds; say whether."""

    async def replay(self, keys: Sequence[DeliveryKey], *, now: datetime) -> Replayed:
        """Make deliveries due at once, with all their attempts; return which.

        Stored deliveries are made due; for changes that the endpoint's cursor has
        passed, new deliveries are created. A claimed delivery is left to its claimant.
        Deliveries to one endpoint are made due in order, as many as there is room for;
        one that is already open takes no room.
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
        """Return the keys that `DeliveryQueue.replay` would make due."""

    async def passed(
        self,
        endpoint: str,
        since: datetime,
        until: datetime,
        *,
        limit: int,
        after: int = 0,
    ) -> tuple[Sequence[int], int | None]:
        """Return positions of a period's changes that an endpoint's cursor has passed.

        Changes from `since` on and before `until`, out of the `limit` changes that
        follow the position `after`; and the last position examined, or None at the end.
        """

    async def backlogs(self) -> Backlogs:
        """Return the backlog of each endpoint that has a cursor."""


class ChangeSender(Protocol):
    async def send(self, key: DeliveryKey, body: bytes) -> SendResult:
        """Send a signed body once to the delivery endpoint that the key names.

        The body may have arrived although the result says otherwise.
        """


class ChangeBody(Protocol):
    def __call__(self, change: FeedChange) -> bytes:
        """Return the body that an endpoint receives for a change."""
