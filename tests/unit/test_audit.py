"""The audit log, for administrators."""

import pytest

from contracts.audit_log import REPLAYED
from contracts.examples import ADA, NOON
from payments_adapters.memory import MemoryAuditLog, MemoryDatabase
from payments_core.errors import ScopeRequired
from payments_core.use_cases import ReadAuditLog
from support.deployment import admin, caller_of

pytestmark = pytest.mark.anyio


async def test_only_an_administrator_reads_what_was_done_by_hand() -> None:
    """
    It names users and our staff.
    """
    database = MemoryDatabase()
    database.tables.add_by_hand(NOON, [REPLAYED])
    read = ReadAuditLog(MemoryAuditLog(database))

    with pytest.raises(ScopeRequired):
        await read(caller=caller_of(ADA))

    (found,) = (await read(subject=REPLAYED.subject, caller=admin())).changes
    assert (found.at, found.change) == (NOON, REPLAYED)
    assert not (await read(subject="evt_9", caller=admin())).changes
