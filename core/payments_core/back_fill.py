"""Decide which page of the gateway's event list to read next, also after a crash.

Rule 1: the list is read from the oldest event to the newest, so that reports come in
        their original order: out of order each would cost a fetch.
Rule 2: an event may be listed a little late, at a place that was already read. A place
        is settled if it was `OVERLAP` old when it was read; what is not settled is read
        again by the next pass.
Rule 3: a position is saved after its events are stored. It is a settled place, and
        never beyond an unsettled place or one whose events could not be stored.
Rule 4: without an event to continue from, the oldest events are searched by time: a
        time range is halved until its events fit on a page. A second with more events
        than a page is read whole, from its newest event down.

A pass is pure: it returns what to fetch (`query`), and what follows from a page
(`read`).
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final, Self

import attrs

from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import UNREADABLE, GatewayEvent

# Stripe does not document how late it lists an event. Its deliveries, which need the
# event, begin within seconds; the sweep of objects finds what comes later than this.
OVERLAP: Final = timedelta(minutes=10)
# docs.stripe.com/api/events/list: "events, going back up to 30 days".
KEPT_FOR: Final = timedelta(days=30)
_SECOND: Final = timedelta(seconds=1)


@attrs.frozen(kw_only=True)
class Position:
    """Where the next pass begins: after the event `after`, if it is still listed.

    Every event created before `since`, by the gateway's clock, is known.
    """

    since: datetime
    after: str | None = None

    @classmethod
    def at(cls, moment: datetime) -> Self:
        """Return where to begin to read every event from a time on."""
        return cls(since=(moment - OVERLAP).replace(microsecond=0))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read what `text` returned.

        Raises:
            ValueError, LookupError, TypeError: it is something else.
        """
        fields = json.loads(text)
        since = datetime.fromisoformat(fields["since"]).astimezone(UTC)
        after = fields["after"]
        if not isinstance(after, str | None):
            raise TypeError
        return cls(since=since, after=after)

    @property
    def text(self) -> str:
        fields = {"since": self.since.isoformat(), "after": self.after}
        return json.dumps(fields, sort_keys=True)


@attrs.frozen
class _Onward:
    """Read the events after an event."""

    after: str

    @property
    def query(self) -> EventQuery:
        return EventQuery(after=self.after)


@attrs.frozen
class _Start:
    """Read all events since a time, if they fit on a page."""

    since: datetime

    @property
    def query(self) -> EventQuery:
        return EventQuery(since=self.since)


@attrs.frozen(kw_only=True)
class _Search:
    """Search the oldest events since a time, among those before `until`.

    As far as is known, there are events before `top`; the search began at `begun_at`.
    """

    since: datetime
    until: datetime
    top: datetime
    begun_at: datetime

    @property
    def query(self) -> EventQuery:
        return EventQuery(since=self.since, until=self.until)


def _halved(since: datetime, top: datetime, begun_at: datetime) -> _Start | _Search:
    """Search the first half of the time range that has events."""
    if top <= since:
        # The events left the list meanwhile.
        return _Start(since)
    until = since + max((top - since) // _SECOND // 2, 1) * _SECOND
    return _Search(since=since, until=until, top=top, begun_at=begun_at)


@attrs.frozen(kw_only=True)
class _Second:
    """Read a second backwards, before an event; `newest` is its newest event.

    `begun_at` is when the search began.
    """

    second: datetime
    before: str
    newest: str
    begun_at: datetime

    @property
    def query(self) -> EventQuery:
        until = self.second + _SECOND
        return EventQuery(before=self.before, since=self.second, until=until)


@attrs.frozen(kw_only=True)
class BackFillPass:
    """One pass over the list, from a position towards its newer end.

    `position` is what may be saved now, `reached_at` the time up to which everything
    was read. `lost` is a time range whose events are no longer listed. `is_over`: the
    end is reached. `is_held`: some events were not stored, so the next pass begins with
    them.
    """

    position: Position
    reached_at: datetime
    lost: tuple[datetime, datetime] | None = None
    is_over: bool = False
    is_held: bool = False
    _place: _Onward | _Start | _Search | _Second
    # An unsettled place was read: later events may be stored, but not their position.
    _is_unsettled: bool = False

    @classmethod
    def begun(cls, position: Position, reached_at: datetime | None = None) -> Self:
        return cls(
            position=position,
            reached_at=reached_at or position.since,
            place=_Onward(position.after) if position.after else _Start(position.since),
        )

    @property
    def query(self) -> EventQuery:
        return self._place.query

    @property
    def may_pause(self) -> bool:
        """Whether the next pass can continue from here: not during a search."""
        return isinstance(self._place, _Onward)

    @property
    def goes_on(self) -> bool:
        """Whether there is more to read now that no pass has read before."""
        return not (self.is_over or self.is_held or self._is_unsettled)

    def searching(self) -> Self:
        """Continue by time, because the event to continue from is no longer listed."""
        position = attrs.evolve(self.position, after=None)
        return attrs.evolve(self, position=position, place=_Start(position.since))

    def held(self, after: Self) -> Self:
        """Return the pass that follows if the page's events could not be stored."""
        return attrs.evolve(
            after, position=self.position, reached_at=self.reached_at, is_held=True
        )

    def read(self, page: ListedEvents) -> tuple[Sequence[GatewayEvent], Self]:
        """Return which events of the page to store, and the pass after it."""
        named = [it for it in page.events if it.type != UNREADABLE]
        if page.has_more and (not named or self._stands_still(named)):
            # Our made-up id is not a place in the gateway's list; or the list does not
            # advance.
            return page.events, attrs.evolve(self, is_over=True, is_held=True)
        match self._place:
            case _Onward():
                return page.events, self._read_on(page, named, page.at)
            case _Start(since):
                return self._started(since, page, named)
            case _Search() as search:
                return self._searched(search, page, named)
            case _Second() as second:
                return page.events, self._read_second(second, page, named)

    def _stands_still(self, named: Sequence[GatewayEvent]) -> bool:
        """Say whether the next query would be the same again."""
        match self._place:
            case _Onward(after):
                return named[-1].id == after
            case _Second(before=before):
                return named[0].id == before
            case _:
                return False

    def _read_on(
        self, page: ListedEvents, named: Sequence[GatewayEvent], begun_at: datetime
    ) -> Self:
        """Continue after a page that has the next events, or all up to the end."""
        if page.has_more:
            after = self._advanced(named[-1].created_at, named, begun_at)
            return attrs.evolve(after, place=_Onward(named[-1].id))
        return attrs.evolve(self._advanced(page.at, named, begun_at), is_over=True)

    def _advanced(
        self, read_to: datetime, named: Sequence[GatewayEvent], begun_at: datetime
    ) -> Self:
        """Record how far everything was read, since `begun_at`."""
        if self.is_held:
            return self
        after = attrs.evolve(self, reached_at=max(self.reached_at, read_to))
        if self._is_unsettled:
            return after
        settled = begun_at - OVERLAP
        old = list(takewhile(lambda it: it.created_at <= settled, named))
        position = Position(
            since=min(read_to, settled),
            after=old[-1].id if old else self.position.after,
        )
        return attrs.evolve(after, position=position, is_unsettled=read_to > settled)

    def _started(
        self, since: datetime, page: ListedEvents, named: Sequence[GatewayEvent]
    ) -> tuple[Sequence[GatewayEvent], Self]:
        listed_since = (page.at - KEPT_FOR).replace(microsecond=0)
        lost = (since, listed_since) if since < listed_since else self.lost
        if not page.has_more:
            after = self._read_on(page, named, page.at)
            return page.events, attrs.evolve(after, lost=lost)
        top = min(it.created_at for it in page.events) + _SECOND
        place = _halved(max(since, listed_since), top, page.at)
        return (), attrs.evolve(self, lost=lost, place=place)

    def _searched(
        self, search: _Search, page: ListedEvents, named: Sequence[GatewayEvent]
    ) -> tuple[Sequence[GatewayEvent], Self]:
        since, until, begun_at = search.since, search.until, search.begun_at
        if not page.has_more and named:
            # The oldest events, complete up to `until`.
            part = attrs.evolve(page, has_more=True)
            return page.events, self._read_on(part, named, begun_at)
        if not page.has_more:
            place = _halved(until, search.top, begun_at)
            return page.events, attrs.evolve(self, place=place)
        if until - since > _SECOND:
            return (), attrs.evolve(self, place=_halved(since, until, begun_at))
        second = _Second(
            second=since, before=named[0].id, newest=named[-1].id, begun_at=begun_at
        )
        return page.events, attrs.evolve(self, place=second)

    def _read_second(
        self, second: _Second, page: ListedEvents, named: Sequence[GatewayEvent]
    ) -> Self:
        if page.has_more:
            return attrs.evolve(self, place=attrs.evolve(second, before=named[0].id))
        after = self._advanced(second.second, (), second.begun_at)
        position = after.position
        if after.goes_on:
            position = attrs.evolve(position, after=second.newest)
        return attrs.evolve(after, position=position, place=_Onward(second.newest))
