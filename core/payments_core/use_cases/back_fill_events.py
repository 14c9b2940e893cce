"""Back-fill: read the gateway's list of events, and record those never received.

Rule 1: a turn reads a bounded number of pages from where the last turn ended
        (`payments_core.back_fill`). The position is saved after a page's events are
        stored.
Rule 2: one process at a time: the turn is claimed, and a process that lost its claim
        stops. If two run at once, the events of the second are duplicates.
Rule 3: a stored event is not recorded again, whatever its state: otherwise each turn
        would request its job again.
Rule 4: events of a type that we do not follow are not stored: the list has all of the
        gateway's events, also those that our webhook endpoints are not subscribed to.
Rule 5: an event that cannot be stored now holds back the position, not the reading.
Rule 6: if the gateway is busy, does not answer or refuses our key, that is reported,
        and the call is retried with back-off and for fewer events, as the answer may
        have been too long.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import attrs

from payments_core.back_fill import BackFillPass, Position
from payments_core.checkpoints import LEASE, LoopCheckpoint
from payments_core.errors import (
    AccountBusy,
    GatewayObjectMissing,
    GatewayRefused,
    GatewayUnavailable,
    PaymentsError,
)
from payments_core.event_list import ListedEvents
from payments_core.events import GatewayEvent
from payments_core.facts import SourcedFacts, facts_of
from payments_core.lease import BackOff, Lease
from payments_core.ports import (
    Checkpoints,
    Clock,
    EventLog,
    PaymentGateway,
    SystemClock,
)
from payments_core.use_cases.record_facts import Recorded, RecordFacts

EVENT_BACK_FILL: Final = "events"
EVERY: Final = timedelta(minutes=1)
PAGES_MAX: Final = 20
# While an event cannot be stored, the turn reads on: no other event must wait.
HELD_PAGES_MAX: Final = 200
# Half of Stripe's maximum: a long answer is refused, and events have up to 20 kB.
PAGE_EVENTS: Final = 50
BACK_OFF: Final = BackOff(timedelta(seconds=15), timedelta(minutes=15))
PAGE_EVENTS_MIN: Final = 10
# If a page cannot be stored at once, how many groups may then fail alone.
GROUPS_FAILED_MAX: Final = 2
# The event is already stored, from any source.
DUPLICATE: Final = "duplicate"


class BackFillListener:
    """Receives what a turn found; this class ignores it."""

    def found(self, outcome: str, count: int) -> None:
        """Receive how many events have an outcome: a state, or `DUPLICATE`."""

    def set_aside(self, event: GatewayEvent, error: Exception) -> None:
        """Receive an event that is stored but not applied, because of a bug."""

    def failed(self, error: Exception) -> None:
        """Receive why a turn ended early, or that its position cannot be read."""

    def lost(self, since: datetime, until: datetime) -> None:
        """Receive a time range whose events are no longer listed."""


@attrs.frozen
class BackFillEvents:
    gateway: PaymentGateway
    checkpoints: Checkpoints
    events: EventLog
    record: RecordFacts
    clock: Clock
    system_clock: SystemClock
    every: timedelta = EVERY
    listener: BackFillListener = attrs.Factory(BackFillListener)

    async def __call__(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Take a turn, if one is due; say whether another is due at once.

        It stops between pages if `stopping` returns True.

        Raises:
            StoreUnavailable: the next turn continues from the last stored page.
        """
        now = self.system_clock()
        kept = await self.checkpoints.claim(EVENT_BACK_FILL, now=now, lease=LEASE)
        if kept is None:
            return False
        position = await self._position(kept)
        turn = _Turn(self, kept, BackFillPass.begun(position, kept.reached_at))
        return await turn.to_its_end(stopping)

    async def _position(self, kept: LoopCheckpoint) -> Position:
        """Return the position to continue from; an unreadable one is derived again."""
        if kept.position is not None:
            try:
                return Position.of_text(kept.position)
            except (ValueError, LookupError, TypeError) as error:
                # Another release wrote it: all events until `reached_at` were read.
                self.listener.failed(error)
        if kept.position is None or kept.reached_at is None:
            return await self._beginning()
        return Position.at(kept.reached_at)

    async def _beginning(self) -> Position:
        """Return where the very first turn begins: at the latest event received.

        Whether older events are missing is not known; the sweep compares the objects.
        """
        latest = (await self.events.page(limit=1)).events
        now = self.clock()
        return Position.at(min([now, *(it.created_at for it in latest)]))

    async def keep(self, page: Sequence[GatewayEvent]) -> bool:
        """Record the new events of a page; say whether all are stored."""
        followed = [it for it in page if it.report is not None]
        known = await self.events.known(frozenset(it.id for it in followed))
        new = [it for it in followed if it.id not in known]
        recorded = await recorded_by_group(self.record, [facts_of(it) for it in new])
        self._tell(new, recorded, len(followed) - len(new))
        return all(it.is_kept for it in recorded)

    def _tell(
        self, new: Sequence[GatewayEvent], recorded: Sequence[Recorded], known: int
    ) -> None:
        counts = Counter({DUPLICATE: known})
        for event, one in zip(new, recorded, strict=True):
            if one.is_kept:
                counts[one.outcome.state if one.outcome else DUPLICATE] += 1
                if one.failure is not None:
                    self.listener.set_aside(event, one.failure)
        for outcome, count in counts.items():
            if count:
                self.listener.found(outcome, count)


async def recorded_by_group(
    record: RecordFacts, sources: Sequence[SourcedFacts]
) -> Sequence[Recorded]:
    """Record all at once, then each group that was not stored by itself.

    Raises:
        StoreUnavailable: the outcome is unknown; record the same again.
    """
    if not sources:
        return ()
    recorded = dict(enumerate(await record(sources)))
    failed = 0
    for numbers in _groups_left(recorded):
        if failed == GROUPS_FAILED_MAX:
            break
        again = await record([sources[it] for it in numbers])
        recorded.update(zip(numbers, again, strict=True))
        failed += not all(it.is_kept for it in again)
    return list(recorded.values())


def _groups_left(recorded: Mapping[int, Recorded]) -> Sequence[Sequence[int]]:
    """Return the numbers of what is not stored, by group."""
    groups = dict[object, list[int]]()
    for number, one in recorded.items():
        if not one.is_kept:
            groups.setdefault(one.group or number, []).append(number)
    return list(groups.values())


@attrs.define
class _Turn:
    """One turn in progress."""

    it: BackFillEvents
    kept: LoopCheckpoint
    reading: BackFillPass
    _pages: int = attrs.field(init=False, default=0)

    async def to_its_end(self, stopping: Callable[[], bool]) -> bool:
        try:
            while not stopping():
                await self._read_page()
                most = HELD_PAGES_MAX if self.reading.is_held else PAGES_MAX
                is_enough = self._pages >= most and self.reading.may_pause
                if self.reading.is_over or is_enough:
                    break
                now = self.it.system_clock()
                if not await self._saved(self.kept.lease.extended(now, LEASE)):
                    # Another process continues from the last save.
                    return False
        except (GatewayUnavailable, GatewayRefused, GatewayObjectMissing) as error:
            return await self._failed(error)
        if self.reading.is_held:
            # The gateway answers, so its pages need not be shorter.
            self.it.listener.failed(AccountBusy())
            due_at = self.it.system_clock() + BACK_OFF.first
            await self._saved(self.kept.lease.released(due_at))
            return False
        goes_on = self.reading.goes_on
        now = self.it.system_clock()
        due_at = now if goes_on else now + self.it.every
        lease = attrs.evolve(self.kept.lease.released(due_at), attempts=0)
        return await self._saved(lease) and goes_on

    async def _read_page(self) -> None:
        before = self.reading
        page = await self._page()
        events, after = self.reading.read(page)
        if after.lost is not None and after.lost != before.lost:
            self.it.listener.lost(*after.lost)
        is_kept = await self.it.keep(events)
        self.reading = after if is_kept else self.reading.held(after)
        self._pages += 1

    async def _page(self) -> ListedEvents:
        limit = max(PAGE_EVENTS >> self.kept.lease.attempts, PAGE_EVENTS_MIN)
        query = attrs.evolve(self.reading.query, limit=limit)
        try:
            return await self.it.gateway.events(query)
        except GatewayObjectMissing:
            # Events leave the list: the last one read did.
            self.reading = self.reading.searching()
        query = attrs.evolve(self.reading.query, limit=limit)
        return await self.it.gateway.events(query)

    async def _failed(self, error: PaymentsError) -> bool:
        self.it.listener.failed(error)
        now = self.it.system_clock()
        await self._saved(self.kept.lease.failed(now, BACK_OFF))
        return False

    async def _saved(self, lease: Lease) -> bool:
        """Save the position; say whether the claim still holds."""
        self.kept = attrs.evolve(
            self.kept,
            position=self.reading.position.text,
            reached_at=self.reading.reached_at,
            lease=lease,
        )
        return await self.it.checkpoints.save(self.kept)
