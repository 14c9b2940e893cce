"""`payments-sandbox serve`: its options."""

from pathlib import Path
from typing import Any, Final

import click

from payments_sandbox.cli.client import Target
from payments_sandbox.engine import AFTER_RETRIES

# The port of Stripe's own mock, which many tools try first.
PORT: Final = 12_111
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--port",
    default=PORT,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0: any free one.",
)
@click.option("--seed", default=0, show_default=True, help="Determines every id.")
@click.option("--start", help="Its start time (2026-01-31T12:00:00Z); default: now.")
@click.option("--frozen", is_flag=True, help="Time passes only by `advance`.")
@click.option("--forward", metavar="URL", help="The address of webhooks.")
@click.option("--secret", help="Signs them; default: a new one, which is printed.")
@click.option("--api-version", help="The API version in which they are rendered.")
@click.option("--catalog", is_flag=True, help="Begin with two products and prices.")
@click.option("--journal", type=_FILE, help="A record that restores its state.")
@click.option("--clock-file", type=_FILE, help="The file for its time, in seconds.")
@click.option(
    "--after-retries",
    default="cancel",
    type=click.Choice(AFTER_RETRIES),
    show_default=True,
    help="What happens to an unpaid subscription.",
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
    help="Exit when stdin is closed: with the parent process.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.pass_obj
def serve(target: Target, /, **options: Any) -> None:
    """Serve a sandbox on this machine, until Ctrl-C.

    With --journal its state is restored, whatever ended it.
    """
    # The server takes three times as long to import as the other commands need.
    from payments_sandbox.cli.process import serve_here  # noqa: PLC0415  # as above

    serve_here(target, **options)
