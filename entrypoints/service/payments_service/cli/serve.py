"""The HTTP service."""

import socket

import click

from payments_adapters.postgres.deployment_mode import stamped_livemode
from payments_adapters.postgres.store import PostgresStore
from payments_service import logs
from payments_service.cli import environment
from payments_service.cli.db import require_schema
from payments_service.cli.ending import Ending
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.container import Container
from payments_service.http.server import Service
from payments_service.listeners import listen
from payments_service.settings import Settings, SettingsError


@click.command()
@click.pass_obj
def serve(ending: Ending) -> None:
    """Serve HTTP until SIGTERM; the ops port says when it is ready."""
    settings = environment.settings()
    logs.configure(settings.log_level)
    container = environment.wired(settings)
    ending.run(_serve(settings, container, ending))


async def _serve(settings: Settings, container: Container, ending: Ending) -> None:
    await require_schema(settings.database_url)
    await require_own_database(settings)
    service = Service(
        container,
        bound(settings.host, settings.port, "PAYMENTS_PORT"),
        bound(settings.host, settings.ops_port, "PAYMENTS_OPS_PORT"),
        settings.drain_s,
    )
    ending.by(service.stop)
    await service.run()


async def require_own_database(settings: Settings) -> None:
    """Refuse the database of the other mode: real and test money never meet.

    Raises:
        SettingsError: it is the other's.
    """
    async with PostgresStore(settings.database_url, 1).opened() as store:
        livemode = await stamped_livemode(store, livemode=settings.livemode)
    if livemode is not settings.livemode:
        theirs = "production" if livemode else "development"
        raise SettingsError(
            {"PAYMENTS_DATABASE_URL": f"this database belongs to {theirs}"}
        )


def bound(host: str, port: int, variable: str) -> socket.socket:
    """Bind a listener.

    Raises:
        CommandError: the port is taken.
    """
    try:
        return listen(host, port)
    except OSError as error:
        raise CommandError(
            Exit.CONFIGURATION,
            f"{variable}: {host}:{port} cannot be bound: {error.strerror}",
        ) from error
