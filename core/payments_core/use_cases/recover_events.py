"""Recover events that the gateway could not deliver, on request.

Rule 1: the list is read as by back-fill (`payments_core.back_fill`), the oldest events
        first; a page is recorded before the next is fetched. A second run fetches the
        pages again, but records nothing twice.
Rule 2: an event that was never received is recorded with who requested it and why. A
        stored event that is still open is applied again by a job. The rest is
        unchanged.
Rule 3: events of a type that we do not follow are not stored, as in back-fill.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import attrs

from payments_core.back_fill import KEPT_FOR, BackFillPass, Position
from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.caller import Caller
from payments_core.errors import (
    GatewayObjectMissing,
    GatewayOutcomeUnknown,
    InvalidValue,
)
from payments_core.event_list import ListedEvents
from payments_core.events import OPEN_STATES, EventKey, EventState, GatewayEvent
from payments_core.facts import DoneByHand, SourcedFacts, facts_of
from payments_core.kept_events import KeptEvent
from payments_core.ports import EventLog, PaymentGateway
from payments_core.use_cases.back_fill_events import PAGE_EVENTS, recorded_by_group
from payments_core.use_cases.patience import OnWait, Patience, Sleep, untold
from payments_core.use_cases.record_facts import Recorded, RecordFacts
from payments_core.use_cases.replays import replay_of


@attrs.frozen(kw_only=True)
class RecoveredPage:
    """The result of one page of undelivered events.

    `recorded` are events that were never received, with their state; None: it would be
    recorded. `again` were stored and are open: they are applied again. `known` and
    `unfollowed` are counts. `failed` could not be recorded now.
    """

    recorded: Sequence[tuple[EventKey, EventState | None]] = ()
    again: Sequence[EventKey] = ()
    known: int = 0
    unfollowed: int = 0
    failed: Sequence[EventKey] = ()
    read_to: datetime | None = None


@attrs.frozen
class RecoverEvents:
    gateway: PaymentGateway
    events: EventLog
    record: RecordFacts
    sleep: Sleep = asyncio.sleep
    on_wait: OnWait = untold

    async def __call__(
        self,
        since: datetime,
        *,
        reason: str | None = None,
        dry_run: bool = False,
        caller: Caller,
    ) -> AsyncIterator[RecoveredPage]:
        """Record what was not delivered since then; yield the result of each page.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: `since` is in the future, or older than the gateway's list; or
                the reason is invalid.
            GatewayUnavailable: several calls in a row failed.
            StoreUnavailable: what was yielded is recorded.
        """
        caller.require_admin()
        decided = ByHand.maybe(caller.user_id, reason)
        now = self.record.clock()
        if since > now:
            raise InvalidValue("since", "in the future")
        if since < (first := now - KEPT_FOR):
            raise InvalidValue(
                "since",
                f"not before {first:%Y-%m-%dT%H:%M:%SZ}: events are listed for "
                f"{KEPT_FOR.days} days; `payments reconcile` finds what is older",
            )
        reading = BackFillPass.begun(Position(since=since.replace(microsecond=0)))
        while not reading.is_over:
            reading, page = await self._page(reading)
            events, reading = reading.read(page)
            if reading.is_held:
                raise GatewayOutcomeUnknown("a page of events that cannot be read")
            found = await self._found(events, decided, dry_run=dry_run)
            yield attrs.evolve(found, read_to=reading.reached_at)

    async def _page(self, reading: BackFillPass) -> tuple[BackFillPass, ListedEvents]:
        try:
            return reading, await self._asked(reading)
        except GatewayObjectMissing:
            # Events leave the list: the last one read did.
            reading = reading.searching()
            return reading, await self._asked(reading)

    async def _asked(self, reading: BackFillPass) -> ListedEvents:
        query = attrs.evolve(reading.query, undelivered=True, limit=PAGE_EVENTS)
        return await Patience(self.sleep, self.on_wait)(
            lambda: self.gateway.events(query)
        )

    async def _found(
        self, page: Sequence[GatewayEvent], decided: ByHand, *, dry_run: bool
    ) -> RecoveredPage:
        followed = [it for it in page if it.report is not None]
        ids = await self.events.known(frozenset(it.id for it in followed))
        new = [it for it in followed if it.id not in ids]
        open_ = [it for id_ in sorted(ids) for it in await self._open(id_)]
        found = RecoveredPage(
            again=[it.key for it in open_],
            known=len(followed) - len(new) - len({it.key.id for it in open_}),
            unfollowed=len(page) - len(followed),
        )
        if dry_run:
            return attrs.evolve(found, recorded=[(it.key, None) for it in new])
        if open_:
            facts = [fact for it in open_ for fact in replay_of(it, decided)]
            await self.record.one(SourcedFacts(facts=tuple(facts)))
        recorded = await recorded_by_group(
            self.record, [_recovered(it, decided) for it in new]
        )
        kept = list(zip(new, recorded, strict=True))
        for event, one in kept:
            if one.failure is not None:
                self.record.on_bug(event.id, one.failure)
        return attrs.evolve(
            found,
            recorded=[(it.key, _state(one)) for it, one in kept if one.is_kept],
            failed=[it.key for it, one in kept if not one.is_kept],
        )

    async def _open(self, event_id: str) -> Sequence[KeptEvent]:
        kept = await self.events.find(event_id)
        return [
            it for it in kept if it.outcome.state in OPEN_STATES and it.body is not None
        ]


def _recovered(event: GatewayEvent, decided: ByHand) -> SourcedFacts:
    """Return the event's facts, and who requested the recovery."""
    source = facts_of(event)
    change = ChangeByHand(
        action=ActionByHand.RECOVER_EVENT,
        subject=event.id,
        event_type=event.type,
        decided=decided,
    )
    return attrs.evolve(source, facts=(DoneByHand(change), *source.facts))


def _state(recorded: Recorded) -> EventState | None:
    """Return the state of an event; None if it came as a webhook meanwhile."""
    return recorded.outcome.state if recorded.outcome else None
