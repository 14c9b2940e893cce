"""Accounts and everything that belongs to them: how they are saved and read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from payments_core.account import PaymentAccount
from payments_core.account_facts import AccountFacts
from payments_core.account_log import LogGapPage, LoggedVerdict
from payments_core.account_version import AccountVersion
from payments_core.by_hand import ActionByHand, AuditCursor, AuditPage
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Intent, IntentId
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.payment_list import PaymentPage, PaymentPlace
from payments_core.timeline import TimelineItem, TimelinePlace
from payments_core.user_list import EVERYBODY, UserFilter, UserPage, UserPlace


class Ledger(Protocol):
    """Accounts and all that belongs to them, events, intents and requested jobs."""

    async def load(self, lookup: Lookup) -> Snapshot:
        """Return one consistent snapshot, in one round trip, without a lock."""

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        """Save each group whole or not at all, independently of the others.

        No save waits for a lock for longer than a fraction of a second. The version of
        each saved thing increases by one.

        Raises:
            StoreUnavailable: each group may or may not be saved; load again.
            SaveTimedOut: as above, because the save took too long.
        """


class PaymentDirectory(Protocol):
    async def find(self, id_: PaymentId) -> PaymentRecord | None:
        """Return a payment as last committed, without a lock."""

    async def page(
        self,
        user_id: UserId,
        *,
        limit: int = 100,
        after: PaymentPlace | None = None,
    ) -> PaymentPage:
        """Return a user's payments, in the order of `PaymentPlace`."""


class AuditLog(Protocol):
    async def page(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        subject: str | None = None,
        user_id: UserId | None = None,
        action: ActionByHand | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: AuditCursor | None = None,
    ) -> AuditPage:
        """Return the actions done by hand, latest first."""


class AccountDirectory(Protocol):
    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        """Return an account as last committed, without a lock; an e-mail by its key."""

    async def version_of(self, user: UserId | Email) -> AccountVersion | None:
        """Return only the version of the account that `find` would return."""

    async def owner_of_customer(self, customer_id: CustomerId) -> UserId | None:
        """Return the user to whom a customer is bound."""


class AccountHistory(Protocol):
    async def facts(
        self, account: PaymentAccount, *, whole: bool = True
    ) -> AccountFacts:
        """Return what is stored about an account, newest of each kind first.

        Not `whole`: without what is unlinked, and without what only names the account
        and is quarantined.

        At most `FACTS_MAX` of each kind. The payments that the account's own state
        names are always included.
        """

    async def verdict_at(self, user_id: UserId, at: datetime) -> LoggedVerdict | None:
        """Return the last change of verdict that was logged at or before a time."""


class UserList(Protocol):
    async def page(
        self,
        wanted: UserFilter = EVERYBODY,
        *,
        limit: int = 100,
        after: UserPlace | None = None,
    ) -> UserPage:
        """Return accounts as last committed, in the order of `UserPlace`.

        However few accounts match, a page reads at most a thousand rows more than
        `limit`, or two thousand when a text is searched: a page may hold fewer accounts
        than `limit`, or none, and still not be the last.
        """


class Timelines(Protocol):
    async def newest(
        self, user_id: UserId, *, limit: int, before: TimelinePlace | None = None
    ) -> Sequence[TimelineItem]:
        """Return the newest items of a user's timeline, as of one point in time.

        In the order of `TimelinePlace`, those that come after `before`. Subscriptions
        are not included: the account holds them.
        """


class LogGaps(Protocol):
    async def page(self, after: UserId | None, limit: int) -> LogGapPage:
        """Check `limit` accounts that follow a user, in the byte order of their ids.

        Find those without a row in the log, and those whose last row has another status
        or date than the account. Erased users are skipped.
        """


class IntentDirectory(Protocol):
    async def find(self, id_: IntentId) -> Intent | None:
        """Return an intent as last committed, without a lock."""

    async def declines_of(
        self, user_id: UserId, *, after: datetime, limit: int
    ) -> Sequence[datetime]:
        """Return when a user's last operations with a decline by the bank began.

        Whatever their outcome; only those after `after`, newest first, at most `limit`.
        """
