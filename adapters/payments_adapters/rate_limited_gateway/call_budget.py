"""How many calls may be made: one budget for all processes, drawn a few at a time."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import attrs

from payments_core.ports import SystemClock

# Stripe allows 25 a second for each endpoint.
CALLS_PER_S: Final = 15.0
# What an operation asks of them: who takes calls for one takes them for all.
ENDPOINTS: Final = (
    "customers",
    "invoices",
    "payment_methods",
    "products",
    "setup_intents",
    "subscriptions",
)
TAKEN_KEEPS: Final = timedelta(seconds=1)
# A burst is smoothed: a call that finds the budget used up waits a little for more.
WAITS_MAX: Final = 20
WAIT_S: Final = 0.1


class CallBudget(Protocol):
    async def take(
        self, endpoint: str, *, beside: Sequence[str] = (), per_s: float, now: datetime
    ) -> Mapping[str, int]:
        """Take calls out of the budgets of endpoints; return how many of each.

        Of the endpoint one, if there is one, and a few if half of its budget is left;
        of those beside it a few, if half of theirs is left. A budget fills up by
        `per_s` a second, to at most as many.
        """


@attrs.frozen
class TakenCalls:
    """Calls that this process took out of the budget and has yet to make."""

    _budget: CallBudget
    _clock: SystemClock
    _ends: dict[str, deque[datetime]] = attrs.field(init=False, factory=dict)

    async def use(self, endpoint: str, *, alone: bool = False) -> bool:
        """Use one up, taken before or now; say whether there was one.

        None of other endpoints is taken with it if it is `alone`: no operation asks.
        """
        now = self._clock()
        if self._used(endpoint, now):
            return True
        beside = [it for it in ENDPOINTS if it != endpoint and not alone]
        taken = await self._budget.take(
            endpoint, beside=beside, per_s=CALLS_PER_S, now=now
        )
        for name, count in taken.items():
            ends = self._ends.setdefault(name, deque())
            ends.extend([now + TAKEN_KEEPS] * count)
        return self._used(endpoint, now)

    def _used(self, endpoint: str, now: datetime) -> bool:
        ends = self._ends.get(endpoint, deque())
        while ends:
            if ends.popleft() > now:
                return True
        return False
