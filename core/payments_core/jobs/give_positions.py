"""Give positions to what was saved: the loop that the feed is made by.

Rule 1: any number of workers may take turns; one of them gives positions at a time, and
        the others go on at once.
Rule 2: while there is more than one turn takes, the next turn is due at once.
"""

from collections.abc import Callable
from typing import Final

import attrs

from payments_core.ports import FeedSequencer

# A statement of some milliseconds.
BATCH: Final = 500


@attrs.frozen
class GivePositions:
    sequencer: FeedSequencer

    async def __call__(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Take a turn; say whether there may be more.

        Raises:
            StoreUnavailable: positions were given, or not.
        """
        given = await self.sequencer.give(BATCH)
        return given >= BATCH and not stopping()
