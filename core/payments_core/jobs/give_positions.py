"""Give positions to saved changes: the loop that makes the feed.

Rule 1: any number of workers may take turns; one gives positions at a time, and the
        others return at once.
Rule 2: if there is more than one turn can take, the next turn is due at once.
"""

from collections.abc import Callable
from typing import Final

import attrs

from payments_core.ports import FeedSequencer

# Positions per statement, which takes some milliseconds.
BATCH: Final = 500


@attrs.frozen
class GivePositions:
    sequencer: FeedSequencer

    async def __call__(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Take a turn; say whether there may be more.

        Raises:
            StoreUnavailable: positions may or may not have been given.
        """
        given = await self.sequencer.give(BATCH)
        return given >= BATCH and not stopping()
