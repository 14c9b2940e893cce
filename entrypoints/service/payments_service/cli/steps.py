"""What `payments dev` is doing: a line a step on stderr, with the seconds so far.

Here, as the first line is said before `payments_service.dev` is imported.
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
