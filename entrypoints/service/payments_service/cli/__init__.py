"""`payments …`: data on stdout, messages on stderr, one meaning for each exit code."""

import sys

from payments_service import logs
from payments_service.cli.exit_codes import Exit, exit_of
from payments_service.cli.root import payments


def main() -> None:
    """Run the command line; the exit code says whose turn it is now."""
    # Before anything can go wrong: the default would print messages and locals.
    logs.configure("warning")
    try:
        payments(auto_envvar_prefix="PAYMENTS", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001  # the last line of the program
        sys.exit(exit_of(error))
    sys.exit(Exit.DONE)


__all__ = ["main"]
