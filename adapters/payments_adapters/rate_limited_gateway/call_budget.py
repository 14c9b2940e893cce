"""How many calls may be made: one budget for all processes, drawn a few at a time."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import attrs

from payments_core.ports import SystemClock

# Stripe allows 25 a second for each endpoint.
CALLS_PER_S: Final = 15.0
# The endpoints that an operation calls: taking calls for one takes them for all.
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
        """Take calls from the budgets of endpoints; return how many of each.

        From the endpoint's own budget it takes one call if there is one, and a few if
        half of the budget is left; from each of the other endpoints a few, if half of
        theirs is left. A budget refills at `per_s` a second, to at most that many.
        """


@attrs.frozen
class TakenCalls:
    """Calls that this process took from the budget and has not made yet."""

    _budget: CallBudget
    _clock: SystemClock
    _ends: dict[str, deque[datetime]] = attrs.field(init=False, factory=dict)

    async def use(self, endpoint: str, *, alone: bool = False) -> bool:
        """Use up one call, taken before or now; return whether there was one.

        If `alone`, no calls of other endpoints are taken with it: this is not an
        operation.
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
