"""The process that entered `embedded_postgres`, as the supervisor sees it."""

import os
import select
import sys
from collections.abc import Sequence
from contextlib import suppress

import attrs


@attrs.frozen
class Owner:
    """The process at the other end of the standard input."""

    signs: Sequence[int]

    @classmethod
    def of_this_process(cls) -> "Owner":
        signs = [sys.stdin.fileno()]
        if sys.platform == "linux":
            # A forked child may keep the pipe open; the pidfd still shows the end.
            with suppress(OSError):
                signs.append(os.pidfd_open(os.getppid()))
        return cls(signs)

    def is_gone(self, within_s: float) -> bool:
        """Wait up to `within_s`, and say whether the owner left or died."""
        return bool(select.select(self.signs, [], [], within_s)[0])
