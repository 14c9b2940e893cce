"""Limit declined cards, against card testing, before the gateway is called.

Rule 1: a user whose cards were declined `declines_max` times within an hour cannot set
        up or update a card, or begin or change a subscription that costs, until the
        oldest of these declines leaves the hour.
Rule 2: a decline is an operation of ours during which the bank said no, whatever its
        outcome: a change that waits for its payment counts too. A bank that requires
        authentication has not declined. Declines reported by events do not count: they
        repeat the same declines, and report failed renewals, after which an honest user
        must give another card. Declines in the browser do not count either: they are
        between the payer and the gateway.
Rule 3: declines count for the user, not for the caller: an application's backend calls
        as an administrator, and a card tester may come through it. Only an explicit
        request of an administrator continues despite declines.
Rule 4: an operation that has begun continues, and one that has ended is answered
        unchanged.

Declines are counted before the operation begins, so the limit can be exceeded by the
operations that may run at once: one of a kind, and one start for each product.
"""

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.caller import Caller
from payments_core.errors import TooManyDeclines
from payments_core.identity import UserId
from payments_core.ports import Clock, IntentDirectory
from payments_core.use_cases.execute_operation import FoundOperation

WINDOW: Final = timedelta(hours=1)


@attrs.frozen
class LimitDeclines:
    """`declines_max` is per user and hour; 0 means no limit."""

    intents: IntentDirectory
    clock: Clock
    declines_max: int
    on_refused: Callable[[UserId], None] = lambda _: None

    async def __call__(
        self, found: FoundOperation, *, caller: Caller, despite: bool = False
    ) -> None:
        """Refuse a new operation of a user whose cards were declined too often.

        `despite` skips the limit, for an administrator.

        Raises:
            ScopeRequired: `despite`, and the caller is no administrator.
            TooManyDeclines: until the oldest decline leaves the hour.
        """
        if despite:
            caller.require_admin()
        if despite or found.executed is not None:
            return
        user_id, now = found.request.user_id, self.clock()
        until = await self.refused_until(user_id, now)
        if until is None:
            return
        self.on_refused(user_id)
        raise TooManyDeclines(max(1, math.ceil((until - now).total_seconds())))

    async def refused_until(self, user_id: UserId, now: datetime) -> datetime | None:
        """Return when a card of the user may be tried again; None: now."""
        if not self.declines_max:
            return None
        declines = await self.intents.declines_of(
            user_id, after=now - WINDOW, limit=self.declines_max
        )
        return min(declines) + WINDOW if len(declines) >= self.declines_max else None
