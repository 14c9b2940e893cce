"""What is deleted: with its time, or with its user."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.account import PaymentAccount
from payments_core.erasure import Erasure
from payments_core.identity import Email, UserId
from payments_core.linking import Unlinked
from payments_core.retention import PurgeKind


class PurgeStore(Protocol):
    """What may be deleted: see `payments_core.retention`, which says until when."""

    async def purge(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        """Delete some of what is older: so many rows, or the bodies of one day.

        Return how many. 0: nothing is left, or what is left is in use at this moment,
        which is not waited for. A body goes with its day unless its event is not
        settled; a job that is made anew afterwards has a greater fence.
        """

    async def count(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        """Return how much would be deleted, at most `limit`."""


class Erasures(Protocol):
    """Erasing users: see `payments_core.erasure`.

    Without the key of the tombstones each may raise `ErasureKeyUnusable`.
    """

    async def is_erased(self, user: UserId | Email) -> bool:
        """Say whether there is a tombstone of a user id, or of an e-mail."""

    async def is_any(self) -> bool:
        """Say whether anybody was ever erased; it needs no key."""

    async def unfinished(self, user: UserId | Email) -> UserId | None:
        """Return the pseudonym of an erasure of theirs that is not finished."""

    async def left(self, before: datetime) -> Sequence[UserId]:
        """Return the pseudonyms of those that began before and are not finished."""

    async def open_without_owner(self, user_id: UserId) -> Unlinked:
        """Return what has no owner, would be the pseudonym's, and is open.

        Also what a person unlinked. Open is what `payments_core.erasure` says it is.
        """

    async def begin(self, account: PaymentAccount, erasure: Erasure) -> bool:
        """Set tombstones, and make all but the events a pseudonym's, in one moment.

        Say whether it was done: the account is still as given, no intent is open, and
        nothing that is the pseudonym's then.
        """

    async def finish(self, pseudonym: UserId) -> int:
        """Take from each event that mentions the user all but that it came.

        One that came `SETTLED` after it was begun is not theirs by an e-mail alone.
        Return how many there were. What is cut off is done again from the beginning.
        """
