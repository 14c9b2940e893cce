"""Retry calls to a busy gateway, a limited number of times.

Rule 1: a call that was not made, or not answered, is retried with back-off: up to
        `TRIES_MAX` times if it was not made, `UNANSWERED_MAX` if it was not answered.
Rule 2: a refused key is not retried.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

import attrs

from payments_core.errors import (
    AccountBusy,
    GatewayMisconfigured,
    GatewayOutcomeUnknown,
    GatewayUnavailable,
)
from payments_core.lease import BackOff

BACK_OFF: Final = BackOff(timedelta(seconds=1), timedelta(minutes=1))
TRIES_MAX: Final = 8
UNANSWERED_MAX: Final = 3

_T = TypeVar("_T")
Sleep = Callable[[float], Awaitable[None]]
# Called for each wait: why, and for how many seconds.
OnWait = Callable[[Exception, float], None]


def untold(_: Exception, __: float) -> None:
    """Ignore it: no listener was given."""


@attrs.frozen
class Patience:
    sleep: Sleep = asyncio.sleep
    on_wait: OnWait = untold

    async def __call__(self, action: Callable[[], Awaitable[_T]]) -> _T:
        """Run the action until it succeeds, and return its result.

        Raises:
            AccountBusy, GatewayUnavailable: it failed several times in a row.
            GatewayMisconfigured: our key was refused; waiting does not help.
        """
        unanswered = 0
        for attempt in range(1, TRIES_MAX):
            try:
                return await action()
            except GatewayMisconfigured:
                raise
            except (AccountBusy, GatewayUnavailable) as error:
                unanswered += isinstance(error, GatewayOutcomeUnknown)
                if unanswered == UNANSWERED_MAX:
                    raise
                wait_s = BACK_OFF.after(attempt - 1).total_seconds()
                self.on_wait(error, wait_s)
                await self.sleep(wait_s)
        return await action()
