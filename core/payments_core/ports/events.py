"""Events of the gateway: how they are verified and read, and which are kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.events import EventKey, EventState, GatewayEvent
from payments_core.kept_events import EventCursor, EventPage, KeptEvent


class EventReader(Protocol):
    """Any signed bytes are an event: one that cannot be read says so in its report."""

    def read(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify, then translate. Nothing is parsed before the signature holds.

        Raises:
            BadSignature: it was not signed with our secret, or too long ago.
        """

    def reread(self, body: bytes) -> GatewayEvent:
        """Translate a body that was verified when it came."""


class EventLog(Protocol):
    async def page(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        state: EventState | None = None,
        type_: str | None = None,
        since: datetime | None = None,
        unlinked: bool = False,
        limit: int = 100,
        after: EventCursor | None = None,
    ) -> EventPage:
        """Return events without their bodies, the latest received first.

        `since` is when they were received at the earliest.
        However few of the log are wanted, a page reads no more than a thousand more
        than `limit`: it may hold fewer, or none, and not be the last.
        """

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        """Return the events of this id, with their bodies."""

    async def with_bodies(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        """Return those of the events whose bodies are kept still."""

    async def count(self, state: EventState, *, limit: int) -> int:
        """Return how many events are pending, or quarantined; at most `limit`."""

    async def known(self, event_ids: frozenset[str]) -> frozenset[str]:
        """Return those of the ids under which an event is kept, of whatever type."""

    async def open_about(self, object_id: str) -> Sequence[KeptEvent]:
        """Return events about an object that are pending or quarantined, some of them.

        Without their bodies, the latest received first.
        """

    async def has_closed(self, object_id: str) -> bool:
        """Say whether an event about an object was closed by hand."""

    async def received_between(self, start: datetime, end: datetime) -> bool:
        """Say whether any event was received from one moment on and before another."""
