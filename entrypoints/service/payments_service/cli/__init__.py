"""`payments …`: data on stdout, messages on stderr, one meaning for each exit code."""

import signal
import sys

from payments_service import logs
from payments_service.cli.exit_codes import Exit, exit_of
from payments_service.cli.root import payments


def main() -> None:
    """Run the command line; `exit_codes` lists what each exit code means."""
    # First, because the default logging would print messages and local variables.
    logs.configure("warning")
    code: int = Exit.DONE
    try:
        payments(auto_envvar_prefix="PAYMENTS", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001  # the outermost handler
        code = exit_of(error)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Only interpreter shutdown is left; Ctrl-C there would print a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


__all__ = ["main"]
