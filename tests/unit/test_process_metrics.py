"""What a process exports of itself: its release, its loop, its connections."""

from importlib.metadata import version

import attrs
import pytest
from prometheus_client import CollectorRegistry

from payments_adapters.postgres.store import PostgresStore
from payments_service.event_loop_lag import LOOK_EVERY_S, EventLoopLag
from payments_service.metrics.process import ProcessMetrics

pytestmark = pytest.mark.anyio


@attrs.define
class LateClock:
    """Sleeps longer than requested."""

    late_s: float = 0.0
    now: float = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.late_s

    def __call__(self) -> float:
        return self.now


def shown(lag: EventLoopLag) -> CollectorRegistry:
    registry = CollectorRegistry()
    store = PostgresStore("postgresql://nobody@127.0.0.1:1/nothing", 5)
    registry.register(ProcessMetrics(store, lag))
    return registry


async def test_a_loop_that_is_late_is_seen() -> None:
    """
    By how much later than requested a task runs.
    """
    clock = LateClock()
    lag = EventLoopLag(clock.sleep, clock)
    await lag.look()
    clock.late_s = 0.3
    await lag.look()

    registry, name = shown(lag), "payments_event_loop_lag_seconds"
    assert clock.now == 2 * LOOK_EVERY_S + 0.3
    assert registry.get_sample_value(f"{name}_count") == 2
    assert registry.get_sample_value(f"{name}_bucket", {"le": "0.25"}) == 1
    assert registry.get_sample_value(f"{name}_bucket", {"le": "0.5"}) == 2
    total = registry.get_sample_value(f"{name}_sum")
    assert total == pytest.approx(0.3)


async def test_a_process_says_which_release_it_is_and_what_it_uses() -> None:
    """
    Before its pool is open it has no connections, and knows its maximum.
    """
    registry = shown(EventLoopLag())
    value = registry.get_sample_value

    release = {"version": version("payments-service")}
    assert value("payments_build_info", release) == 1
    connections = "payments_database_connections"
    assert value(connections, {"state": "used"}) == 0
    assert value(connections, {"state": "idle"}) == 0
    assert value(f"{connections}_max") == 5
    assert value("process_resident_memory_bytes")
    assert value("python_gc_collections_total", {"generation": "0"}) is not None
