"""The ports in memory, as the contracts take them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from contracts.stores import Logged, Stores
from payments_adapters.memory import (
    MemoryAccountDirectory,
    MemoryAccountHistory,
    MemoryAuditLog,
    MemoryBacklog,
    MemoryCheckpoints,
    MemoryDatabase,
    MemoryDeliveries,
    MemoryErasures,
    MemoryEventLog,
    MemoryFeedReader,
    MemoryFeedSequencer,
    MemoryIntentDirectory,
    MemoryJobDirectory,
    MemoryKeptObjects,
    MemoryLedger,
    MemoryLogGaps,
    MemoryPaymentDirectory,
    MemoryPurgeStore,
    MemoryTimelines,
    MemoryTokenStore,
    MemoryUserList,
    MemoryWorkQueue,
)
from payments_core.identity import UserId
from payments_core.job import Job
from payments_core.job_key import JobKey
from payments_core.subscription import PaidPeriod


def memory_stores() -> Stores:
    """Return all ports over one database in memory."""
    database = MemoryDatabase()

    @asynccontextmanager
    async def hold(user: UserId) -> AsyncIterator[None]:
        database.locked.add(f"user {user}")
        yield
        database.locked.remove(f"user {user}")

    async def jobs() -> dict[JobKey, Job]:
        return database.tables.jobs

    async def periods() -> list[PaidPeriod]:
        return [it for _, it in sorted(database.tables.periods.items())]

    async def account_log() -> list[Logged]:
        return [
            Logged(
                user_id=user,
                version=version,
                at=row.at,
                status=row.payment_status.value,
                expires_at=row.payment_expire_date,
                cause=row.cause,
                sources=row.sources,
            )
            for (user, version), row in sorted(database.tables.account_log.items())
        ]

    async def access_ends() -> dict[UserId, datetime]:
        return database.tables.access_ends

    async def lose_log(user: UserId, version: int) -> None:
        del database.tables.account_log[user, version]

    tokens = MemoryTokenStore()
    return Stores(
        ledger=MemoryLedger(database),
        queue=MemoryWorkQueue(database),
        accounts=MemoryAccountDirectory(database),
        history=MemoryAccountHistory(database),
        payments=MemoryPaymentDirectory(database),
        user_list=MemoryUserList(database),
        timelines=MemoryTimelines(database),
        audit=MemoryAuditLog(database),
        intents=MemoryIntentDirectory(database),
        job_list=MemoryJobDirectory(database),
        kept=MemoryKeptObjects(database),
        events=MemoryEventLog(database),
        loops=MemoryCheckpoints(database),
        backlog=MemoryBacklog(database),
        tokens=tokens,
        revocations=tokens,
        purges=MemoryPurgeStore(database, tokens),
        erasures=MemoryErasures(database),
        deliveries=MemoryDeliveries(database),
        delivery_list=MemoryDeliveries(database),
        deliveries_of=lambda most: MemoryDeliveries(database, most),
        hold=hold,
        jobs=jobs,
        periods=periods,
        account_log=account_log,
        sequencer=MemoryFeedSequencer(database),
        feed=MemoryFeedReader(database),
        access_ends=access_ends,
        gaps=MemoryLogGaps(database),
        lose_log=lose_log,
    )
