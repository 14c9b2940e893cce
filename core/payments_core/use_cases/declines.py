"""Who tries stolen cards is refused, before anything is asked of the gateway.

Rule 1: a user whose cards were declined `declines_max` times within an hour sets up no
        card, gives none, and begins or changes no subscription that costs, until the
        oldest of these declines leaves the hour.
Rule 2: a decline is an operation of ours during which the bank said no, whatever the
        operation came to: a change that waits to be paid counts as well. A bank that
        wants the payer to confirm has said nothing yet. What events report does not
        count: they tell of the same declines once more, and of renewals that failed,
        after which an honest user has to give another card. Nor does what is declined
        in the browser: that is between the payer and the gateway.
Rule 3: the user is counted, and not the caller: an application's backend calls as
        an administrator, and a card tester comes through it. Only who says so goes on
        despite declines, an operator by hand, and only as an administrator.
Rule 4: what was begun goes on, and what has ended is answered as it was.

They are counted before the operation begins, so as many more may be declined as may
be under way at once: one of a kind, and one start for each product.
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
    """`declines_max` is for one user in an hour; 0 is no limit."""

    intents: IntentDirectory
    clock: Clock
    declines_max: int
    on_refused: Callable[[UserId], None] = lambda _: None

    async def __call__(
        self, found: FoundOperation, *, caller: Caller, despite: bool = False
    ) -> None:
        """Refuse a new operation of a user whose cards were declined too often.

        `despite` lets an administrator go on.

        Raises:
            ScopeRequired: `despite`, and the caller is no administrator.
            TooManyDeclines: not before the oldest decline has left the hour.
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
        """Return when a card of the user is tried again; None: now."""
        if not self.declines_max:
            return None
        declines = await self.intents.declines_of(
            user_id, after=now - WINDOW, limit=self.declines_max
        )
        return min(declines) + WINDOW if len(declines) >= self.declines_max else None
