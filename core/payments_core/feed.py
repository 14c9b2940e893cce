"""The feed: changes of users' access, each with its position.

Rule 1: a change gets its position after it is saved, from one sequencer at a time. A
        change that is saved late gets a later position: none is skipped, and none
        waits.
Rule 2: positions of one user grow with the account's versions.
Rule 3: a position is never given twice, and a change with a position never changes.
        After an erasure it is left out.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.access import Grant
from payments_core.entitlement import PaymentStatus
from payments_core.identity import UserId

# Before the first change: the feed after it is the whole feed.
BEGINNING: Final = 0
# The maximum of the database's bigint.
POSITION_MAX: Final = 2**63 - 1


@attrs.frozen(kw_only=True)
class FeedChange:
    """What became known of a user; `version` is the account's.

    `entitled_until` is when access ends, as known then; None: no access. `grants` are
    the grants at that time; empty for rows that did not log them.
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
    """Changes in the order of their positions, and the position to continue after.

    A page may have no changes and a later `next`: what is left out has positions, too.
    """

    changes: Sequence[FeedChange]
    next: int
    has_more: bool
