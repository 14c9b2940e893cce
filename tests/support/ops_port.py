"""The ops port of a worker, with what it measures in memory."""

from typing import Any

import attrs
import httpx

from contracts.examples import NOON
from payments_adapters.memory import (
    FixedClock,
    MemoryDatabase,
    MemoryEventLog,
    MemoryJobDirectory,
)
from payments_adapters.memory.checkpoints import MemoryCheckpoints
from payments_adapters.rate_limited_gateway import CircuitBreaker
from payments_core.use_cases import FollowRevocations
from payments_service.back_fill_reports import BackFillReports
from payments_service.delivery_reports import DeliveryReports
from payments_service.http.health import create_ops_app
from payments_service.http.metrics import RevocationMetrics, WorkerMetrics
from payments_service.purge_reports import PurgeReports
from payments_service.sweep_reports import SweepReports
from payments_service.webhook_reports import WebhookReports


@attrs.define
class Ops:
    reports: BackFillReports = attrs.field(factory=BackFillReports)
    sweeps: SweepReports = attrs.field(factory=SweepReports)
    purges: PurgeReports = attrs.field(factory=PurgeReports)
    deliveries: DeliveryReports = attrs.field(factory=DeliveryReports)
    events: Any = attrs.field(factory=lambda: MemoryEventLog(MemoryDatabase()))
    checkpoints: Any = attrs.field(factory=lambda: MemoryCheckpoints(MemoryDatabase()))
    clock: FixedClock = attrs.field(factory=lambda: FixedClock(NOON))
    revocations: FollowRevocations | None = None

    async def metrics(self) -> str:
        nobody: Any = None
        shown = WorkerMetrics(
            MemoryJobDirectory(MemoryDatabase()),
            self.events,
            self.checkpoints,
            self.clock,
            self.reports,
            self.sweeps,
            self.purges,
            self.deliveries,
        )
        breaker = CircuitBreaker(self.clock)
        known = self.revocations
        more = [] if known is None else [RevocationMetrics(known)]
        app: Any = create_ops_app(nobody, breaker, WebhookReports(), shown, more=more)
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
