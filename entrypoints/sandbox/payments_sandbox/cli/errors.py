"""Exit codes, and the error that has one."""

from enum import IntEnum


class Exit(IntEnum):
    DONE = 0
    USAGE = 2
    NOT_FOUND = 3
    CONFIGURATION = 4
    UNREACHABLE = 5
    REFUSED = 6


class CommandError(Exception):
    """A sentence for the person at the terminal, and what to do about it."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code
