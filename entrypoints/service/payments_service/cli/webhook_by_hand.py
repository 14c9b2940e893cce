"""What people do with events by hand; each act is in the audit log."""

from datetime import datetime
from typing import Final

import click

from payments_core.events import EventState
from payments_core.use_cases import EventFilter, ReplayEvents
from payments_core.use_cases.replays import REPLAYABLE
from payments_service.cli import environment, filters
from payments_service.cli.batches import Batches

_OPTIONS: Final = "--state, --type, --since"


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


COMMANDS: Final = (replay,)
