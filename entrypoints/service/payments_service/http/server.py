"""Two listeners on one event loop, and a shutdown that drops no request."""

import asyncio
import gc
import socket
from collections.abc import Callable
from typing import Final

import attrs
import structlog

from payments_adapters.postgres.store import PostgresStore
from payments_core.use_cases import FollowRevocations, ReadFeed
from payments_service.container import Container
from payments_service.event_loop_lag import EventLoopLag
from payments_service.http.app import create_app
from payments_service.http.health import Readiness, Reason, create_ops_app
from payments_service.http.protocol import OPS_GRACE_S, Server, server_of
from payments_service.ops_metrics import of_service
from payments_service.refreshing import Refreshing
from payments_service.settings import CONNECTIONS_MAX, KEEP_ALIVE_S

GC_THRESHOLD: Final = 20_000


@attrs.define
class Service:
    """The running service: `public` and `ops` are bound listeners.

    It is not ready while `trouble` names a process that it needs and that is down.
    """

    _container: Container
    _public: socket.socket
    _ops: socket.socket
    _drain_s: int = 0
    _connections_max: int = CONNECTIONS_MAX
    _keep_alive_s: int = KEEP_ALIVE_S
    _trouble: Callable[[], str | None] = lambda: None
    _stop: asyncio.Event = attrs.field(init=False, factory=asyncio.Event)

    def stop(self) -> None:
        """Start the shutdown."""
        self._stop.set()

    async def run(self, on_started: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, then drain and close everything."""
        revocations = self._container[FollowRevocations]
        refreshing = self._container[Refreshing]
        readiness = Readiness(
            self._container[PostgresStore],
            {
                Reason.CHILD_PROCESS_DOWN: self._trouble,
                Reason.KEYS_NOT_READ: lambda: refreshing.trouble,
            },
            lambda: revocations.is_leased,
        )
        app = server_of(
            self._container.spans.requests(create_app(self._container)),
            lifespan="on",
            connections_max=self._connections_max,
            keep_alive_s=self._keep_alive_s,
        )
        ops = server_of(
            create_ops_app(readiness, of_service(self._container)),
            lifespan="off",
            grace_s=OPS_GRACE_S,
        )
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(app.serve([self._public]))
            tasks.create_task(ops.serve([self._ops]))
            looking = tasks.create_task(self._container[EventLoopLag].keep_looking())
            stopping = tasks.create_task(self._drain(readiness, app))
            await asyncio.wait(
                [serving, tasks.create_task(app.up.wait())],
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not app.started:
                raise RuntimeError("the service did not start")
            _spare_the_collector()
            on_started()
            await serving
            ops.should_exit = True
            stopping.cancel()
            looking.cancel()

    async def _drain(self, readiness: Readiness, app: Server) -> None:
        """Become unready first, because the load balancer needs time to notice."""
        await self._stop.wait()
        # A server that is stopped while it starts does not close what it opened.
        await app.up.wait()
        structlog.get_logger().info("draining", seconds=self._drain_s)
        readiness.draining = True
        app.drain()
        await asyncio.sleep(self._drain_s)
        # Answer the waiting readers of the feed: otherwise the shutdown waits for them.
        self._container[ReadFeed].stop()
        app.should_exit = True


def _spare_the_collector() -> None:
    """Exclude all present objects, such as modules, from garbage collection.

    They live as long as the process, and requests leave almost no reference cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 20)
