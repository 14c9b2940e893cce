"""Deliveries of changes to other services: list, show, replay."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import click

from payments_core.deliveries import Delivery, DeliveryKey, DeliveryQuery
from payments_core.errors import InvalidValue
from payments_core.policy import Policy
from payments_core.use_cases import ListDeliveries, ReadDelivery, ReplayDeliveries
from payments_service.cli import environment, filters
from payments_service.cli.progress import told_if_cut_off
from payments_service.cli.table import show_table
from payments_service.container import Container
from payments_service.presentation.arguments import (
    decode_delivery_cursor,
    encode_cursor,
)
from payments_service.presentation.deliveries import change_body
from payments_service.presentation.moments import moment_text

_COLUMNS: Final = (
    "id",
    "webhook_id",
    "state",
    "user_id",
    "due_at",
    "attempts",
    "reason",
)
_EMPTY: Final = {
    "due_at": "dead: it is due when it is replayed",
    "reason": "no attempt failed",
}
_JSON = filters.JSON
_ENDPOINT_HELP: Final = "Only those to this delivery endpoint."
# Deliveries beyond this number are counted, but not listed.
_LISTED_MAX: Final = 10_000


@click.group()
def deliveries() -> None:
    """Deliveries of changes to other services: list, show, replay.

    Endpoints are configured in PAYMENTS_WEBHOOKS_OUT_FILE. A delivery that fails is
    retried for three days; then it is `dead`, and is sent again only by a replay.
    """


@deliveries.command("list")
@click.option("--endpoint", help=_ENDPOINT_HELP)
@click.option("--dead", is_flag=True, help="Only those that are dead.")
@filters.limit(1_000)
@filters.CURSOR
@_JSON
def list_deliveries(  # each an option, by name
    *, endpoint: str | None, dead: bool, limit: int, cursor: str | None, as_json: bool
) -> None:
    """List deliveries that are open or dead.

    They are listed by endpoint, in the order of the changes. Completed deliveries are
    not stored. DUE_AT is real time, also if the clock of a sandbox was advanced.
    """
    place = decode_delivery_cursor(cursor)
    wanted = DeliveryQuery(endpoint=endpoint, dead=dead)

    async def work() -> tuple[list[dict[str, object]], str | None]:
        async with environment.opened() as container:
            page = await container[ListDeliveries](
                wanted, after=place, limit=limit, caller=environment.operator()
            )
        return [_facts(it) for it in page.deliveries], encode_cursor(page.after)

    rows, following = environment.run(work())
    if as_json:
        click.echo(json.dumps({"items": rows, "next_cursor": following}))
        return
    show_table(_COLUMNS, rows, nothing="no such delivery", empty=_EMPTY)
    if following:
        click.echo(f"more: --cursor {following}", err=True)


@deliveries.command()
@click.argument(
    "id_", metavar="ID", help="The delivery's id, as `deliveries list` shows it."
)
@_JSON
def show(*, id_: str, as_json: bool) -> None:
    """Show a delivery that is open or dead, with its body."""
    key = DeliveryKey.of_id(id_)

    async def work() -> dict[str, object]:
        async with environment.opened() as container:
            read = container[ReadDelivery]
            found, change = await read(key, caller=environment.operator())
            policy = container[Policy]
        body = None if change is None else json.loads(change_body(policy, change))
        return {**_facts(found), "body": body}

    shown = environment.run(work())
    if as_json:
        click.echo(json.dumps(shown))
        return
    body = shown.pop("body")
    for name, value in shown.items():
        click.echo(f"{name}: {'-' if value is None else value}")
    if body is None:
        click.echo("body: none, the user was erased")
    else:
        click.echo(f"body: {json.dumps(body, indent=2)}")


@deliveries.command()
@click.argument(
    "id_", metavar="[ID]", required=False, help="As `deliveries list` shows it: crm:12."
)
@click.option(
    "--endpoint", help="Those to this delivery endpoint; needs --dead or --since."
)
@click.option("--dead", is_flag=True, help="All dead deliveries of the endpoint.")
@click.option(
    "--since",
    type=filters.MOMENT,
    metavar="WHEN",
    help="All changes since this day or time (ISO 8601, UTC), delivered or not.",
)
@click.option(
    "--until",
    type=filters.MOMENT,
    metavar="WHEN",
    help="With --since: only those before this day or time.",
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="POSITION",
    help="With --since: only those after this position, at which a replay ended.",
)
@filters.DRY_RUN
@_JSON
def replay(  # each an option, by name
    *,
    id_: str | None,
    endpoint: str | None,
    dead: bool,
    since: datetime | None,
    until: datetime | None,
    after: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Deliver again: one change, all dead ones, or those of a period.

    Each delivery is due at once and is retried for three days again, with the same
    webhook-id. It may be older than what the endpoint has: the endpoint must compare
    `version`. Deliveries that are being sent now are not changed. An endpoint has at
    most 10,000 open deliveries: a replay stops there, and prints how many are left and
    the position to continue after (exit code 6).
    """
    if (id_ is not None) is (endpoint is not None):
        raise click.UsageError("give either an id or --endpoint")
    if endpoint is not None and dead is (since is not None):
        raise click.UsageError("--endpoint: give either --dead or --since with it")
    if id_ is not None and (dead or since is not None):
        raise click.UsageError("--dead, --since: only with --endpoint")
    if since is None and (until is not None or after is not None):
        raise click.UsageError("--until, --after: only with --since")
    done = list[str]()
    count = 0

    async def work() -> None:
        nonlocal count
        async with environment.opened() as container:
            async for batch in _batches(
                container,
                id_,
                endpoint,
                since,
                until,
                after=after or 0,
                dry_run=dry_run,
            ):
                count += len(batch)
                done.extend(it.id for it in batch[: _LISTED_MAX - len(done)])

    def tell(*, complete: bool) -> None:
        _tell(done, count, complete=complete, dry_run=dry_run, as_json=as_json)

    with told_if_cut_off(lambda: tell(complete=False) if count else None):
        environment.run(work())
    tell(complete=True)


async def _batches(
    container: Container,
    id_: str | None,
    endpoint: str | None,
    since: datetime | None,
    until: datetime | None,
    *,
    after: int,
    dry_run: bool,
) -> AsyncIterator[Sequence[DeliveryKey]]:
    again, caller = container[ReplayDeliveries], environment.operator()
    if id_ is not None:
        key = DeliveryKey.of_id(id_)
        await again.one(key, dry_run=dry_run, caller=caller)
        yield [key]
        return
    name = endpoint or ""
    if since is None:
        batches = again.dead(name, dry_run=dry_run, caller=caller)
    else:
        filters.not_in_the_future(since, container.clock())
        # Changes that are recorded while this runs are delivered anyway.
        end = until or container.clock()
        if end <= since:
            raise InvalidValue("until", "not after --since")
        batches = again.between(
            name, since, end, after=after, dry_run=dry_run, caller=caller
        )
    async for batch in batches:
        yield batch


def _tell(
    done: Sequence[str], count: int, *, complete: bool, dry_run: bool, as_json: bool
) -> None:
    if as_json:
        shown = {
            "complete": complete,
            "replayed": not dry_run,
            "count": count,
            "deliveries": done,
        }
        click.echo(json.dumps(shown))
        return
    word = "would be" if dry_run else "is"
    for it in done:
        click.echo(f"{it} {word} due at once")
    end = "" if complete else ", then stopped"
    click.echo(f"{count} {'would be ' if dry_run else ''}replayed{end}", err=True)


def _facts(it: Delivery) -> dict[str, object]:
    due_at = moment_text(it.lease.due_at.replace(microsecond=0))
    return {
        "id": it.key.id,
        "webhook_id": it.key.webhook_id,
        "state": "dead" if it.dead else "open",
        "user_id": it.user_id,
        "due_at": None if it.dead else due_at,
        "attempts": it.lease.attempts,
        "reason": it.reason,
    }
