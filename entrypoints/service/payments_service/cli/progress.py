"""What a long command says while it works, and where it breaks off, on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

# No more often than this.
SAID_EVERY_S: Final = 2.0


def say_wait(error: Exception, wait_s: float) -> None:
    """Say why nothing goes on for a moment."""
    click.echo(f"{error}; again in {wait_s:.0f} s", err=True)


@contextmanager
def told_if_cut_off(tell: Callable[[], None]) -> Iterator[None]:
    """Tell what was done until then, where the block ends with an error or by Ctrl-C.

    It ends with the same one.
    """
    try:
        yield
    except BaseException:
        tell()
        raise
