"""The present moment, by both clocks: see `Clock` and `SystemClock` in the ports."""

from datetime import datetime

import attrs


@attrs.frozen(kw_only=True)
class Now:
    """Read once, for what is decided together.

    `at` is the time of the gateway's world: rules, ages, and what is recorded. `system`
    is the real time: when work is due, and until when it is leased. They differ only
    where the gateway is a sandbox whose time was advanced.
    """

    at: datetime
    system: datetime
