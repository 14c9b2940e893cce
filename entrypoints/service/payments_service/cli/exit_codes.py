"""Exit codes, and the one table from errors to them."""

import sys
from enum import IntEnum
from typing import Final

import click
import structlog

from payments_core import errors
from payments_service.settings import SettingsError


class Exit(IntEnum):
    DONE = 0
    BUG = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFIGURATION = 4
    DEPENDENCY_DOWN = 5
    REFUSED = 6
    # A check found something.
    FOUND = 7
    # By Ctrl-C: 128 plus the signal's number, as in shells.
    INTERRUPTED = 130


class CommandError(Exception):
    """An error with a message for the terminal, and its exit code."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


_CODES: Final = (
    (errors.AccountNotFound, Exit.NOT_FOUND),
    (errors.EventNotFound, Exit.NOT_FOUND),
    (errors.FeatureNotFound, Exit.NOT_FOUND),
    (errors.NotRecorded, Exit.NOT_FOUND),
    (errors.EventBodyGone, Exit.NOT_FOUND),
    (errors.DeliveryNotFound, Exit.NOT_FOUND),
    (errors.JobNotFound, Exit.NOT_FOUND),
    (errors.PaymentNotFound, Exit.NOT_FOUND),
    (errors.TokenNotFound, Exit.NOT_FOUND),
    (errors.SubscriptionNotFound, Exit.NOT_FOUND),
    (errors.IntentNotFound, Exit.NOT_FOUND),
    (errors.GatewayMisconfigured, Exit.CONFIGURATION),
    (errors.ErasureKeyUnusable, Exit.CONFIGURATION),
    (errors.UnknownReference, Exit.USAGE),
    (errors.InvalidValue, Exit.USAGE),
    (errors.Rejected, Exit.REFUSED),
    (errors.Untrusted, Exit.REFUSED),
    # A request that came too often is refused: no dependency is down.
    (errors.TooManyDeclines, Exit.REFUSED),
    (errors.RateLimited, Exit.REFUSED),
    (errors.Unavailable, Exit.DEPENDENCY_DOWN),
    (SettingsError, Exit.CONFIGURATION),
)


def exit_of(error: BaseException) -> int:
    """Print what went wrong; return the exit code for it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case SystemExit(code=int(code)) | click.exceptions.Exit(exit_code=code):
            return code
        case click.ClickException():
            error.show()
            return Exit.USAGE
        # Click turns the first into the second.
        case KeyboardInterrupt() | click.Abort(__context__=KeyboardInterrupt()):
            return _say(Exit.INTERRUPTED, "interrupted: the command did not complete")
        case click.Abort():
            return _say(Exit.REFUSED, "not confirmed: nothing was done")
        case CommandError(code=code):
            return _say(code, str(error))
        case _:
            return _of_ours(error)


def _of_ours(error: BaseException) -> int:
    for kind, code in _CODES:
        if isinstance(error, kind):
            return _say(code, str(error))
    structlog.get_logger().error("bug", exc_info=error)
    return _say(Exit.BUG, f"a bug: {type(error).__name__}; see the log line above")


def _say(code: Exit, text: str) -> int:
    for line in text.splitlines():
        print(f"payments: {line}", file=sys.stderr)  # noqa: T201  # its purpose
    return code
