"""Serving a sandbox on this machine."""

import asyncio
import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from payments_sandbox import presets
from payments_sandbox.api_versions import generation_of
from payments_sandbox.app import SandboxApp
from payments_sandbox.cli.client import Target
from payments_sandbox.cli.errors import CommandError, Exit
from payments_sandbox.cli.process import bound, moment_of, run
from payments_sandbox.engine import AFTER_RETRIES, Engine, Preset
from payments_sandbox.errors import ApiError
from payments_sandbox.listeners import url_of
from payments_sandbox.resources.endpoints import usable_url

# Where Stripe's own mock listens; so many tools look there first.
PORT: Final = 12_111
# One that does not answer holds none of these up.
ENDPOINTS_AT_ONCE: Final = 8


@click.command()
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535))
@click.option("--seed", default=0, show_default=True, help="Decides every id.")
@click.option("--start", help="Its first moment (2026-01-31T12:00:00Z); now if none.")
@click.option("--frozen", is_flag=True, help="Time passes by `advance` only.")
@click.option("--forward", metavar="URL", help="Where webhooks go.")
@click.option("--secret", help="Signs them; made, and printed, if none.")
@click.option("--api-version", help="In which version they are rendered.")
@click.option("--catalog", is_flag=True, help="Begin with two products and prices.")
@click.option("--journal", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--after-retries",
    default="cancel",
    type=click.Choice(AFTER_RETRIES),
    show_default=True,
    help="What becomes of a subscription that nobody pays.",
)
@click.option("--at-once", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--while-stdin-is-open", is_flag=True, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
@click.pass_obj
def serve(
    target: Target,
    *,
    port: int,
    seed: int,
    start: str | None,
    frozen: bool,
    forward: str | None,
    secret: str | None,
    api_version: str | None,
    catalog: bool,
    journal: Path | None,
    after_retries: str,
    at_once: int,
    while_stdin_is_open: bool,
    as_json: bool,
) -> None:
    """Serve a sandbox on this machine, until Ctrl-C.

    With --journal it comes back as it was, whatever ended it.
    """
    if api_version is not None:
        try:
            generation_of(api_version)
        except ApiError as error:
            raise CommandError(Exit.USAGE, f"--api-version: {error}") from error
    if forward is not None:
        try:
            usable_url(forward)
        except ApiError as error:
            raise CommandError(Exit.USAGE, f"--forward: {error}") from error
    secret = secret or f"whsec_{secrets.token_urlsafe(32)}"
    wanted: list[Preset] = [presets.catalog] if catalog else []
    if forward:
        wanted.append(presets.forwarding(forward, secret, api_version))
    begins = moment_of(start)
    engine = Engine(
        seed=seed,
        start=lambda: int(time.time()) if begins is None else begins,
        api_key=target.key,
        after_retries=after_retries,
        preset=presets.both(*wanted),
    )
    listener = bound(port)
    facts = {
        "sandbox_url": url_of(listener),
        "stripe_api_key": engine.api.api_key,
    }
    if forward:
        facts["webhook_secret"] = secret
    asyncio.run(
        run(
            SandboxApp.of(engine, at_once=at_once, endpoints_at_once=ENDPOINTS_AT_ONCE),
            listener,
            journal,
            lambda: _say(facts, as_json=as_json),
            ticking=not frozen,
            ends_with_stdin=while_stdin_is_open,
        )
    )


def _say(facts: Mapping[str, str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
        return
    click.echo("the sandbox is up; Ctrl-C ends it\n")
    for name, value in facts.items():
        click.echo(f"  {name:<15} {value}")
