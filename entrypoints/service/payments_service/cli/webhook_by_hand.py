"""What people do with events by hand; each act is in the audit log."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import click

from payments_core.events import EventState
from payments_core.identity import user_id
from payments_core.job import JobKey
from payments_core.kept_events import KeptEvent
from payments_core.use_cases import (
    CloseEvent,
    EventFilter,
    FindOpenEvents,
    GetAuthorizedAccount,
    LinkEvent,
    ReplayEvents,
)
from payments_core.use_cases.replays import REPLAYABLE
from payments_service.cli import environment, filters
from payments_service.cli.batches import Batches

_OPTIONS: Final = "--state, --type, --since"
_OF_TYPE: Final = click.option(
    "--type", "type_", help="Of several events of this id the one of this type."
)


@click.command()
@click.argument("event_id", required=False, help="The event's id (evt_…).")
@click.option(
    "--state",
    type=click.Choice([it.value for it in REPLAYABLE]),
    help="Only those in this state; by default those that are pending or quarantined. "
    "Of ignored ones --since has to say how far back.",
)
@filters.TYPE
@filters.since("received")
@filters.BATCH_LIMIT
@filters.REASON_MAYBE
@filters.DRY_RUN
@filters.JSON
def replay(  # each an option, by name
    *,
    event_id: str | None,
    state: str | None,
    type_: str | None,
    since: datetime | None,
    limit: int | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Apply an event again, or all that are such.

    What was kept and not applied, that is: pending, quarantined or ignored.

    The worker does it: `payments jobs show` says how it went. To ask for it twice is
    harmless. Many are asked for a hundred with each save; what was asked for stays so,
    however the command ends.
    """
    filters.one_or_many(event_id, state, type_, since, names=_OPTIONS)
    asked = Batches(dry_run)

    async def work() -> None:
        caller = environment.operator()
        async with environment.opened() as container:
            replays = container[ReplayEvents]
            if event_id is not None:
                one = await replays.one(
                    event_id, reason, dry_run=dry_run, caller=caller
                )
                asked.add(one.jobs, one.refused)
                return
            filters.not_in_the_future(since, container.clock())
            wanted = EventFilter(
                state=EventState(state) if state else None, type=type_, since=since
            )
            async for batch in replays(
                wanted, limit=limit, reason=reason, dry_run=dry_run, caller=caller
            ):
                asked.add(batch.jobs, batch.refused)

    asked.told_of(lambda: environment.run(work()), as_json=as_json)


@click.command()
@click.argument("event_id", help="The event's id (evt_…).")
@click.argument("user", help="The id of the user whose it is.")
@_OF_TYPE
@filters.REASON
@filters.DRY_RUN
@filters.JSON
def link(  # each an option, by name
    *,
    event_id: str,
    user: str,
    type_: str | None,
    reason: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Say whose the payment or subscription of an event is.

    Nothing else decides that any more; `payments payment unlink` and `payments
    subscription unlink` take it back. The event is applied again, and so is what was
    kept apart about the same thing.
    """
    owner = user_id(user)

    async def work() -> Sequence[JobKey]:
        caller = environment.operator()
        async with environment.opened() as container:
            linking = container[LinkEvent]
            if dry_run:
                await container[GetAuthorizedAccount](owner, caller=caller)
                return (await linking.things(event_id, type_, caller=caller))[1]
            return await linking(event_id, owner, reason, type_, caller=caller)

    linked = [it.id for it in environment.run(work())]
    if as_json:
        click.echo(
            json.dumps({"linked": linked, "user_id": owner, "done": not dry_run})
        )
        return
    for it in linked:
        click.echo(f"{it} {'would be' if dry_run else 'is'} linked to {owner}")


@click.command()
@click.argument("event_id", help="The event's id (evt_…).")
@_OF_TYPE
@filters.REASON
@filters.DRY_RUN
@filters.JSON
def close(
    *, event_id: str, type_: str | None, reason: str, dry_run: bool, as_json: bool
) -> None:
    """Let nothing follow of an event that was not applied, now or later.

    It is kept, and counts as open no longer. What it is about stays as it is known
    here: `payments reconcile` says what of that differs from Stripe.
    """

    async def work() -> Sequence[KeptEvent]:
        caller = environment.operator()
        async with environment.opened() as container:
            if dry_run:
                find = container[FindOpenEvents]
                return await find(event_id, type_, caller=caller)
            return await container[CloseEvent](event_id, reason, type_, caller=caller)

    closed = [it.key for it in environment.run(work())]
    if as_json:
        shown = [{"id": it.id, "type": it.type} for it in closed]
        click.echo(json.dumps({"closed": shown, "done": not dry_run}))
        return
    for it in closed:
        click.echo(f"{it.id} ({it.type}) {'would be' if dry_run else 'is'} closed")


COMMANDS: Final = (replay, link, close)
