"""How far a loop is, and which process runs it.

Rule 1: a loop has one row, by its name. Who claims it gets the next fence, as with any
        other work (`payments_core.lease`), and saves how far it is with that fence.
Rule 2: the position is the loop's own text: nobody else reads it. What it found is one
        that is kept until it found something else: people are told of it.
"""

from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.lease import Lease

# Longer than one page takes: a call to the gateway, and a save. Each page extends it.
LEASE: Final = timedelta(seconds=60)


@attrs.frozen(kw_only=True)
class LoopCheckpoint:
    """A loop's row; `position` is None until it was saved once.

    All that the loop looks for and that happened before `reached_at` is done, by the
    gateway's time; `result` is what was found of it, if the loop keeps that.
    """

    name: str
    position: str | None = None
    reached_at: datetime | None = None
    result: str | None = None
    lease: Lease
