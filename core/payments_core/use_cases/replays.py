"""Apply stored, unapplied events again by hand: one, or all that match.

Rule 1: a job applies the event; requested twice, it is one job. The result is the
        event's state afterwards, as for an event that is delivered again.
Rule 2: an applied event, or one closed by hand, is not applied again. An event of the
        other mode is never applied: it can only be closed.
Rule 3: ignored events are replayed only if asked for by their state or id: by then
        their type may be followed, or their object linked to a user. If not, they are
        ignored again.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.by_hand import ActionByHand, ByHand, ChangeByHand
from payments_core.caller import Caller
from payments_core.decide import event_job
from payments_core.errors import (
    EventApplied,
    EventBodyGone,
    EventClosed,
    EventNotFound,
    EventOfOtherMode,
    InvalidValue,
    Rejected,
)
from payments_core.events import OPEN_STATES, EventKey, EventState, SyncNeeded
from payments_core.facts import DoneByHand, Fact, SourcedFacts
from payments_core.job_key import JobKey
from payments_core.kept_events import KeptEvent
from payments_core.ports import EventLog
from payments_core.use_cases.record_facts import RecordFacts

BY_HAND: Final = "asked for by hand"
# Events per save.
BATCH: Final = 100
REPLAYABLE: Final = (*OPEN_STATES, EventState.IGNORED)


@attrs.frozen
class Replayed:
    """The requested jobs, and the events that were refused one, with the reason."""

    jobs: Sequence[JobKey]
    refused: Sequence[tuple[EventKey, Rejected]] = ()


@attrs.frozen(kw_only=True)
class EventFilter:
    """Which events: of a state (default: open ones), of a type, received since.

    Ignored events are found by reading the log: that needs a `since`.

    Raises:
        InvalidValue: events of the state cannot be applied again, or `since` is
            missing.
    """

    state: EventState | None = None
    type: str | None = None
    since: datetime | None = None

    def __attrs_post_init__(self) -> None:
        if self.state not in {None, *REPLAYABLE}:
            raise InvalidValue("state", "not pending, quarantined or ignored")
        if self.state is EventState.IGNORED and self.since is None:
            raise InvalidValue(
                "since", "missing: there may be millions of ignored events"
            )

    @property
    def states(self) -> Sequence[EventState]:
        return OPEN_STATES if self.state is None else (self.state,)


@attrs.frozen
class ReplayEvents:
    record: RecordFacts
    events: EventLog

    async def one(
        self,
        event_id: str,
        reason: str | None = None,
        *,
        dry_run: bool = False,
        caller: Caller,
    ) -> Replayed:
        """Request that the events with this id are applied again, one for each type.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the reason is invalid.
            EventNotFound: no event with this id is stored.
            EventApplied, EventClosed, EventOfOtherMode, EventBodyGone: none of them can
                be applied again.
        """
        caller.require_admin()
        decided = ByHand.maybe(caller.user_id, reason)
        kept = await self.events.find(event_id)
        if not kept:
            raise EventNotFound(event_id)
        with_bodies = frozenset(it.key for it in kept if it.body is not None)
        replayed = self._sorted(kept, with_bodies)
        if not replayed.jobs:
            raise replayed.refused[0][1]
        if not dry_run:
            await self._ask(kept, replayed, decided)
        return replayed

    async def __call__(
        self,
        wanted: EventFilter,
        *,
        limit: int | None = None,
        reason: str | None = None,
        dry_run: bool = False,
        caller: Caller,
    ) -> AsyncIterator[Replayed]:
        """Request all matching events, one save for each batch; yield each batch.

        Raises:
            ScopeRequired: the caller is no administrator.
            InvalidValue: the reason is invalid.
            StoreUnavailable: what was yielded so far is requested.
        """
        caller.require_admin()
        decided, left = ByHand.maybe(caller.user_id, reason), limit
        for state in wanted.states:
            after = None
            while left is None or left > 0:
                page = await self.events.page(
                    state=state,
                    type_=wanted.type,
                    since=wanted.since,
                    limit=BATCH if left is None else min(left, BATCH),
                    after=after,
                )
                keys = [it.key for it in page.events]
                with_bodies = await self.events.with_bodies(keys)
                replayed = self._sorted(page.events, with_bodies)
                if not dry_run:
                    await self._ask(page.events, replayed, decided)
                yield replayed
                after = page.after
                left = left and left - len(replayed.jobs)
                if after is None:
                    break

    def _sorted(
        self, events: Sequence[KeptEvent], with_bodies: frozenset[EventKey]
    ) -> Replayed:
        jobs = list[JobKey]()
        refused = list[tuple[EventKey, Rejected]]()
        for it in events:
            id_ = it.key.id
            if it.outcome.state is EventState.APPLIED:
                refused.append((it.key, EventApplied(id_)))
            elif it.outcome.state is EventState.CLOSED:
                refused.append((it.key, EventClosed(id_)))
            elif it.livemode is not self.record.policy.livemode:
                refused.append((it.key, EventOfOtherMode(id_)))
            elif it.key not in with_bodies:
                refused.append((it.key, EventBodyGone(id_)))
            else:
                jobs.append(event_job(it.key))
        return Replayed(jobs, tuple(refused))

    async def _ask(
        self, events: Sequence[KeptEvent], replayed: Replayed, decided: ByHand
    ) -> None:
        asked = frozenset(replayed.jobs)
        facts = list[Fact]()
        for it in events:
            if event_job(it.key) in asked:
                facts += replay_of(it, decided)
        if facts:
            await self.record.one(SourcedFacts(facts=tuple(facts)))


def replay_of(event: KeptEvent, decided: ByHand) -> Sequence[Fact]:
    """Return the facts of a person's request to apply an event again."""
    change = ChangeByHand(
        action=ActionByHand.REPLAY_EVENT,
        subject=event.key.id,
        event_type=event.key.type,
        decided=decided,
    )
    return SyncNeeded(event_job(event.key), BY_HAND), DoneByHand(change)
