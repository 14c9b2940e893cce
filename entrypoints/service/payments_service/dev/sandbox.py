"""`payments sandbox …`: the commands of `payments-sandbox`, for the one beside us."""

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
            "the development service talks to another Stripe; name a sandbox with "
            "--url and --key",
        )
    return facts["sandbox_url"], facts["stripe_api_key"]


@contextmanager
def as_ours() -> Iterator[None]:
    """Let the sandbox's client and commands fail as our own commands do.

    Raises:
        CommandError: with the same sentence and exit code.
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
@click.option("--url", help="The sandbox's address; the development one's if none.")
@click.option("--key", help="Its API key; the development one's if none.")
@click.pass_context
def sandbox(context: click.Context, *, url: str | None, key: str | None) -> None:
    """Serve a fake Stripe, and do to it what time and bad luck would do.

    Commands reach the one that `payments dev` runs, or that of --url and --key.
    """
    context.obj = Target(url, key, _known)
