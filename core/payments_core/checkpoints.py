"""Checkpoints: how far a loop is, and which process runs it.

Rule 1: a loop has one row, by its name. A claim gets the next fence, as with any other
        work (`payments_core.lease`), and progress is saved with that fence.
Rule 2: the position is a text that only the loop reads. The result stays until the next
        result: operators see it.
"""

from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.lease import Lease

# Longer than a page takes, with a call to the gateway and a save. Each page extends it.
LEASE: Final = timedelta(seconds=60)


@attrs.frozen(kw_only=True)
class LoopCheckpoint:
    """The row of a loop; `position` is None until it was saved once.

    Everything before `reached_at`, by the gateway's time, is done; `result` is what was
    found, if the loop stores that.
    """

    name: str
    position: str | None = None
    reached_at: datetime | None = None
    result: str | None = None
    lease: Lease
