from datetime import datetime, timedelta, timezone

import pytest

from contracts.account_directory import AccountDirectoryContract
from contracts.event_log import EventLogContract
from contracts.examples import ADA, BOB, NOON, a_record, an_account
from contracts.intents_in_turn import IntentDirectoryContract
from contracts.jobs_settled import SettlingContract
from contracts.keeping import kept
from contracts.token_store import TokenStoreContract
from contracts.unit_of_work import (
    IntentStoreContract,
    JobStoreContract,
    SubscriptionStoreContract,
    UnitOfWorkContract,
)
from payments_adapters.memory import (
    FixedClock,
    MemoryAccountDirectory,
    MemoryDatabase,
    MemoryEventLog,
    MemoryIntentDirectory,
    MemoryTokenStore,
)
from payments_core.errors import ChangedElsewhere
from payments_core.ports import (
    AccountDirectory,
    EventLog,
    IntentDirectory,
    OpenUnitOfWork,
    TokenStore,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


@pytest.fixture
def open_unit_of_work(database: MemoryDatabase) -> OpenUnitOfWork:
    return database


class TestMemoryUnitOfWork(UnitOfWorkContract):
    """The contract, in memory."""


class TestMemorySubscriptions(SubscriptionStoreContract):
    """As above, subscriptions and tickets."""


class TestMemoryIntents(IntentStoreContract):
    """As above, intents."""


class TestMemoryJobs(JobStoreContract):
    """As above, jobs."""


class TestMemorySettling(SettlingContract):
    @pytest.fixture
    def event_log(self, database: MemoryDatabase) -> EventLog:
        return MemoryEventLog(database)


class TestMemoryIntentDirectory(IntentDirectoryContract):
    @pytest.fixture
    def directory(self, database: MemoryDatabase) -> IntentDirectory:
        return MemoryIntentDirectory(database)


class TestMemoryAccountDirectory(AccountDirectoryContract):
    @pytest.fixture
    def directory(self, database: MemoryDatabase) -> AccountDirectory:
        return MemoryAccountDirectory(database)


class TestMemoryEventLog(EventLogContract):
    @pytest.fixture
    def event_log(self, database: MemoryDatabase) -> EventLog:
        return MemoryEventLog(database)


class TestMemoryTokenStore(TokenStoreContract):
    @pytest.fixture
    def token_store(self) -> TokenStore:
        return MemoryTokenStore()


async def test_a_refused_change_leaves_no_half_of_itself(
    database: MemoryDatabase,
) -> None:
    """
    Who swallows the refusal and commits has committed nothing of that change.
    """
    await kept(database, an_account(BOB))
    async with database() as work:
        with pytest.raises(ChangedElsewhere):
            await work.keep(accounts=[an_account(ADA), an_account(BOB)], at=NOON)
        await work.commit()

    assert set(database.tables.accounts) == {BOB}


async def test_a_payment_of_nobody_known_is_refused(database: MemoryDatabase) -> None:
    """
    A payment belongs to an account that is there, or to nobody.
    """
    with pytest.raises(ChangedElsewhere):
        await kept(database, payments=(a_record(owner=ADA),))


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
