"""Webhook events: send one; list, show and replay stored ones."""

import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import httpx

from payments_adapters.stripe import sign
from payments_core.errors import EventNotFound
from payments_core.events import OPEN_STATES, EventState
from payments_core.kept_events import EventCursor, EventPage, KeptEvent
from payments_core.ports import EventLog
from payments_service.cli import environment, filters, webhook_by_hand
from payments_service.cli.dev_folder import DevFolder
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.table import show_table
from payments_service.clocks import utc_now
from payments_service.presentation import PREFIX
from payments_service.presentation.arguments import decode_event_cursor, encode_cursor
from payments_service.presentation.moments import moment_text

_ROUTES: Final = {
    "charge.succeeded": f"{PREFIX}/webhooks/charge/succeeded",
    "charge.failed": f"{PREFIX}/webhooks/charge/failed",
}
TIMEOUT_S: Final = 30.0
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
# A page is one statement. A list reads at most this many, in a second or two.
PAGE_LENGTH_MAX: Final = 1_000
PAGES_MAX: Final = 100

_COLUMNS: Final = (
    *("received_at", "id", "type", "state", "object_id", "user_id", "livemode"),
    "reason",
)
_EMPTY: Final = {
    "object_id": "the event is about no followed object, or was erased",
    "user_id": "the event's payment is unlinked, or it is about no payment",
    "reason": "nothing is open",
}
_JSON = filters.JSON


@click.group()
def webhook() -> None:
    """Webhook events: send one; list, show and replay stored ones."""


for _command in webhook_by_hand.COMMANDS:
    webhook.add_command(_command)


def with_values(event: Any, changes: Mapping[str, object]) -> Any:  # JSON is anything
    """Return the event with the values at these dotted paths replaced.

    Raises:
        CommandError: a path does not exist.
    """
    event = json.loads(json.dumps(event))
    for path, value in changes.items():
        *parents, last = path.split(".")
        at = event
        for name in parents:
            at = at.get(name) if isinstance(at, dict) else None
        if not isinstance(at, dict):
            raise CommandError(Exit.USAGE, f"--set {path}: there is no such path")
        at[last] = value
    return event


def deliver(base_url: str, secret: str, event: Any) -> httpx.Response:  # see above
    """Sign an event as Stripe would and post it to the route of its type."""
    body = json.dumps(event).encode()
    kind = event.get("type") if isinstance(event, dict) else None
    route = _ROUTES.get(str(kind), f"{PREFIX}/webhooks/stripe")
    return httpx.post(
        base_url.rstrip("/") + route,
        content=body,
        headers={
            "Content-Type": "application/json",
            "Stripe-Signature": sign(body, secret=secret, at=utc_now()),
        },
        timeout=TIMEOUT_S,
        # A proxy of the environment cannot reach the loopback address of this machine.
        trust_env=urlsplit(base_url).hostname not in LOOPBACK,
    )


def _assignment(text: str) -> tuple[str, object]:
    path, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"--set {text}: not path=value")
    try:
        return path, json.loads(value)
    except ValueError:
        return path, value


@webhook.command()
@click.argument(
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An event of Stripe's, as JSON.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="PATH=VALUE",
    help="Replace a value first: data.object.customer=cus_1. JSON, else text.",
)
@click.option(
    "--to", help="The service's address; by default the development service's."
)
@click.option(
    "--secret", help="The signing secret; by default the development service's."
)
@click.option("--dry-run", is_flag=True, help="Print what would be sent.")
@_JSON
def send(
    *,
    file: Path,
    assignments: tuple[str, ...],
    to: str | None,
    secret: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Sign an event as Stripe would, and post it to its route."""
    try:
        event = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CommandError(Exit.USAGE, f"{file} is not JSON") from error
    event = with_values(event, dict(map(_assignment, assignments)))
    if dry_run:
        click.echo(json.dumps(event, indent=2))
        return
    facts = DevFolder.of(os.environ).running() if not (to and secret) else {}
    try:
        response = deliver(
            to or facts["base_url"], secret or facts["webhook_secret"], event
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise CommandError(Exit.USAGE, "--to: not an http:// address") from error
    except httpx.TransportError as error:
        raise CommandError(
            Exit.DEPENDENCY_DOWN,
            f"nothing answers there ({type(error).__name__}): `payments serve` or "
            "`payments dev` starts a service",
        ) from error
    _show(response, as_json=as_json)


def _show(response: httpx.Response, *, as_json: bool) -> None:
    try:
        answer = response.json()
    except ValueError:
        # The server at --to may not be this service.
        answer = response.text
    if as_json:
        click.echo(json.dumps({"status": response.status_code, "answer": answer}))
    else:
        click.echo(f"{response.status_code} {json.dumps(answer)}")
    if response.is_server_error:
        raise SystemExit(Exit.DEPENDENCY_DOWN)
    if not response.is_success:
        raise SystemExit(Exit.REFUSED)


@webhook.command("list")
@click.option(
    "--state",
    type=click.Choice([filters.OPEN, *(state.value for state in EventState)]),
    help="Only those in this state. `open` means pending or quarantined, on one page.",
)
@filters.TYPE
@filters.since("received")
@click.option("--unlinked", is_flag=True, help="Only those whose payment is unlinked.")
@filters.limit(10_000)
@filters.CURSOR
@_JSON
def list_events(  # each an option, by name
    *,
    state: str | None,
    type_: str | None,
    since: datetime | None,
    unlinked: bool,
    limit: int,
    cursor: str | None,
    as_json: bool,
) -> None:
    """List stored events, the latest received first.

    If few of many events match, one run reads only a part of them and prints a cursor
    to continue with.
    """
    is_open = state == filters.OPEN
    if is_open and cursor is not None:
        raise click.UsageError("--cursor: not with --state open")
    states = OPEN_STATES if is_open else [EventState(state) if state else None]

    async def work() -> list[EventPage]:
        async with environment.opened() as container:
            filters.not_in_the_future(since, container.clock())
            return [
                await listed(
                    container.events,
                    one,
                    decode_event_cursor(cursor),
                    type_=type_,
                    since=since,
                    unlinked=unlinked,
                    limit=limit,
                )
                for one in states
            ]

    pages = environment.run(work())
    events = sorted(
        (it for page in pages for it in page.events),
        key=lambda it: it.received_at,
        reverse=True,
    )
    page = EventPage(events[:limit], pages[0].after)
    rows = [_facts(event) for event in page.events]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        nothing = "no such event is stored"
        if page.after is not None:
            nothing = "no such event among the latest"
        show_table(_COLUMNS, rows, nothing=nothing, empty=_EMPTY)
    if is_open:
        if len(events) > limit or any(it.after is not None for it in pages):
            click.echo("more: --state pending, --state quarantined", err=True)
    elif page.after is not None:
        click.echo(f"more: --cursor {encode_cursor(page.after)}", err=True)


async def listed(  # each a filter
    log: EventLog,
    state: EventState | None,
    after: EventCursor | None,
    *,
    type_: str | None = None,
    since: datetime | None = None,
    unlinked: bool,
    limit: int,
) -> EventPage:
    """Return up to `limit` events, from at most PAGES_MAX pages."""
    events: list[KeptEvent] = []
    for _ in range(PAGES_MAX):
        most = min(limit - len(events), PAGE_LENGTH_MAX)
        page = await log.page(
            state=state,
            type_=type_,
            since=since,
            unlinked=unlinked,
            limit=most,
            after=after,
        )
        events += page.events
        after = page.after
        if after is None or len(events) == limit:
            break
    return EventPage(events, after)


@webhook.command()
@click.argument("event_id", help="The event's id (evt_…).")
@_JSON
def show(*, event_id: str, as_json: bool) -> None:
    """Show a stored event, with its body."""

    async def work() -> list[KeptEvent]:
        async with environment.opened() as container:
            return list(await container.events.find(event_id))

    found = environment.run(work())
    if not found:
        raise EventNotFound(event_id)
    if as_json:
        shown = [{**_facts(event), "body": _body(event)} for event in found]
        click.echo(json.dumps(shown))
        return
    for event in found:
        for name, value in _facts(event).items():
            click.echo(f"{name}: {'-' if value is None else value}")
        if event.body is None:
            click.echo("body: no longer stored")
        else:
            click.echo(f"body: {json.dumps(_body(event), indent=2)}")


def _body(event: KeptEvent) -> object:
    """Return the body as JSON, or as text: a body that is not JSON is stored too."""
    body = event.body or b"null"
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="backslashreplace")


def _facts(event: KeptEvent) -> dict[str, object]:
    return {
        "received_at": moment_text(event.received_at.replace(microsecond=0)),
        "id": event.key.id,
        "type": event.key.type,
        "state": event.outcome.state.value,
        "object_id": event.object_id,
        "user_id": event.user_id,
        "livemode": event.livemode,
        "reason": event.outcome.reason,
    }
