"""The machine's clocks."""

import time
from datetime import UTC, datetime
from functools import partial
from typing import Final

from payments_core.ports import LeaseClock


def utc_now() -> datetime:
    return datetime.now(UTC)


# The time during which the machine was suspended must count.
lease_seconds: Final[LeaseClock] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)
