"""What the ops port exports of a process's knowledge of revoked tokens."""

import math
from typing import Final

import pytest

from contracts.examples import a_token
from contracts.token_store import revocation_of
from payments_adapters.memory import MemoryTokenStore
from payments_core.revocations import LeasedRevocations
from support.ops_port import Ops
from support.revoking import LeaseTime, following

pytestmark = pytest.mark.anyio

PREFIX: Final = "payments_revocations"


async def test_what_is_known_of_revocations_is_shown() -> None:
    """
    How many, how long ago, and whether too many; before they are loaded, no number.
    """
    store, time = MemoryTokenStore(), LeaseTime()
    process = following(store, time, known=LeasedRevocations(1))
    ops = Ops(revocations=process)
    assert math.isnan(await ops.value(f"{PREFIX}_lease_age_seconds"))

    await store.invalidate(revocation_of(a_token("1")))
    await process.is_revoked(a_token("1"))
    time.now += 0.5
    assert await ops.value(f"{PREFIX}_lease_age_seconds") == 0.5
    assert await ops.value(f"{PREFIX}_entries") == 1
    assert await ops.value(f"{PREFIX}_over_cap") == 0
    assert await ops.value(f"{PREFIX}_polls_failed_total") == 0

    await store.invalidate(revocation_of(a_token("2")))
    time.now += 0.5
    await process.is_revoked(a_token("1"))
    assert await ops.value(f"{PREFIX}_entries") == 0
    assert await ops.value(f"{PREFIX}_over_cap") == 1
