"""Every command explains itself."""

import re
from collections.abc import Iterator
from typing import Final

import click
from click.testing import CliRunner

from payments_service.cli.root import payments as root
from support.commands import payments

# As click takes them, and any other that a terminal would.
ESCAPES: Final = re.compile(r"\\[bf]|[^\n -~…]")


def commands(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, *path, name)


def test_every_command_explains_itself(nowhere: dict[str, str]) -> None:
    """
    `--help` and `-h` need no settings and exit with 0; each option says something.
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
