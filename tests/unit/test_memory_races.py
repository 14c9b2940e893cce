"""Races of writers, in memory: steps of many of them between each other."""

import pytest

from contracts.races import RacesContract
from payments_adapters.memory import MemoryDatabase, MemoryLedger
from payments_core.ports import Ledger

pytestmark = pytest.mark.anyio


class TestMemoryRaces(RacesContract):
    @pytest.fixture
    def ledger(self) -> Ledger:
        return MemoryLedger(MemoryDatabase())
