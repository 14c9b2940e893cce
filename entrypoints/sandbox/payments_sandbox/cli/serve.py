"""`payments-sandbox serve`: its options."""

from pathlib import Path
from typing import Any, Final

import click

from payments_sandbox.cli.client import Target
from payments_sandbox.engine import AFTER_RETRIES

# Where Stripe's own mock listens; so many tools look there first.
PORT: Final = 12_111
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--port",
    default=PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Where it listens; 0 is any that is free.",
)
@click.option("--seed", default=0, show_default=True, help="Decides every id.")
@click.option("--start", help="Its first moment (2026-01-31T12:00:00Z); now if none.")
@click.option("--frozen", is_flag=True, help="Time passes by `advance` only.")
@click.option("--forward", metavar="URL", help="Where webhooks go.")
@click.option("--secret", help="Signs them; made, and printed, if none.")
@click.option("--api-version", help="In which version they are rendered.")
@click.option("--catalog", is_flag=True, help="Begin with two products and prices.")
@click.option("--journal", type=_FILE, help="What was done; it comes back from it.")
@click.option("--clock-file", type=_FILE, help="Where its time is kept, in seconds.")
@click.option(
    "--after-retries",
    default="cancel",
    type=click.Choice(AFTER_RETRIES),
    show_default=True,
    help="What becomes of a subscription that nobody pays.",
)
@click.option(
    "--thin-events", is_flag=True, help="Webhooks only say which object changed."
)
@click.option(
    "--at-once",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="How many deliveries to an endpoint at once.",
)
@click.option(
    "--while-stdin-is-open",
    is_flag=True,
    hidden=True,
    help="End when stdin does: with the process that started it.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.pass_obj
def serve(target: Target, /, **options: Any) -> None:
    """Serve a sandbox on this machine, until Ctrl-C.

    With --journal it comes back as it was, whatever ended it.
    """
    # The server takes three times as long to import as what the other commands need.
    from payments_sandbox.cli.process import serve_here  # noqa: PLC0415  # as above

    serve_here(target, **options)
