"""The loop that gives positions: it continues while there is more."""

import pytest

from contracts.examples import NOON, an_account
from contracts.stores import opened
from payments_adapters.memory import (
    MemoryDatabase,
    MemoryFeedReader,
    MemoryFeedSequencer,
    MemoryLedger,
)
from payments_core.jobs import GivePositions
from payments_core.jobs import give_positions as module

pytestmark = pytest.mark.anyio


async def test_a_turn_says_whether_there_may_be_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    It takes up to a limit, and the next turn is due at once; not if it is to stop.
    """
    monkeypatch.setattr(module, "BATCH", 2)
    database = MemoryDatabase()
    give = GivePositions(MemoryFeedSequencer(database))
    accounts = [opened(an_account(f"u{number}")) for number in range(5)]
    await MemoryLedger(database).save(accounts, at=NOON)

    assert [await give(), await give(lambda: True), await give(), await give()] == [
        True,
        False,
        False,
        False,
    ]
    page = await MemoryFeedReader(database).page(0, 10)
    assert [it.user_id for it in page.changes] == [f"u{number}" for number in range(5)]
