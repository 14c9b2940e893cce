"""The worker: sync jobs, and operations whose process ended."""

import asyncio
from functools import partial

import click
import structlog

from payments_adapters.postgres.store import PostgresStore
from payments_adapters.rate_limited_gateway import CircuitBreaker
from payments_service import logs
from payments_service.cli import environment
from payments_service.cli.db import require_schema
from payments_service.cli.ending import Ending
from payments_service.container import Container, opened
from payments_service.event_loop_lag import EventLoopLag
from payments_service.http.health import Readiness, Reason, create_ops_app
from payments_service.http.protocol import OPS_GRACE_S, server_of
from payments_service.ops_metrics import of_worker
from payments_service.processes.start import bound, require_own_database, spans_of
from payments_service.settings import Settings
from payments_service.worker import Worker


@click.command()
@click.option("--once", is_flag=True, help="Do what is due now, and exit.")
@click.pass_obj
def worker(ending: Ending, *, once: bool) -> None:
    """Run the background work of webhooks and requests, until SIGTERM.

    It runs sync jobs, resumes operations whose process died, links payments to
    accounts, reads events that never arrived as a webhook from Stripe's list of events,
    compares everything with Stripe at night, delivers changes to other services
    (PAYMENTS_WEBHOOKS_OUT_FILE), and deletes what is past its retention.
    Any number of workers can run at once. The ops port reports liveness, Stripe's
    answers, failing jobs, open events, how far the list of events is read, the
    differences found at night, and deletions. A worker is not ready while Stripe
    refuses the API key.
    """
    settings = environment.settings(serves=False)
    logs.configure(settings.log_level)
    spans = spans_of(settings, "payments-worker")
    container = environment.wired(settings, spans)
    try:
        ending.run(partial(_work, settings, container, ending, once=once))
    finally:
        spans.close()


async def _work(
    settings: Settings, container: Container, ending: Ending, *, once: bool
) -> None:
    await require_schema(settings.database_url)
    await require_own_database(settings)
    async with opened(container):
        working = Worker.of(
            container, back_fills=settings.reads_event_list, sweeps=settings.sweeps
        )
        if once:
            await working.back_fill()
            while await working.once():
                continue
            await working.give_positions()
            await working.deliver()
            return
        listener = bound(settings.host, settings.ops_port, "PAYMENTS_OPS_PORT")
        breaker = container[CircuitBreaker]
        readiness = Readiness(
            container[PostgresStore],
            {Reason.STRIPE_KEY_REFUSED: lambda: breaker.key.trouble},
        )

        def stop() -> None:
            readiness.draining = True
            working.stop()

        ops_app = create_ops_app(readiness, of_worker(container))
        ops = server_of(ops_app, lifespan="off", grace_s=OPS_GRACE_S)
        ending.by(stop)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ops.serve([listener]))
            looking = tasks.create_task(container[EventLoopLag].keep_looking())
            structlog.get_logger().info("working")
            await working.run()
            ops.should_exit = True
            looking.cancel()
