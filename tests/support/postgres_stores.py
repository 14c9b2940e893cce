"""The ports of Postgres, as the contracts use them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from contracts.stores import Logged, Stores
from payments_adapters.postgres import rows, work_rows
from payments_adapters.postgres.account_directory import PostgresDirectory
from payments_adapters.postgres.account_history import PostgresAccountHistory
from payments_adapters.postgres.audit_log import PostgresAuditLog
from payments_adapters.postgres.backlog import PostgresBacklog
from payments_adapters.postgres.checkpoints import PostgresCheckpoints
from payments_adapters.postgres.deliveries import PostgresDeliveries
from payments_adapters.postgres.erasures import PostgresErasures
from payments_adapters.postgres.event_log import PostgresEventLog
from payments_adapters.postgres.feed import PostgresFeedReader, PostgresFeedSequencer
from payments_adapters.postgres.intent_directory import PostgresIntentDirectory
from payments_adapters.postgres.job_directory import PostgresJobDirectory
from payments_adapters.postgres.kept_objects import PostgresKeptObjects
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.log_gaps import PostgresLogGaps
from payments_adapters.postgres.payment_directory import PostgresPaymentDirectory
from payments_adapters.postgres.purge_store import PostgresPurgeStore
from payments_adapters.postgres.revocation_log import PostgresRevocationLog
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import METADATA
from payments_adapters.postgres.timelines import PostgresTimelines
from payments_adapters.postgres.token_store import PostgresTokens
from payments_adapters.postgres.user_list import PostgresUserList
from payments_adapters.postgres.work_queue import PostgresWorkQueue
from payments_core.identity import UserId
from payments_core.job import Job
from payments_core.job_key import JobKey
from payments_core.subscription import PaidPeriod
from payments_core.tombstones import Tombstones
from support.stripe_bodies import a_secret

TOMBSTONES = Tombstones(a_secret("erasure").encode())


@asynccontextmanager
async def holding(
    store: PostgresStore, query: str, *values: object
) -> AsyncIterator[None]:
    """Lock the rows of a query, in a transaction that changes nothing."""
    async with store.connection() as connection, connection.transaction():
        assert await connection.fetch(query, *values)
        yield


async def fetch(store: PostgresStore, query: str, *values: object) -> list[Any]:
    async with store.connection() as connection:
        return list(await connection.fetch(query, *values))


async def emptied(store: PostgresStore) -> None:
    """Delete all rows; sequences continue."""
    deletions = [f"delete from {it.name}" for it in reversed(METADATA.sorted_tables)]  # noqa: S608  # our own names
    async with store.connection() as connection:
        await connection.execute("; ".join(deletions))


def stores_on(store: PostgresStore) -> Stores:
    """Return all ports over one database."""

    @asynccontextmanager
    async def hold(user: UserId) -> AsyncIterator[None]:
        query = "select from payment_accounts where user_id = $1 for no key update"
        async with holding(store, query, user):
            yield

    async def jobs() -> dict[JobKey, Job]:
        found = map(work_rows.to_job, await fetch(store, "select * from jobs"))
        return {job.key: job for job in found}

    async def periods() -> list[PaidPeriod]:
        query = "select * from paid_periods order by subscription_id, invoice_id"
        return [rows.to_period(row) for row in await fetch(store, query)]

    async def account_log() -> list[Logged]:
        query = (
            "select user_id, version, at, payment_status, payment_expire_date, cause,"
            " sources from account_log order by user_id, version"
        )
        return [
            Logged(user, version, at, status, expires_at, cause, tuple(sources))
            for user, version, at, status, expires_at, cause, sources in await fetch(
                store, query
            )
        ]

    async def access_ends() -> dict[UserId, datetime]:
        found = await fetch(store, "select user_id, due_at from access_ends")
        return {UserId(user): due_at for user, due_at in found}

    async def lose_log(user: UserId, version: int) -> None:
        query = "delete from account_log where user_id = $1 and version = $2"
        await fetch(store, query, user, version)

    return Stores(
        ledger=PostgresLedger(store, tombstones=TOMBSTONES),
        queue=PostgresWorkQueue(store),
        accounts=PostgresDirectory(store),
        history=PostgresAccountHistory(store),
        payments=PostgresPaymentDirectory(store),
        user_list=PostgresUserList(store),
        timelines=PostgresTimelines(store),
        audit=PostgresAuditLog(store),
        intents=PostgresIntentDirectory(store),
        job_list=PostgresJobDirectory(store),
        kept=PostgresKeptObjects(store),
        events=PostgresEventLog(store),
        loops=PostgresCheckpoints(store),
        backlog=PostgresBacklog(store),
        tokens=PostgresTokens(store),
        revocations=PostgresRevocationLog(store, store),
        purges=PostgresPurgeStore(store),
        erasures=PostgresErasures(store, TOMBSTONES),
        deliveries=PostgresDeliveries(store),
        delivery_list=PostgresDeliveries(store),
        deliveries_of=lambda most: PostgresDeliveries(store, most),
        hold=hold,
        jobs=jobs,
        periods=periods,
        account_log=account_log,
        sequencer=PostgresFeedSequencer(store),
        feed=PostgresFeedReader(store),
        access_ends=access_ends,
        gaps=PostgresLogGaps(store),
        lose_log=lose_log,
    )
