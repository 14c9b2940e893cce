"""Whether the database accepts writes."""

import asyncio
from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric
from typing_extensions import override

from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import Unavailable
from payments_service.metrics import families

# A scrape has 10 s; an unavailable database must not use all of it.
ASKED_S_MAX: Final = 2.0


class DatabaseMetrics(families.Measured):
    """Whether the database accepts writes."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._is_writable = False

    @override
    async def measure(self) -> None:
        try:
            async with asyncio.timeout(ASKED_S_MAX):
                await self._store.ping()
        except (Unavailable, TimeoutError):
            self._is_writable = False
        else:
            self._is_writable = not self._store.writability.is_lost

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.gauge(
            "payments_database_writable",
            "1 while the database accepts writes; 0 if it is read-only or silent.",
            float(self._is_writable),
        )
