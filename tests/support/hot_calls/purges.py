"""Purges of everything older than its retention."""

from payments_core.retention import PurgeKind
from support.hot_calls.adapters import EARLY, LATE, PAGE, World


async def purge(it: World) -> None:
    for kind in PurgeKind:
        if kind is not PurgeKind.BODY_DAYS:
            await it.on.purges.purge(kind, LATE, limit=PAGE)
            await it.on.purges.purge(kind, EARLY, limit=PAGE)


async def count_purged(it: World) -> None:
    for kind in PurgeKind:
        await it.on.purges.count(kind, LATE, limit=PAGE)
