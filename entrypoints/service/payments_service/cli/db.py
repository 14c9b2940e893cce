"""The database's schema."""

import asyncio
import os
from typing import Final

import click

from payments_adapters.postgres import schema
from payments_adapters.postgres.schema import SchemaState
from payments_core.errors import StoreUnavailable
from payments_service.cli import environment
from payments_service.cli.dev_folder import DevFolder
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.settings import SettingsError, database_url

POLL_S: Final = 0.5


@click.group()
def db() -> None:
    """Upgrade the database to the schema of this release, check it, wait for it."""


def _url() -> str:
    """Return the only setting that is needed: a migration job has no others."""
    if url := database_url(os.environ):
        return url
    if facts := DevFolder.of(os.environ).published():
        return facts["database_url"]
    raise SettingsError(
        {"PAYMENTS_DATABASE_URL": "missing (or PAYMENTS_DATABASE_URL_FILE, a path)"},
        None if "PAYMENTS_ENV" in os.environ else environment.hint(),
    )


@db.command()
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
def upgrade(*, dry_run: bool) -> None:
    """Run the migrations that are missing.

    Running it twice, or in parallel, is safe.
    """
    url = _url()
    before = environment.run(schema.current(url))
    _require_known(before)
    missing = schema.is_upgradable(before)
    if missing and not dry_run:
        for finding in environment.run(schema.upgrade(url)):
            click.echo(finding, err=True)
    click.echo(f"{before or 'empty'} -> {schema.head() if missing else before}")


@db.command()
def current() -> None:
    """Print the revision of the schema.

    Exit code 6 if this release needs a newer one.
    """
    environment.run(require_schema(_url()))
    click.echo(schema.head())


@db.command()
@click.option(
    "--timeout",
    default=60,
    show_default=True,
    type=click.IntRange(0, 3600),
    help="Seconds. Exit codes after that: 5 no answer, 6 schema too old or unknown.",
)
def wait(*, timeout: int) -> None:
    """Wait until the database answers and has the schema of this release."""
    environment.run(_wait(_url(), timeout))
    click.echo(schema.head())


async def _wait(url: str, timeout_s: int) -> None:
    why_not: CommandError | StoreUnavailable = StoreUnavailable()

    async def until_there() -> None:
        nonlocal why_not
        while True:
            try:
                await require_schema(url)
            except (CommandError, StoreUnavailable) as error:
                why_not = error
                await asyncio.sleep(POLL_S)
            else:
                return

    try:
        await asyncio.wait_for(until_there(), timeout_s)
    except TimeoutError:
        # No last attempt: an address that drops packets never answers.
        raise why_not from None


async def require_schema(url: str) -> None:
    """Refuse a database that lacks migrations.

    A newer schema is accepted: migrations expand first, so this release runs on it.

    Raises:
        CommandError: migrations are missing, or the revision is not known.
        StoreUnavailable: the database does not answer.
    """
    revision = await schema.current(url)
    _require_known(revision)
    if schema.is_upgradable(revision):
        raise CommandError(
            Exit.REFUSED,
            f"the database is at {revision or 'nothing'}, this release needs "
            f"{schema.head()}: run `payments db upgrade`",
        )


def _require_known(revision: str | None) -> None:
    if schema.state_of(revision) is SchemaState.UNKNOWN:
        raise CommandError(
            Exit.REFUSED,
            f"the database is at {revision!r}, a revision that this service does not "
            "have: `payments doctor --start` says what to do",
        )
