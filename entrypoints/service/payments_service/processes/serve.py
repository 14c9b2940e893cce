"""The HTTP service."""

from functools import partial

import click

from payments_service import logs
from payments_service.cli import environment
from payments_service.cli.db import require_schema
from payments_service.cli.ending import Ending
from payments_service.container import Container
from payments_service.http.server import Service
from payments_service.processes.start import bound, require_own_database, spans_of
from payments_service.settings import Settings


@click.command()
@click.pass_obj
def serve(ending: Ending) -> None:
    """Serve HTTP until SIGTERM; the ops port reports readiness."""
    settings = environment.settings()
    logs.configure(settings.log_level)
    spans = spans_of(settings, "payments-service")
    container = environment.wired(settings, spans)
    try:
        ending.run(partial(_serve, settings, container, ending))
    finally:
        spans.close()


async def _serve(settings: Settings, container: Container, ending: Ending) -> None:
    await require_schema(settings.database_url)
    await require_own_database(settings)
    service = Service(
        container,
        bound(settings.host, settings.port, "PAYMENTS_PORT"),
        bound(settings.host, settings.ops_port, "PAYMENTS_OPS_PORT"),
        settings.drain_s,
        connections_max=settings.connections_max,
        keep_alive_s=settings.keep_alive_s,
    )
    ending.by(service.stop)
    await service.run()
