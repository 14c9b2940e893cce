"""What `payments dev` is doing: a line a step on stderr, with the seconds so far."""

import time

import attrs
import click


@attrs.frozen
class Steps:
    _began: float = attrs.field(factory=time.monotonic)

    def say(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._began:6.1f} s  {text}", err=True)
