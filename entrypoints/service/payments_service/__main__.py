"""The program `payments`, also as `python -m payments_service`."""

import signal


def main() -> None:
    """Run the command line, which takes a moment to import.

    Until it listens itself, Ctrl-C ends the process without a word: Python's own way is
    a traceback of whatever is being imported.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from payments_service.cli import main as run  # noqa: PLC0415  # see above

    run()


if __name__ == "__main__":
    main()
