"""The current time by both clocks: see `Clock` and `SystemClock` in the ports."""

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class Now:
    """The current time, read once for everything that is decided together.

    `at` is the gateway's time: for rules, ages and recorded times. `system` is the real
    time: for due times and leases. They differ only if the gateway is a sandbox whose
    time was advanced.
    """

    at: datetime
    system: datetime
