"""What a long command says while it works, on stderr."""

from typing import Final

import click

# No more often than this.
SAID_EVERY_S: Final = 2.0


def say_wait(error: Exception, wait_s: float) -> None:
    """Say why nothing goes on for a moment."""
    click.echo(f"{error}; again in {wait_s:.0f} s", err=True)
