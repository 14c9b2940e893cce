"""Every command explains itself."""

import re
from collections.abc import Iterator
from typing import Final

import click
import pytest
from click.testing import CliRunner

from payments_sandbox.cli import sandbox
from payments_service.cli.root import payments as root
from support.commands import payments

# The options as click knows them, and any other that a terminal would accept.
ESCAPES: Final = re.compile(r"\\[bf]|[^\n -~…]")
COLUMNS: Final = 80
WHOLE: Final = 10_000


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    return (below for below, _ in walked(command, *path))


def walked(
    command: click.Command, *path: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    for name, below in below_of(command):
        yield from walked(below, *path, name)


def below_of(command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield name, below


def test_every_command_explains_itself(nowhere: dict[str, str]) -> None:
    """
    `--help` and `-h` need no settings and exit with 0; each option has a description.
    """
    found = list(commands(root))
    assert ("webhook", "send") in found
    assert ("serve",) in found

    for path in found:
        for flag in ("--help", "-h"):
            answer = CliRunner().invoke(root, [*path, flag])
            assert (answer.exit_code, answer.exception) == (0, None)
            assert "Usage: " in answer.output
            assert not ESCAPES.search(answer.output), path
    first = payments("--help", env=nowhere)
    assert first.code == 0
    assert all(path[0] in first.out for path in found if path)
    assert payments("fly", env=nowhere).code == 2


@pytest.mark.parametrize("program", [root, sandbox])
def test_every_option_and_argument_says_what_it_is(program: click.Group) -> None:
    """
    A hidden option too: readers of the code need its help as well.
    """
    silent = [
        (*path, param.name)
        for path, command in walked(program)
        for param in command.params
        if not (param.help or "").strip().endswith(".")
    ]

    assert silent == []


@pytest.mark.parametrize("program", [root, sandbox])
def test_a_list_of_commands_says_the_whole_of_each(program: click.Group) -> None:
    """
    No sentence is cut off with dots on a terminal of 80 columns.
    """
    for path, group in walked(program):
        answer = CliRunner().invoke(program, [*path, "--help"], terminal_width=COLUMNS)
        shown = " ".join(answer.output.split())
        for name, command in below_of(group) if path or program is sandbox else ():
            said = command.get_short_help_str(WHOLE)
            assert f" {name} {said}" in shown, (*path, name)
