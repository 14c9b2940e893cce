from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

import pytest

from contracts import every_contract_of
from contracts.examples import NOON, a_job
from contracts.stores import Logged, Stores
from contracts.token_store import TokenStoreContract
from payments_adapters.memory import (
    FixedClock,
    MemoryAccountDirectory,
    MemoryAccountHistory,
    MemoryAuditLog,
    MemoryCheckpoints,
    MemoryDatabase,
    MemoryErasures,
    MemoryEventLog,
    MemoryFeedReader,
    MemoryFeedSequencer,
    MemoryIntentDirectory,
    MemoryJobDirectory,
    MemoryKeptObjects,
    MemoryLedger,
    MemoryPaymentDirectory,
    MemoryPurgeStore,
    MemoryTimelines,
    MemoryTokenStore,
    MemoryUserList,
    MemoryWorkQueue,
)
from payments_adapters.memory.tables import Tables
from payments_core.identity import UserId
from payments_core.job import Job
from payments_core.job_key import JobKey
from payments_core.ports import TokenStore
from payments_core.subscription import PaidPeriod

pytestmark = pytest.mark.anyio


@every_contract_of("stores")
class TestMemory:
    """Every contract of the stores, in memory."""

    @pytest.fixture
    def stores(self) -> Stores:
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
            tokens=tokens,
            purges=MemoryPurgeStore(database, tokens),
            erasures=MemoryErasures(database),
            hold=hold,
            jobs=jobs,
            periods=periods,
            account_log=account_log,
            sequencer=MemoryFeedSequencer(database),
            feed=MemoryFeedReader(database),
            access_ends=access_ends,
        )


def test_neither_tables_nor_their_copy_see_what_is_written_to_the_other() -> None:
    """
    Which rows they share is nobody's business.
    """
    tables = Tables()
    tables.put_job(a_job("ch_1"))
    copy = tables.copy()
    tables.put_job(a_job("ch_2"))
    copy.put_job(a_job("ch_3"))

    assert list(tables.jobs.values()) == [a_job("ch_1"), a_job("ch_2")]
    assert list(copy.jobs.values()) == [a_job("ch_1"), a_job("ch_3")]


class TestMemoryTokenStore(TokenStoreContract):
    @pytest.fixture
    def token_store(self) -> TokenStore:
        return MemoryTokenStore()


def test_a_clock_shows_what_it_was_told() -> None:
    """
    It stands still, until it is set or advanced.
    """
    clock = FixedClock(NOON)
    clock.advance(timedelta(seconds=1))
    assert clock() == clock() == NOON + timedelta(seconds=1)
    clock.now = NOON
    assert clock() == NOON


@pytest.mark.parametrize(
    "moment",
    [NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=1)))],
    ids=["naive", "CET"],
)
def test_a_clock_shows_utc_only(moment: datetime) -> None:
    """
    The port promises UTC; a test double may not be laxer than the real clock.
    """
    clock = FixedClock(NOON)
    with pytest.raises(ValueError, match="UTC"):
        clock.now = moment
