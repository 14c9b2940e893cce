"""All adapters over one store, and names of the rows of `support.many_rows`."""

from datetime import timedelta
from typing import Final

import attrs

from contracts.examples import NOON
from contracts.stores import SAVED, Stores
from payments_adapters.postgres.store import PostgresStore
from payments_core.by_hand import ByHand
from payments_core.changes import Changes
from payments_core.events import EventState, Outcome
from payments_core.identity import CustomerId, Email, UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.linking import LinkKeys
from support.many_rows import HEAVY, LIGHT

PAGE: Final = 10
OF_HEAVY, OF_LIGHT = UserId(HEAVY), UserId(LIGHT)
THEIR_EMAIL: Final = Email.of("a7@x.org")
THEIR_CUSTOMER: Final = CustomerId("cus_7")
FREE: Final = LinkKeys(
    frozenset({UserId("free")}),
    frozenset({CustomerId("cus_free")}),
    frozenset({"free@x.org"}),
)
SECOND: Final = timedelta(seconds=1)
HOUR: Final = timedelta(hours=1)
# Before all rows, so that no needed row is deleted; and after them.
EARLY, LATE = NOON - timedelta(days=365), NOON + timedelta(days=365)
BY: Final = ByHand(by="operator", reason="")
HELD: Final = Outcome(EventState.PENDING, "waits", JobKey(JobKind.PAYMENT, "ch_x_7"))


@attrs.frozen
class World:
    """All adapters over one store; `mark` is in the names of a walk's new rows."""

    store: PostgresStore
    on: Stores
    mark: str

    @property
    def user(self) -> UserId:
        return UserId(f"new{self.mark}")

    async def save(self, *groups: Changes) -> None:
        assert await self.on.save(*groups) == [SAVED] * len(groups)
