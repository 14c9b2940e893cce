"""Events of the gateway: how they are verified and read, and which are stored."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.events import EventKey, EventState, GatewayEvent
from payments_core.kept_events import EventCursor, EventPage, KeptEvent


class EventReader(Protocol):
    """Any signed body is an event: the report of an unreadable one says so."""

    def read(self, body: bytes, signature: str) -> GatewayEvent:
        """Verify, then translate. Nothing is parsed before the signature is verified.

        Raises:
            BadSignature: the body was not signed with our secret, or was signed too
                long ago.
        """

    def reread(self, body: bytes) -> GatewayEvent:
        """Translate a body that was verified when it arrived."""


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
        """Return events without their bodies, latest received first.

        `since` is the earliest time of receipt. However few events match, a page reads
        at most a thousand rows more than `limit`: it may hold fewer events than
        `limit`, or none, and still not be the last.
        """

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        """Return the events with this id, with their bodies."""

    async def with_bodies(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        """Return the events whose bodies are still stored."""

    async def count(self, state: EventState, *, limit: int) -> int:
        """Return how many events are pending, or quarantined; at most `limit`."""

    async def known(self, event_ids: frozenset[str]) -> frozenset[str]:
        """Return the ids for which an event of any type is stored."""

    async def open_about(self, object_id: str) -> Sequence[KeptEvent]:
        """Return some of the pending or quarantined events about an object.

        Without their bodies, latest received first.
        """

    async def has_closed(self, object_id: str) -> bool:
        """Say whether an event about an object was closed by hand."""

    async def received_between(self, start: datetime, end: datetime) -> bool:
        """Say whether any event was received from `start` on and before `end`."""
