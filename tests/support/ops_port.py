"""The ops port of a worker, with metrics from memory."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import attrs
import httpx

from contracts.examples import NOON
from payments_adapters.memory import (
    FixedClock,
    MemoryBacklog,
    MemoryDatabase,
    MemoryEventLog,
    MemoryJobDirectory,
)
from payments_adapters.memory.checkpoints import MemoryCheckpoints
from payments_core.use_cases import FollowRevocations
from payments_service.back_fill_reports import BackFillReports
from payments_service.delivery_reports import DeliveryReports
from payments_service.http.health import create_ops_app
from payments_service.metrics.backlog import BacklogMetrics, BacklogReaders
from payments_service.metrics.loops import (
    BackFillMetrics,
    DeliveryMetrics,
    PurgeMetrics,
    SweepMetrics,
)
from payments_service.metrics.tokens import RevocationMetrics
from payments_service.purge_reports import PurgeReports
from payments_service.sweep_reports import SweepReports

AHEAD: Final = timedelta(hours=1)


@attrs.define
class Ops:
    reports: BackFillReports = attrs.field(factory=BackFillReports)
    sweeps: SweepReports = attrs.field(factory=SweepReports)
    purges: PurgeReports = attrs.field(factory=PurgeReports)
    deliveries: DeliveryReports = attrs.field(factory=DeliveryReports)
    events: Any = attrs.field(factory=lambda: MemoryEventLog(MemoryDatabase()))
    checkpoints: Any = attrs.field(factory=lambda: MemoryCheckpoints(MemoryDatabase()))
    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))
    # Different from it: an age by the wrong clock is an hour off.
    system_clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON + AHEAD))
    revocations: FollowRevocations | None = None
    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)
    endpoints: Sequence[str] = ()

    @property
    def readers(self) -> BacklogReaders:
        return BacklogReaders(
            MemoryJobDirectory(self.database),
            self.events,
            self.checkpoints,
            MemoryBacklog(self.database),
            self.clock,
            self.system_clock,
            self.endpoints,
        )

    async def metrics(self) -> str:
        nobody: Any = None
        known = self.revocations
        shown = [
            BackFillMetrics(self.reports),
            SweepMetrics(self.sweeps),
            PurgeMetrics(self.purges),
            DeliveryMetrics(self.deliveries),
            BacklogMetrics(self.readers),
            *([] if known is None else [RevocationMetrics(known)]),
        ]
        app: Any = create_ops_app(nobody, shown)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://ops"
        ) as client:
            return (await client.get("/metrics")).text

    async def value(self, name: str) -> float:
        """Return the value of the one metric of this name."""
        lines = (await self.metrics()).splitlines()
        [line] = [it for it in lines if it.startswith(f"{name} ")]
        return float(line.removeprefix(name))
