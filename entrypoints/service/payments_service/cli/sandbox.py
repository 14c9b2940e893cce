"""The fake Stripe: serve one, and do to it what time, banks and bad luck would do."""

import asyncio
import json
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from payments_sandbox import presets
from payments_sandbox.app import SandboxApp
from payments_sandbox.cards import DECLINES
from payments_sandbox.chaos import Fault
from payments_sandbox.engine import AFTER_RETRIES, Engine, Preset
from payments_sandbox.errors import ApiError
from payments_sandbox.generations import generation_of
from payments_sandbox.listeners import url_of
from payments_sandbox.periods import moment
from payments_sandbox.resources.endpoints import usable_url
from payments_service import logs
from payments_service.cli.exits import CommandError, Exit
from payments_service.cli.folder import DevFolder
from payments_service.cli.sandbox_client import SandboxClient
from payments_service.cli.sandbox_serve import bound, moment_of, run

# Where Stripe's own mock listens; so many tools look there first.
PORT: Final = 12_111
# One that does not answer holds none of these up.
ENDPOINTS_AT_ONCE: Final = 8
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what would be asked.")


@click.group()
@click.option("--url", help="The sandbox's address; the development one's if none.")
@click.option("--key", help="Its API key; the development one's if none.")
@click.pass_context
def sandbox(context: click.Context, *, url: str | None, key: str | None) -> None:
    """Serve a fake Stripe, and do to it what time and bad luck would do.

    Commands reach the one that `payments dev` runs, or that of --url and --key.
    """
    context.obj = (url, key)


def _client(context: click.Context) -> SandboxClient:
    url, key = context.obj
    if not (url and key):
        facts = DevFolder.of(os.environ).running()
        if "sandbox_url" not in facts:
            raise CommandError(
                Exit.REFUSED,
                "the development service talks to another Stripe; name a sandbox with "
                "--url and --key",
            )
        url, key = url or facts["sandbox_url"], key or facts["stripe_api_key"]
    return SandboxClient(url.rstrip("/"), key)


# Serving


@sandbox.command()
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
@_JSON
@click.pass_context
def serve(
    context: click.Context,
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
    _, key = context.obj
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
        api_key=key,
        after_retries=after_retries,
        preset=presets.both(*wanted),
    )
    listener = bound(port)
    # On stderr: nobody reads our stdout any more once we have said where we are.
    logs.configure("warning")
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


# What may be done to one


@sandbox.command()
@click.argument("span")
@_DRY_RUN
@_JSON
@click.pass_context
def advance(context: click.Context, *, span: str, dry_run: bool, as_json: bool) -> None:
    """Let time pass: "1 month", "36 hours", "90 days".

    Renewals, retries, trial ends and expiries happen in order, and are delivered.
    """
    body: dict[str, Any] = {"until": span}
    if dry_run:
        click.echo(json.dumps(body))
        return
    now = _client(context).do("advance", **body)["now"]
    shown = {"now": moment(now).isoformat()}
    click.echo(json.dumps(shown) if as_json else f"it is {shown['now']}")


@sandbox.command()
@click.argument("type_", metavar="TYPE")
@click.option("--user", required=True, help="A user id, or an e-mail.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the call that leads there: amount=500, currency=eur.",
)
@_DRY_RUN
@_JSON
@click.pass_context
def trigger(
    context: click.Context,
    *,
    type_: str,
    user: str,
    assignments: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make an event of this TYPE happen to a user, with all that leads to it."""
    values = dict(_assignment(text, "--set") for text in assignments)
    body = {"type": type_, "user": user, "values": values}
    if dry_run:
        click.echo(json.dumps(body))
        return
    happened = _client(context).do("trigger", **body)
    click.echo(json.dumps(happened) if as_json else "\n".join(happened["events"]))


def _assignment(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"{option} {text}: not name=value")
    return name, value


@sandbox.command()
@click.argument("rates", nargs=-1, metavar="[FAULT=RATE]...")
@click.option("--calm", is_flag=True, help="Let nothing go wrong any more, first.")
@click.option("--seed", type=int, help="Draw anew from this seed.")
@click.option("--next", "next_", help="A fault for the next thing that matches.")
@click.option("--matches", default="*", help='"POST /v1/subscriptions", "invoice.*".')
@click.option("--times", default=1, type=click.IntRange(1))
@_DRY_RUN
@_JSON
@click.pass_context
def chaos(
    context: click.Context,
    *,
    rates: tuple[str, ...],
    calm: bool,
    seed: int | None,
    next_: str | None,
    matches: str,
    times: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    r"""Let things go wrong, at a rate or once; without arguments, say what is set.

    \b
    Calls:      rate_limited rate_limited_retry_after error_before error_after
                timeout_before timeout_after slow reset overtake
    Events:     twin never_made
    Deliveries: duplicate reorder delay drop other_generation
    """
    body: dict[str, Any] = {
        "calm": calm,
        "seed": seed,
        "rates": {_fault(name): _rate(name, text) for name, text in map(_pair, rates)},
        "plans": [{"fault": _fault(next_), "matches": matches, "times": times}]
        if next_
        else [],
    }
    if dry_run:
        click.echo(json.dumps(body))
        return
    shown = _client(context).do("chaos", **body)
    if as_json:
        click.echo(json.dumps(shown))
        return
    click.echo(f"seed {shown['seed']}, {shown['planned']} planned")
    for name, rate in shown["rates"].items():
        click.echo(f"{name} {rate}")


def _pair(text: str) -> tuple[str, str]:
    return _assignment(text, "chaos")


def _fault(name: str) -> str:
    if name not in {fault.value for fault in Fault}:
        raise click.UsageError(f"{name}: no such fault")
    return name


def _rate(name: str, text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise click.UsageError(f"{name}: the rate is not in 0..1")
    return rate


@sandbox.command()
@click.argument("intent")
@click.option("--fail", is_flag=True, help="The holder does not pass.")
@_DRY_RUN
@_JSON
@click.pass_context
def authenticate(
    context: click.Context, *, intent: str, fail: bool, dry_run: bool, as_json: bool
) -> None:
    """Do the bank's 3-D Secure step of an INTENT (pi_…, seti_…), as its holder."""
    body: dict[str, Any] = {"intent": intent, "succeed": not fail}
    if dry_run:
        click.echo(json.dumps(body))
        return
    done = _client(context).do("authenticate", **body)
    click.echo(json.dumps(done) if as_json else f"{intent} {done['status']}")


@sandbox.command()
@click.argument("payment_method")
@click.option("--declines", type=click.Choice(sorted(DECLINES)), help="Good if none.")
@_DRY_RUN
@_JSON
@click.pass_context
def card(
    context: click.Context,
    *,
    payment_method: str,
    declines: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let a card (pm_…) decline from now on, or be good again."""
    body = {"payment_method": payment_method, "declines": declines}
    if dry_run:
        click.echo(json.dumps(body))
        return
    done = _client(context).do("card", **body)
    click.echo(
        json.dumps(done) if as_json else f"{payment_method} {declines or 'good'}"
    )


@sandbox.command()
@click.argument("endpoint")
@click.option("--keep", default=86_400, show_default=True, type=click.IntRange(0))
@_DRY_RUN
@_JSON
@click.pass_context
def roll_secret(
    context: click.Context, *, endpoint: str, keep: int, dry_run: bool, as_json: bool
) -> None:
    """Give a webhook ENDPOINT (we_…) a new secret, and print it.

    The old one signs as well for --keep more seconds.
    """
    body = {"endpoint": endpoint, "keep_s": keep}
    if dry_run:
        click.echo(json.dumps(body))
        return
    done = _client(context).do("roll-secret", **body)
    click.echo(json.dumps(done) if as_json else done["secret"])


@sandbox.command()
@_JSON
@click.pass_context
def state(context: click.Context, *, as_json: bool) -> None:
    """Say what there is: its time, its objects, its endpoints, its chaos."""
    shown = _client(context).ask("state")
    if as_json:
        click.echo(json.dumps(shown))
        return
    click.echo(f"it is {moment(shown['now']).isoformat()}, seed {shown['seed']}")
    for kind, count in shown["objects"].items():
        click.echo(f"{count:>7} {kind}")
    click.echo(
        f"{shown['events']:>7} events, {shown['waiting_deliveries']} on their way"
    )
    for it in shown["subscriptions"]:
        ends = moment(it["current_period_end"]).isoformat()
        click.echo(f"{it['id']}  {it['customer']}  {it['status']:<10} until {ends}")


@sandbox.command()
@click.option("--type", "kind", help="Of this type only.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@_JSON
@click.pass_context
def events(
    context: click.Context, *, kind: str | None, limit: int, as_json: bool
) -> None:
    """List what happened, the latest last."""
    wanted = {"kind": kind} if kind else {}
    rows = _client(context).ask("events", limit=limit, **wanted)
    if as_json:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        at = moment(row["created"]).isoformat()
        way = f"  ({row['undelivered']} to deliver)" if row["undelivered"] else ""
        click.echo(f"{at}  {row['id']}  {row['type']:<40} {row['object_id']}{way}")


@sandbox.command()
@click.option("--seed", type=int, help="Of another world.")
@_DRY_RUN
@_JSON
@click.pass_context
def reset(
    context: click.Context, *, seed: int | None, dry_run: bool, as_json: bool
) -> None:
    """Begin anew: nothing is left but the key and what it was started with."""
    if dry_run:
        click.echo(json.dumps({"seed": seed}))
        return
    shown = _client(context).do("reset", seed=seed)
    click.echo(json.dumps(shown) if as_json else f"a new world, seed {shown['seed']}")
