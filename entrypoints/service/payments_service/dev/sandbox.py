"""`payments sandbox …`: the `payments-sandbox` commands, for the running sandbox."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from typing_extensions import override

from payments_sandbox.cli.client import Target
from payments_sandbox.cli.commands import COMMANDS
from payments_sandbox.cli.errors import CommandError as SandboxCommandError
from payments_service.cli.dev_folder import DevFolder
from payments_service.cli.exit_codes import CommandError, Exit


def _known() -> tuple[str, str]:
    facts = DevFolder.of(os.environ).running()
    if "sandbox_url" not in facts:
        raise CommandError(
            Exit.REFUSED,
            "the development service does not use a sandbox; name one with --url and "
            "--key",
        )
    return facts["sandbox_url"], facts["stripe_api_key"]


@contextmanager
def as_ours() -> Iterator[None]:
    """Convert errors of the sandbox's client and commands to our own.

    Raises:
        CommandError: with the same message and exit code.
    """
    try:
        yield
    except SandboxCommandError as error:
        raise CommandError(Exit(error.code), str(error)) from error


class _Commands(click.Group):
    @override
    def invoke(self, ctx: click.Context) -> Any:
        with as_ours():
            return super().invoke(ctx)


@click.group(cls=_Commands, commands=COMMANDS)
@click.option(
    "--url", help="The sandbox's address; by default the development sandbox."
)
@click.option("--key", help="Its API key; by default that of the development sandbox.")
@click.pass_context
def sandbox(context: click.Context, *, url: str | None, key: str | None) -> None:
    """Serve a fake Stripe, trigger events, advance its clock, inject failures.

    Commands use the sandbox of a running `payments dev`, or that of --url and --key.
    """
    context.obj = Target(url, key, _known)
