"""Take a webhook all the way: verify, translate, apply."""

import attrs

from payments_core.errors import EventTypeMismatch
from payments_core.events import Receipt
from payments_core.ports import EventIntake, EventReader


@attrs.frozen
class ReceiveEvent:
    reader: EventReader
    take: EventIntake

    async def __call__(
        self, body: bytes, signature: str, *, only: str | None = None
    ) -> Receipt:
        """Return once the event is durable. `only` names the one type taken.

        Raises:
            BadSignature, MalformedEvent: see `EventReader`.
            EventTypeMismatch: signed, but of another type; nothing was kept.
            StoreUnavailable, Overloaded: see `EventIntake`.
        """
        event = self.reader.read(body, signature)
        if only is not None and event.type != only:
            raise EventTypeMismatch(only)
        return await self.take(event)
