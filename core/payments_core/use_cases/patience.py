"""Ask a busy gateway again, and a busy database: later and later, and not for ever.

Rule: a call that was not made, or not answered, is made again. One that was not made is
      given up after `TRIES_MAX`, one that is not answered after `UNANSWERED_MAX`.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

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
# Hears of each wait: why, and for how long.
OnWait = Callable[[Exception, float], None]


def no_listener(_: Exception, __: float) -> None:
    """Drop it: no listener was given."""


async def patiently(
    action: Callable[[], Awaitable[_T]], sleep: Sleep, on_wait: OnWait
) -> _T:
    """Return what the action returns, once it does.

    Raises:
        AccountBusy, GatewayUnavailable: several times in a row.
        GatewayMisconfigured: our key was refused; to wait does not help.
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
            on_wait(error, wait_s)
            await sleep(wait_s)
    return await action()
