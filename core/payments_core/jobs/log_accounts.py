"""Log accounts that the log lacks, so that feed and explanations have every account.

Accounts from before the log have no row, and 0.1.0 beside this release writes none.

Rule 1: one process at a time takes a turn, once a day (`payments_core.checkpoints`),
        over all accounts, page by page. An interrupted turn continues where it was.
Rule 2: a row holds from now on: it does not say what was known before.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Final

import attrs

from payments_core.checkpoints import LEASE
from payments_core.facts import LogGapFound, SourcedFacts
from payments_core.identity import UserId
from payments_core.jobs.loop_claim import ClaimLost, LoopClaim
from payments_core.now import Now
from payments_core.ports import Checkpoints, LogGaps
from payments_core.use_cases.record_facts import RecordFacts

LOG_ACCOUNTS: Final = "log-accounts"
EVERY: Final = timedelta(days=1)
# Accounts read per statement, which takes some milliseconds.
PAGE: Final = 1_000
# Accounts logged per save.
BATCH: Final = 100


@attrs.frozen
class LogAccounts:
    gaps: LogGaps
    record: RecordFacts
    checkpoints: Checkpoints

    async def __call__(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Take a turn, if it is due, to its end; say whether it was due.

        It stops between pages if `stopping` returns True, and is due again at once.

        Raises:
            StoreUnavailable: it is due again when its lease has expired.
        """
        now = Now(at=self.record.clock(), system=self.record.system_clock())
        kept = await self.checkpoints.claim(LOG_ACCOUNTS, now=now.system, lease=LEASE)
        if kept is None:
            return False
        claim = LoopClaim(self.checkpoints, self.record.system_clock, kept, LEASE)
        with suppress(ClaimLost):
            await self._take(claim, now, stopping)
        return True

    async def _take(
        self, claim: LoopClaim, now: Now, stopping: Callable[[], bool]
    ) -> None:
        after = UserId(claim.kept.position) if claim.kept.position else None
        while not stopping():
            page = await self.gaps.page(after, PAGE)
            found = [
                SourcedFacts(
                    facts=(LogGapFound(user_id=it.user_id, version=it.version),)
                )
                for it in page.gaps
            ]
            for first in range(0, len(found), BATCH):
                # What is busy or fails is found again by the next turn.
                await self.record(found[first : first + BATCH])
                await claim.keep()
            after = page.after
            if after is None:
                due_at = self.record.system_clock() + EVERY
                lease = claim.lease.released(due_at)
                await claim.save(position=None, reached_at=now.at, lease=lease)
                return
            await claim.keep(after)
        await claim.save(lease=claim.lease.released(self.record.system_clock()))
