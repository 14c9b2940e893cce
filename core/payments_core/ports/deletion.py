"""What is deleted: by age, or with its user."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.account import PaymentAccount
from payments_core.erasure import Erasure
from payments_core.identity import Email, UserId
from payments_core.linking import Unlinked
from payments_core.retention import PurgeKind


class PurgeStore(Protocol):
    """What may be deleted: see `payments_core.retention` for how long it is stored."""

    async def purge(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        """Delete some of what is older: at most `limit` rows, or the bodies of one day.

        Return how many. 0: nothing is left, or what is left is in use now and is not
        waited for. A body is deleted with its day unless its event is unsettled; a job
        that is created again afterwards has a greater fence.
        """

    async def count(self, kind: PurgeKind, before: datetime, *, limit: int) -> int:
        """Return how many would be deleted, at most `limit`."""


class Erasures(Protocol):
    """Erasing users: see `payments_core.erasure`.

    Each method may raise `ErasureKeyUnusable` if the key of the tombstones is missing.
    """

    async def is_erased(self, user: UserId | Email) -> bool:
        """Say whether a tombstone of a user id or of an e-mail exists."""

    async def is_any(self) -> bool:
        """Say whether any user was ever erased; this needs no key."""

    async def unfinished(self, user: UserId | Email) -> UserId | None:
        """Return the pseudonym of a user's unfinished erasure."""

    async def left(self, before: datetime) -> Sequence[UserId]:
        """Return the pseudonyms of unfinished erasures that began before a time."""

    async def open_without_owner(self, user_id: UserId) -> Unlinked:
        """Return what has no owner, would go to the pseudonym, and is open.

        Including what a person unlinked. `payments_core.erasure` defines "open".
        """

    async def begin(self, account: PaymentAccount, erasure: Erasure) -> bool:
        """Set tombstones, and move all but the events to a pseudonym, atomically.

        Say whether it was done. It is done only if the account is still as given, no
        intent is open, and nothing that would go to the pseudonym is open.
        """

    async def finish(self, pseudonym: UserId) -> int:
        """Delete all but its arrival from each event that mentions the user.

        An event that arrived `SETTLED` after the erasure began does not count as theirs
        by an e-mail alone. Return how many events there were. An interrupted run starts
        again from the beginning.
        """
