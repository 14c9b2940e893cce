"""The process itself: its release, its event loop, its connections, its memory."""

from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from payments_adapters.postgres.store import PostgresStore
from payments_service.event_loop_lag import EventLoopLag
from payments_service.metrics import families


class ProcessMetrics(Collector):
    """The metrics of the process itself."""

    def __init__(self, store: PostgresStore, lag: EventLoopLag) -> None:
        self._store = store
        self._lag = lag
        # The library's own collector, shared by the whole process.
        self._others = CollectorRegistry()
        ProcessCollector(registry=self._others)
        GCCollector(registry=self._others)

    @override
    def collect(self) -> Iterator[Metric]:
        yield families.gauges(
            "payments_build_info",
            "1 for the release that runs.",
            "version",
            {version("payments-service"): 1},
        )
        found = self._store.connections
        yield families.gauges(
            "payments_database_connections",
            "Connections of the pool to the database: in use, or idle.",
            "state",
            {"used": found.used, "idle": found.idle},
        )
        yield families.gauge(
            "payments_database_connections_max",
            "How many connections the pool may have.",
            found.most,
        )
        yield families.histogram(
            "payments_event_loop_lag_seconds",
            "How much later than asked for a task runs; measured four times a second.",
            [],
            [([], self._lag.lags)],
        )
        yield from self._others.collect()
