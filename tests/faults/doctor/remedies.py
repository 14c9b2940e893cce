"""The doctor's remedies, pasted as a reader would."""

import re
import shlex

import click

from payments_service.cli.root import payments


def pasted(remedy: str) -> bool:
    """Run the remedy's commands; say whether there were any."""
    commands = [shlex.split(it) for it in re.findall("`([^`]+)`", remedy)]
    for program, *words in commands:
        command: click.Command = payments
        if program != "payments":
            assert program in {"psql", "curl"}
            continue
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, remedy
            command = found
        # A command caches by which names its help was requested the first time.
        above = click.Context(payments, **payments.context_settings)
        # It refuses unknown and missing arguments.
        command.make_context("pasted", words, parent=above)
    return bool(commands)
