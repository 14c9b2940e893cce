"""Accounts and all that belongs to them: how they are saved, and read."""

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
    """Accounts and all that belongs to them, events, intents, and jobs asked for."""

    async def load(self, lookup: Lookup) -> Snapshot:
        """Return what is known, at one moment, in one round trip, without a lock."""

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        """Save each group whole or not at all, independently of the others.

        Nothing waits for a lock for longer than a moment. Each thing that is saved
        has a version one greater than before.

        Raises:
            StoreUnavailable: each group may be saved or not; load again.
            SaveTimedOut: the same, and it took too long.
        """


class PaymentDirectory(Protocol):
    async def find(self, id_: PaymentId) -> PaymentRecord | None:
        """Return a payment as last committed, unlocked."""

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
        """Return what was done by hand, the latest first."""


class AccountDirectory(Protocol):
    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        """Return an account as last committed, unlocked; by e-mail its key counts."""

    async def version_of(self, user: UserId | Email) -> AccountVersion | None:
        """Return what `find` would find, and no more of it than its version."""

    async def owner_of_customer(self, customer_id: CustomerId) -> UserId | None:
        """Return the user to whom a customer is bound."""


class AccountHistory(Protocol):
    async def facts(
        self, account: PaymentAccount, *, whole: bool = True
    ) -> AccountFacts:
        """Return what is kept about an account, the newest of each kind.

        Not `whole`: without what is unlinked, and what only names it and is kept apart.

        At most `FACTS_MAX` of each. The payments that the account's own state names
        are always there.
        """

    async def verdict_at(self, user_id: UserId, at: datetime) -> LoggedVerdict | None:
        """Return the last change of verdict that was logged at a moment or before."""


class UserList(Protocol):
    async def page(
        self,
        wanted: UserFilter = EVERYBODY,
        *,
        limit: int = 100,
        after: UserPlace | None = None,
    ) -> UserPage:
        """Return accounts as last committed, in the order of `UserPlace`.

        However few of all are wanted, a page reads no more than a thousand more than
        `limit`, or twice that for a text: it may hold fewer, or none, and not be the
        last.
        """


class Timelines(Protocol):
    async def newest(
        self, user_id: UserId, *, limit: int, before: TimelinePlace | None = None
    ) -> Sequence[TimelineItem]:
        """Return the newest things that are kept of a user, as of one moment.

        In the order of `TimelinePlace`, what comes after `before`. Subscriptions are
        not among them: the account has them.
        """


class LogGaps(Protocol):
    async def page(self, after: UserId | None, limit: int) -> LogGapPage:
        """Look at so many accounts after a user, in the byte order of their ids.

        Those are found of whom the log says nothing, or another status or date in its
        last row than the account has. Those who were erased are passed over.
        """


class IntentDirectory(Protocol):
    async def find(self, id_: IntentId) -> Intent | None:
        """Return an intent as last committed, unlocked."""

    async def declines_of(
        self, user_id: UserId, *, after: datetime, limit: int
    ) -> Sequence[datetime]:
        """Return when a user's last operations began during which the bank declined.

        Whatever they came to; after that moment, the newest first, at most so many.
        """
