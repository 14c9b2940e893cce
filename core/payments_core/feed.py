"""The feed: changes of what users have, each with its position.

Rule 1: a change gets its position after it is saved, from one sequencer at a time. One
        that is saved late gets a later position: none is skipped, and none waits.
Rule 2: of one user positions grow as the versions do.
Rule 3: a position is never given twice, and a change is not changed after it has one,
        but by an erasure: then it is left out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.access import Grant
from payments_core.entitlement import PaymentStatus
from payments_core.identity import UserId

# That of no change: what comes after it is all there is.
BEGINNING: Final = 0
# What a database has for a number.
POSITION_MAX: Final = 2**63 - 1


@attrs.frozen(kw_only=True)
class FeedChange:
    """What became known of a user; `version` is the account's.

    `entitled_until` is when access ends by what was known then; None: there is none.
    `grants` are what gave access then; none of rows that do not say.
    """

    position: int
    user_id: UserId
    version: int
    at: datetime
    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    entitled_until: datetime | None
    grants: tuple[Grant, ...]
    cause: str


@attrs.frozen
class FeedPage:
    """Changes in the order of their positions, and after what the next page begins.

    It may be `next` alone: what is left out has positions, too.
    """

    changes: Sequence[FeedChange]
    next: int
    has_more: bool
