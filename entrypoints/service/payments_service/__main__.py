"""The program `payments`, also as `python -m payments_service`."""

import signal


def main() -> None:
    """Run the command line, which takes some time to import.

    Until it handles Ctrl-C itself, Ctrl-C ends the process silently: Python's default
    is a traceback of the import in progress.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from payments_service.cli import main as run  # noqa: PLC0415  # see above

    run()


if __name__ == "__main__":
    main()
