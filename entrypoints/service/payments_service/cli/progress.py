"""What a long command prints on stderr while it works, and if it is interrupted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

# The minimum time between two lines of progress.
SAID_EVERY_S: Final = 2.0


def say_wait(error: Exception, wait_s: float) -> None:
    """Print why the command waits."""
    click.echo(f"{error}; retrying in {wait_s:.0f} s", err=True)


@contextmanager
def told_if_cut_off(tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` if the block ends with an error or by Ctrl-C, and raise it again."""
    try:
        yield
    except BaseException:
        tell()
        raise
