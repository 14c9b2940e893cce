"""What people do with events by hand; each action is in the audit log."""

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs
import click

from payments_core.by_hand import ByHand
from payments_core.errors import PaymentNotFound, SubscriptionNotFound
from payments_core.events import EventKey, EventState
from payments_core.identity import UserId
from payments_core.job_key import JobKey, JobKind
from payments_core.kept_events import KeptEvent
from payments_core.payment import PaymentId
from payments_core.use_cases import (
    CloseEvent,
    EventFilter,
    FindUnappliedEvents,
    LinkEvent,
    LinkPayment,
    LinkSubscription,
    RecoveredPage,
    RecoverEvents,
    ReplayEvents,
)
from payments_core.use_cases.replays import REPLAYABLE
from payments_service.cli import environment, filters
from payments_service.cli.batches import LISTED_MAX, Batches
from payments_service.cli.exit_codes import CommandError, Exit
from payments_service.cli.progress import SAID_EVERY_S, say_wait, told_if_cut_off
from payments_service.presentation.moments import moment_text

_OPTIONS: Final = "--state, --type, --since"
_OF_TYPE: Final = click.option(
    "--type", "type_", help="The event's type, if several events have this id."
)


@click.command()
@click.argument("event_id", required=False, help="The event's id (evt_…).")
@click.option(
    "--state",
    type=click.Choice([filters.OPEN, *(it.value for it in REPLAYABLE)]),
    help="Only those in this state. `open`, the default, means pending or quarantined; "
    "`ignored` needs --since.",
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
    """Apply an event again, or all events that match the filters.

    Only stored events that were not applied: pending, quarantined or ignored ones.

    The worker applies them: `payments jobs show` prints the result. Requesting a replay
    twice is harmless. Events are requested in batches of a hundred; a saved batch stays
    requested, however the command ends.
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
                state=None if state in {None, filters.OPEN} else EventState(state),
                type=type_,
                since=since,
            )
            async for batch in replays(
                wanted, limit=limit, reason=reason, dry_run=dry_run, caller=caller
            ):
                asked.add(batch.jobs, batch.refused)

    asked.told_of(lambda: environment.run(work()), as_json=as_json)


@click.command()
@click.argument("event_id", help="The event's id (evt_…).")
@click.option("--user", required=True, help="The owner: id or e-mail.")
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
    """Link the payment or subscription of an event to a user.

    From then on nothing else changes its owner; `payments payment unlink` and `payments
    subscription unlink` undo it. The event is applied again, and so are quarantined
    events about the same object.
    """

    async def work() -> tuple[UserId, Sequence[JobKey]]:
        caller = environment.operator()
        ByHand.of(caller.user_id, reason)
        async with environment.opened() as container:
            owner = await environment.named(container, user)
            linking = container[LinkEvent]
            try:
                if not dry_run:
                    done = await linking(event_id, owner, reason, type_, caller=caller)
                    return owner, done
                _, things = await linking.things(event_id, type_, caller=caller)
                for it in things:
                    if it.kind is JobKind.PAYMENT:
                        check = container[LinkPayment].check
                        await check(PaymentId(it.subject), owner, caller=caller)
                    else:
                        sold = container[LinkSubscription].check
                        await sold(it.subject, owner, caller=caller)
            except (PaymentNotFound, SubscriptionNotFound) as error:
                is_payment = isinstance(error, PaymentNotFound)
                what = "payment" if is_payment else "subscription"
                raise CommandError(
                    Exit.NOT_FOUND,
                    f"Stripe has no such {what} as event {event_id} is about: "
                    f"`payments webhook close {event_id}` closes the event",
                ) from error
            return owner, things

    owner, things = environment.run(work())
    linked = [it.id for it in things]
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
    """Close an event that was not applied: it is never applied.

    The event stays stored, and no longer counts as open. What is known about its object
    does not change: `payments reconcile` reports what differs from Stripe.
    """

    async def work() -> Sequence[KeptEvent]:
        caller = environment.operator()
        async with environment.opened() as container:
            if dry_run:
                find = container[FindUnappliedEvents]
                return await find(event_id, type_, caller=caller)
            return await container[CloseEvent](event_id, reason, type_, caller=caller)

    closed = [it.key for it in environment.run(work())]
    if as_json:
        shown = [{"id": it.id, "type": it.type} for it in closed]
        click.echo(json.dumps({"closed": shown, "done": not dry_run}))
        return
    for it in closed:
        click.echo(f"{it.id} ({it.type}) {'would be' if dry_run else 'is'} closed")


@attrs.define
class _Recovery:
    """The events that were recovered so far."""

    dry_run: bool
    complete: bool = False
    known: int = 0
    unfollowed: int = 0
    count: int = 0
    again: int = 0
    failed: list[str] = attrs.field(factory=list)
    events: list[dict[str, str | None]] = attrs.field(factory=list)
    _said: float = attrs.field(factory=time.monotonic)

    def add(self, page: RecoveredPage) -> None:
        self.known += page.known
        self.unfollowed += page.unfollowed
        self.count += len(page.recorded)
        self.again += len(page.again)
        self.failed += [it.id for it in page.failed]
        found: list[tuple[EventKey, str | None]] = [
            *((key, state and state.value) for key, state in page.recorded),
            *((key, "replayed") for key in page.again),
        ]
        self.events += [
            {"id": key.id, "type": key.type, "outcome": outcome}
            for key, outcome in found[: LISTED_MAX - len(self.events)]
        ]
        now = time.monotonic()
        if page.read_to is not None and now - self._said >= SAID_EVERY_S:
            self._said = now
            click.echo(f"up to {moment_text(page.read_to)}: {self._summary}", err=True)

    @property
    def _summary(self) -> str:
        recorded, again = "recorded", "applied again"
        if self.dry_run:
            recorded, again = f"would be {recorded}", f"would be {again}"
        return (
            f"{self.count} {recorded}, {self.again} {again}, {self.known} known, "
            f"{self.unfollowed} of types that are not followed"
        )

    def tell(self, *, as_json: bool) -> None:
        if as_json:
            shown = {
                "complete": self.complete,
                "done": not self.dry_run,
                "recorded": self.count,
                "replayed": self.again,
                "known": self.known,
                "unfollowed": self.unfollowed,
                "failed": self.failed,
                "events": self.events,
            }
            click.echo(json.dumps(shown))
            return
        for it in self.events:
            became = it["outcome"] or ("would be recorded" if self.dry_run else "known")
            click.echo(f"{it['id']} ({it['type']}): {became}")
        click.echo(self._summary, err=True)


@click.command()
@click.option(
    "--since",
    type=filters.MOMENT,
    required=True,
    metavar="WHEN",
    help="Events created since this day or time (ISO 8601, UTC), at most 30 days ago.",
)
@filters.REASON_MAYBE
@filters.DRY_RUN
@filters.JSON
def recover(
    *, since: datetime, reason: str | None, dry_run: bool, as_json: bool
) -> None:
    """Record events that Stripe could not deliver.

    Events that arrived and are still open are applied again. Stripe may still deliver
    the recorded events, which changes nothing. The command can be run again: nothing is
    recorded twice.
    """
    recovery = _Recovery(dry_run)

    async def work() -> None:
        async with environment.opened() as container:
            recover = attrs.evolve(container[RecoverEvents], on_wait=say_wait)
            async for page in recover(
                since, reason=reason, dry_run=dry_run, caller=environment.operator()
            ):
                recovery.add(page)

    def tell() -> None:
        if recovery.count or recovery.again:
            recovery.tell(as_json=as_json)

    with told_if_cut_off(tell):
        environment.run(work())
    recovery.complete = not recovery.failed
    recovery.tell(as_json=as_json)
    if recovery.failed:
        raise CommandError(
            Exit.DEPENDENCY_DOWN,
            f"{len(recovery.failed)} could not be recorded now: run it again",
        )


COMMANDS: Final = (replay, recover, link, close)
