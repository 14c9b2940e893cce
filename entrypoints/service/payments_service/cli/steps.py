"""The steps of `payments dev`: one line each on stderr, with the seconds so far.

It is here because the first line is printed before `payments_service.dev` is imported.
"""

import time

import attrs
import click


@attrs.frozen
class Steps:
    """`began` is the process's start, on the monotonic clock."""

    _began: float

    def say(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:6.1f} s  {text}", err=True)
