"""What text a command takes: what UTF-8 and Postgres can hold, whatever it means."""

from typing import Any

import click
from typing_extensions import override

from payments_service.presentation.arguments import is_storable


class _Text(click.types.StringParamType):
    """A text; bytes that are no UTF-8 are none."""

    @override
    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text: str = super().convert(value, param, ctx)
        if not is_storable(text):
            self.fail("no text: it has bytes that are not UTF-8, or a NUL", param, ctx)
        return text


_TEXT = _Text()


def check_texts(command: click.Command) -> None:
    """Let a command, and those below it, refuse what is no text.

    Here for all commands: one that is added would forget it.
    """
    for param in command.params:
        if param.type is click.STRING:
            param.type = _TEXT
    if isinstance(command, click.Group):
        for below in command.commands.values():
            check_texts(below)
