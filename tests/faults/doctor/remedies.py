"""Remedies that the doctor names, pasted as a reader would."""

import re
import shlex

import click

from payments_service.cli.root import payments


def pasted(remedy: str) -> bool:
    """Paste what is a command; say whether there was any."""
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
        # A command keeps by what names its help was asked for the first time.
        above = click.Context(payments, **payments.context_settings)
        # It refuses what it does not know, and what is missing.
        command.make_context("pasted", words, parent=above)
    return bool(commands)
