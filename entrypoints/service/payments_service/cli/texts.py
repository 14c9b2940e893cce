"""The text that a command accepts: what UTF-8 and Postgres can store."""

from typing import Any

import click
from typing_extensions import override

from payments_service.presentation.arguments import is_storable


class _Text(click.types.StringParamType):
    """A text; bytes that are not UTF-8 are refused."""

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text: str = super().convert(value, param, ctx)
        if not is_storable(text):
            self.fail("not text: it has bytes that are not UTF-8, or a NUL", param, ctx)
        return text


_TEXT = _Text()


def check_texts(command: click.Command) -> None:
    """Make a command and its subcommands refuse what is not text.

    It is done here for all commands, so that a new command cannot forget it.
    """
    for param in command.params:
        if param.type is click.STRING:
            param.type = _TEXT
    if isinstance(command, click.Group):
        for below in command.commands.values():
            check_texts(below)
