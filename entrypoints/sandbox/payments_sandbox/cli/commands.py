"""Commands for a running sandbox: time, faults, state."""

import json
from typing import IO, Any, Final

import click

from payments_sandbox.cards import DECLINES
from payments_sandbox.chaos import Fault
from payments_sandbox.cli.client import Target
from payments_sandbox.cli.serve import serve
from payments_sandbox.periods import moment

_JSON = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Print what would be asked.")


def _text(at: int) -> str:
    """Return a time as text: RFC 3339, in UTC."""
    return f"{moment(at):%Y-%m-%dT%H:%M:%SZ}"


@click.command()
@click.argument("span", help='How long: "1 month".')
@_DRY_RUN
@_JSON
@click.pass_obj
def advance(target: Target, *, span: str, dry_run: bool, as_json: bool) -> None:
    """Let time pass: "1 month", "36 hours", "90 days".

    Renewals, retries, trial ends and expiries happen in order, and are delivered.
    """
    body: dict[str, Any] = {"until": span}
    if dry_run:
        click.echo(json.dumps(body))
        return
    now = target.client().do("advance", **body)["now"]
    shown = {"now": _text(now)}
    click.echo(json.dumps(shown) if as_json else f"it is {shown['now']}")


@click.command()
@click.argument("type_", metavar="TYPE", help="Of the event: charge.failed.")
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
@click.pass_obj
def trigger(
    target: Target,
    *,
    type_: str,
    user: str,
    assignments: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make an event happen to a user, with all events before it."""
    values = dict(_assignment(text, "--set") for text in assignments)
    body = {"type": type_, "user": user, "values": values}
    if dry_run:
        click.echo(json.dumps(body))
        return
    happened = target.client().do("trigger", **body)
    click.echo(json.dumps(happened) if as_json else "\n".join(happened["events"]))


def _assignment(text: str, option: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"{option} {text}: not name=value")
    return name, value


@click.command()
@click.argument(
    "rates",
    nargs=-1,
    metavar="[FAULT=RATE]...",
    help="How often a fault happens, from 0 to 1: drop=0.05.",
)
@click.option("--calm", is_flag=True, help="First stop all faults.")
@click.option("--seed", type=int, help="Draw anew from this seed.")
@click.option("--next", "next_", help="A fault for the next match.")
@click.option(
    "--matches",
    default="*",
    help='What --next matches: "POST /v1/subscriptions", "invoice.*".',
)
@click.option(
    "--times",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="How many times --next happens.",
)
@_DRY_RUN
@_JSON
@click.pass_obj
def chaos(
    target: Target,
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
    """Make faults occur, at a rate or once.

    Without arguments, print the settings.

    \b
    Calls:      rate_limited rate_limited_retry_after error_before error_after
                timeout_before timeout_after slow reset overtake
    Events:     twin never_made
    Deliveries: duplicate reorder delay drop other_generation
    """  # noqa: D301  # the escape tells click to keep the lines
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
    shown = target.client().do("chaos", **body)
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


@click.command()
@click.argument("intent", help="Its id (pi_…, seti_…) or client secret.")
@click.option("--card", help="What to confirm it with first: pm_card_visa, pm_….")
@click.option("--fail", is_flag=True, help="The holder fails the authentication.")
@_DRY_RUN
@_JSON
@click.pass_obj
def authenticate(
    target: Target,
    *,
    intent: str,
    card: str | None,
    fail: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Finish an INTENT as the card's holder would.

    An intent that is not confirmed is first confirmed, with --card or a good card; then
    the bank's 3-D Secure step is passed, if the bank requires one.
    """
    body: dict[str, Any] = {"intent": intent, "succeed": not fail, "card": card}
    if dry_run:
        click.echo(json.dumps(body))
        return
    done = target.client().do("authenticate", **body)
    click.echo(json.dumps(done) if as_json else f"{done['id']} {done['status']}")


@click.command()
@click.argument("payment_method", help="The card (pm_…).")
@click.option("--declines", type=click.Choice(sorted(DECLINES)), help="Good if none.")
@_DRY_RUN
@_JSON
@click.pass_obj
def card(
    target: Target,
    *,
    payment_method: str,
    declines: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a card decline from now on, or succeed again."""
    body = {"payment_method": payment_method, "declines": declines}
    if dry_run:
        click.echo(json.dumps(body))
        return
    done = target.client().do("card", **body)
    click.echo(
        json.dumps(done) if as_json else f"{payment_method} {declines or 'good'}"
    )


@click.command("import")
@click.argument("file", type=click.File("rb"), help="JSON; - is stdin.")
@_DRY_RUN
@_JSON
@click.pass_obj
def import_(target: Target, *, file: IO[bytes], dry_run: bool, as_json: bool) -> None:
    """Import Stripe's objects, with their ids, from a FILE.

    A list of objects, one object, or a list as Stripe answers it; an event stands for
    its object. No events are sent; an existing object is replaced.
    """
    body = {"objects": _objects(file.read())}
    if dry_run:
        click.echo(json.dumps(body))
        return
    done = target.client().do("import", **body)
    if as_json:
        click.echo(json.dumps(done))
        return
    for it in done["imported"]:
        click.echo(f"{it['object']} {it['id']}")


def _objects(text: bytes) -> list[Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"FILE: not JSON: {error}") from None
    if isinstance(value, dict) and value.get("object") == "list":
        value = value.get("data")
    return value if isinstance(value, list) else [value]


@click.command()
@click.argument("endpoint", help="The webhook endpoint (we_…).")
@click.option(
    "--keep",
    default=86_400,
    show_default=True,
    type=click.IntRange(0),
    help="For how many seconds the old secret signs too.",
)
@_DRY_RUN
@_JSON
@click.pass_obj
def roll_secret(
    target: Target, *, endpoint: str, keep: int, dry_run: bool, as_json: bool
) -> None:
    """Give a webhook endpoint a new secret, and print it."""
    body = {"endpoint": endpoint, "keep_s": keep}
    if dry_run:
        click.echo(json.dumps(body))
        return
    done = target.client().do("roll-secret", **body)
    click.echo(json.dumps(done) if as_json else done["secret"])


@click.command()
@_JSON
@click.pass_obj
def state(target: Target, *, as_json: bool) -> None:
    """Print the state: time, objects, endpoints, chaos."""
    shown = target.client().ask("state")
    if as_json:
        click.echo(json.dumps(shown))
        return
    click.echo(f"it is {_text(shown['now'])}, seed {shown['seed']}")
    for kind, count in shown["objects"].items():
        click.echo(f"{count:>7} {kind}")
    click.echo(
        f"{shown['events']:>7} events, {shown['waiting_deliveries']} on their way"
    )
    if shown["subscriptions"]:
        click.echo("\nSUBSCRIPTION, CUSTOMER, STATUS, END OF ITS PERIOD")
    for it in shown["subscriptions"]:
        ends = _text(it["current_period_end"])
        click.echo(f"{it['id']}  {it['customer']}  {it['status']:<10} until {ends}")


@click.command()
@click.option("--type", "kind", help="Of this type only.")
@click.option(
    "--limit",
    default=100,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="How many at most, the latest.",
)
@_JSON
@click.pass_obj
def events(target: Target, *, kind: str | None, limit: int, as_json: bool) -> None:
    """List the events, latest last."""
    wanted = {"kind": kind} if kind else {}
    rows = target.client().ask("events", limit=limit, **wanted)
    if as_json:
        click.echo(json.dumps(rows))
        return
    width = max((len(row["id"]) for row in rows), default=0)
    click.echo(f"{'CREATED':<20}  {'ID':<{width}}  {'TYPE':<40} OBJECT_ID")
    for row in rows:
        at = _text(row["created"])
        way = f"  ({row['undelivered']} to deliver)" if row["undelivered"] else ""
        click.echo(f"{at}  {row['id']}  {row['type']:<40} {row['object_id']}{way}")
    if not rows:
        click.echo("no such event has happened", err=True)


@click.command()
@click.option("--seed", type=int, help="The seed of a new world.")
@_DRY_RUN
@_JSON
@click.pass_obj
def reset(target: Target, *, seed: int | None, dry_run: bool, as_json: bool) -> None:
    """Start again, with the same key.

    What --catalog and --forward created exists again; everything else is deleted.
    """
    if dry_run:
        click.echo(json.dumps({"seed": seed}))
        return
    shown = target.client().do("reset", seed=seed)
    click.echo(json.dumps(shown) if as_json else f"a new world, seed {shown['seed']}")


COMMANDS: Final = (
    advance,
    authenticate,
    card,
    chaos,
    events,
    import_,
    reset,
    roll_secret,
    serve,
    state,
    trigger,
)
