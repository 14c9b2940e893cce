"""What a long-running process checks before it starts."""

import os
import socket

from payments_adapters.postgres.deployment_mode import stamped_livemode
from payments_adapters.postgres.erasures import is_erasure_key
from payments_adapters.postgres.store import PostgresStore
from payments_core.errors import ErasureKeyUnusable
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.listeners import listen
from payments_service.settings import Settings, SettingsError
from payments_service.spans import NO_SPANS, Spans
from payments_service.trace_settings import require_traceable


async def require_own_database(settings: Settings) -> None:
    """Refuse a database of the other mode, so that real and test payments never mix.

    Also refuse a database with tombstones of another erasure key, because erased users
    would be recorded again.

    Raises:
        SettingsError: the database has the other mode, or another erasure key.
    """
    async with PostgresStore(settings.database_url, 1).opened() as store:
        livemode = await stamped_livemode(store, livemode=settings.livemode)
        if not await is_erasure_key(store, settings.tombstones):
            raise SettingsError({"PAYMENTS_ERASURE_KEY": ErasureKeyUnusable.message})
    if livemode is not settings.livemode:
        theirs = "production" if livemode else "development"
        raise SettingsError(
            {"PAYMENTS_DATABASE_URL": f"this database belongs to {theirs}"}
        )


def bound(host: str, port: int, variable: str) -> socket.socket:
    """Bind a listener.

    Raises:
        CommandError: it cannot be bound.
    """
    try:
        return listen(host, port)
    except OSError as error:
        raise CommandError(
            Exit.CONFIGURATION,
            f"{variable}: {host}:{port} cannot be bound: {error.strerror}",
        ) from error


def spans_of(settings: Settings, process: str) -> Spans:
    """Return the tracer of this process, or one that does nothing.

    Raises:
        SettingsError: OpenTelemetry is not installed, or its variables require
            something that this release does not support.
    """
    require_traceable(settings, os.environ)
    if settings.traces == "off":
        return NO_SPANS
    # Imported only if tracing is on.
    from payments_service.tracing import tracing_spans  # noqa: PLC0415

    return tracing_spans(process)
