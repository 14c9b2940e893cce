from datetime import datetime, timedelta, timezone

import pytest

from contracts import every_contract_of
from contracts.examples import NOON, a_job
from contracts.stores import Stores
from contracts.token_store import TokenStoreContract
from payments_adapters.memory import (
    FixedClock,
    MemoryTokenStore,
)
from payments_adapters.memory.tables import Tables
from payments_core.ports import TokenStore
from support.memory_stores import memory_stores

pytestmark = pytest.mark.anyio


@every_contract_of("stores")
class TestMemory:
    """Every contract of the stores, in memory."""

    @pytest.fixture
    def stores(self) -> Stores:
        return memory_stores()


def test_neither_tables_nor_their_copy_see_what_is_written_to_the_other() -> None:
    """
    Which rows they share is an internal matter.
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
    It does not move until it is set or advanced.
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
    The port promises UTC; a test double must not be laxer than the real clock.
    """
    clock = FixedClock(NOON)
    with pytest.raises(ValueError, match="UTC"):
        clock.now = moment
