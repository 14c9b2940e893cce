"""`payments …`: data on stdout, messages on stderr, one meaning for each exit code."""

import signal
import sys

from payments_service import logs
from payments_service.cli.exit_codes import Exit, exit_of
from payments_service.cli.root import payments


def main() -> None:
    """Run the command line; the exit code says whose turn it is now."""
    # Before anything can go wrong: the default would print messages and locals.
    logs.configure("warning")
    code: int = Exit.DONE
    try:
        payments(auto_envvar_prefix="PAYMENTS", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001  # the last line of the program
        code = exit_of(error)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # What is left is the interpreter's end, which would print a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


__all__ = ["main"]
