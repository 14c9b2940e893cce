"""Deletions by retention are counted, with the time since the last turn."""

import math
from datetime import timedelta

import attrs
import pytest

from contracts.examples import NOON
from payments_core.checkpoints import LEASE
from payments_core.jobs.purge import PURGE
from payments_core.retention import PurgeKind
from support.ops_port import Ops

pytestmark = pytest.mark.anyio


async def test_what_was_deleted_is_counted_by_its_kind() -> None:
    """
    Every kind from the start, so that its growth is visible.
    """
    ops = Ops()
    ops.purges.purged(PurgeKind.EVENTS, 500)
    ops.purges.purged(PurgeKind.EVENTS, 7)

    counted = {it.value: 0.0 for it in PurgeKind} | {"events": 507.0}
    for kind, count in counted.items():
        assert await ops.value(f'payments_purged_total{{kind="{kind}"}}') == count


async def test_the_age_of_the_last_turn_is_shown() -> None:
    """
    Of the last turn that finished, in whichever process.
    """
    ops, age = Ops(), "payments_purge_age_seconds"
    assert math.isnan(await ops.value(age))
    claimed = await ops.checkpoints.claim(PURGE, now=NOON, lease=LEASE)
    assert await ops.checkpoints.save(attrs.evolve(claimed, reached_at=NOON))
    ops.clock.advance(timedelta(hours=1))
    assert await ops.value(age) == 3_600
