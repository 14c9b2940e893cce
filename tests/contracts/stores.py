"""The ports of one adapter over one store, and how the contracts fill and read it."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Final

import attrs

from contracts.examples import NOON
from payments_core.account import PaymentAccount
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.events import GatewayEvent, Outcome
from payments_core.identity import UserId
from payments_core.intent import Intent, IntentId
from payments_core.job import Job
from payments_core.job_key import JobKey
from payments_core.kept_events import KeptEvent
from payments_core.linking import LinkKeys
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.ports import (
    AccountDirectory,
    AccountHistory,
    AuditLog,
    BacklogReader,
    Checkpoints,
    DeliveryDirectory,
    DeliveryQueue,
    Erasures,
    EventLog,
    FeedReader,
    FeedSequencer,
    IntentDirectory,
    JobDirectory,
    KeptObjects,
    Ledger,
    LogGaps,
    PaymentDirectory,
    PurgeStore,
    RevocationLog,
    Timelines,
    TokenStore,
    UserList,
    WorkQueue,
)
from payments_core.subscription import PaidPeriod, Subscription

SAVED: Final = SaveResult.SAVED


async def first_page(log: EventLog, **wanted: Any) -> Sequence[KeptEvent]:
    return (await log.page(**wanted)).events


@attrs.frozen
class Logged:
    """A row of the log of an account's verdicts."""

    user_id: str
    version: int
    at: datetime
    status: str
    expires_at: datetime | None
    cause: str
    sources: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Stores:
    """`hold` locks an account, while it is entered, as another save would.

    What no port reads is read by `jobs`, `periods`, `account_log` and `access_ends`.
    `deliveries_of` is a queue with another `open_max`.
    """

    ledger: Ledger
    queue: WorkQueue
    accounts: AccountDirectory
    history: AccountHistory
    payments: PaymentDirectory
    user_list: UserList
    timelines: Timelines
    audit: AuditLog
    intents: IntentDirectory
    job_list: JobDirectory
    events: EventLog
    loops: Checkpoints
    backlog: BacklogReader
    kept: KeptObjects
    tokens: TokenStore
    revocations: RevocationLog
    purges: PurgeStore
    erasures: Erasures
    deliveries: DeliveryQueue
    delivery_list: DeliveryDirectory
    deliveries_of: Callable[[int], DeliveryQueue]
    hold: Callable[[UserId], AbstractAsyncContextManager[None]]
    jobs: Callable[[], Awaitable[dict[JobKey, Job]]]
    periods: Callable[[], Awaitable[list[PaidPeriod]]]
    account_log: Callable[[], Awaitable[list[Logged]]]
    sequencer: FeedSequencer
    feed: FeedReader
    access_ends: Callable[[], Awaitable[dict[UserId, datetime]]]
    gaps: LogGaps
    # As a release without a log leaves it: a user has no row of a version.
    lose_log: Callable[[UserId, int], Awaitable[None]]

    async def save(self, *groups: Changes, seconds: float = 0) -> list[SaveResult]:
        at = NOON + timedelta(seconds=seconds)
        return list(await self.ledger.save(groups, at=at))

    async def load(self, **wanted: Any) -> Snapshot:
        return await self.ledger.load(Lookup(**wanted))

    async def keep(  # noqa: PLR0913  # each a kind of thing
        self,
        *accounts: PaymentAccount,
        payments: Sequence[PaymentRecord] = (),
        subscriptions: Sequence[Subscription] = (),
        intents: Sequence[Intent] = (),
        events: Sequence[tuple[GatewayEvent, Outcome]] = (),
        jobs: Sequence[Job] = (),
        seconds: float = 0,
    ) -> None:
        """Save new accounts, then everything else in a group of its own."""
        rest = Changes(
            key="the rest",
            payments=tuple(payments),
            subscriptions=tuple(subscriptions),
            intents=tuple(intents),
            events=tuple(events),
            jobs=tuple(jobs),
        )
        groups = (*map(opened, accounts), rest)
        assert await self.save(*groups, seconds=seconds) == [SAVED] * len(groups)

    async def account(self, user: str) -> PaymentAccount:
        found = await self.load(keys=users(user))
        (account,) = found.accounts
        return account

    async def payment(self, id_: str) -> PaymentRecord:
        found = await self.load(payments=frozenset({PaymentId(id_)}))
        (record,) = found.payments
        return record

    async def subscription(self, gateway_id: str) -> Subscription:
        found = await self.load(subscriptions=frozenset({gateway_id}))
        (subscription,) = found.subscriptions
        return subscription

    async def intent(self, id_: str) -> Intent:
        found = await self.load(intents=frozenset({IntentId(id_)}))
        (intent,) = found.intents
        return intent

    async def job(self, key: JobKey) -> Job:
        return (await self.jobs())[key]

    async def link_version(self, name: str, keys: LinkKeys) -> int:
        return (await self.load(link_keys=keys)).link_versions.get(name, 0)


def users(*ids: str) -> LinkKeys:
    return LinkKeys(frozenset(map(UserId, ids)))


def opened(account: PaymentAccount, **more: Any) -> Changes:
    """Return the group that opens an account."""
    after = attrs.evolve(account, version=1)
    return Changes(
        key=f"user {account.user_id}", after=after, cause="user registered", **more
    )


def moved(before: PaymentAccount, after: PaymentAccount, **more: Any) -> Changes:
    """Return the group that changes an account from the loaded state."""
    after = attrs.evolve(after, version=before.version + 1)
    return Changes(key=f"user {before.user_id}", before=before, after=after, **more)


def beside(account: PaymentAccount, **more: Any) -> Changes:
    """Return a group of an account that does not change the account itself."""
    return Changes(key=f"user {account.user_id}", before=account, after=account, **more)
