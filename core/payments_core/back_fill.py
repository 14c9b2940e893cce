"""Which events of the gateway's list to read next, and from where after a crash.

Rule 1: the list is read from the older end to the newer one, so that reports come in
        the order in which they were made: out of order each would cost a fetch.
Rule 2: an event may be listed a little late, at a place that was read already. A place
        is settled if it was `OVERLAP` old when it was read; what is not settled is read
        again by the next pass.
Rule 3: a position is kept once its events are. It is a settled place, and never lies
        beyond one that is not, or whose events could not be kept.
Rule 4: without an event to go on from, the oldest ones are searched by time: a part
        of the time is halved until what it has fits on a page. A second that has more
        than that is read to its end, downwards.

A pass is pure: it says what to ask for (`query`), and what follows from the page that
came (`read`).
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final, Self

import attrs

from payments_core.event_list import EventQuery, ListedEvents
from payments_core.events import UNREADABLE, GatewayEvent

# Stripe does not say how late it lists an event. Its deliveries, which need the event,
# begin within seconds; what comes later than this is for the sweep of objects.
OVERLAP: Final = timedelta(minutes=10)
# docs.stripe.com/api/events/list: "events, going back up to 30 days".
KEPT_FOR: Final = timedelta(days=30)
_SECOND: Final = timedelta(seconds=1)


@attrs.frozen(kw_only=True)
class Position:
    """Where the next pass begins: after the event `after`, if it is listed still.

    Every event that was created before `since` is known, by the gateway's clock.
    """

    since: datetime
    after: str | None = None

    @classmethod
    def at(cls, moment: datetime) -> Self:
        """Return where to begin to know everything from a moment on."""
        return cls(since=(moment - OVERLAP).replace(microsecond=0))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read what `text` returned.

        Raises:
            ValueError, LookupError, TypeError: it is none of that.
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
    """Read the events after one."""

    after: str

    @property
    def query(self) -> EventQuery:
        return EventQuery(after=self.after)


@attrs.frozen
class _Start:
    """Read all since a moment, if that fits on a page."""

    since: datetime

    @property
    def query(self) -> EventQuery:
        return EventQuery(since=self.since)


@attrs.frozen(kw_only=True)
class _Search:
    """Look for the oldest events since a moment, among those before `until`.

    There are some before `top`, as far as is known; the search began at `begun_at`.
    """

    since: datetime
    until: datetime
    top: datetime
    begun_at: datetime

    @property
    def query(self) -> EventQuery:
        return EventQuery(since=self.since, until=self.until)


def _halved(since: datetime, top: datetime, begun_at: datetime) -> _Start | _Search:
    """Search the first half of the time in which there are some events."""
    if top <= since:
        # They left the list meanwhile.
        return _Start(since)
    until = since + max((top - since) // _SECOND // 2, 1) * _SECOND
    return _Search(since=since, until=until, top=top, begun_at=begun_at)


@attrs.frozen(kw_only=True)
class _Second:
    """Read a second downwards: before an event; `newest` is the newest one of it.

    `begun_at` is when the search began that led here.
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

    `position` is what may be kept by now, `reached_at` the time up to which everything
    was read. `lost` is a time whose events are not listed any more. `is_over`: the end
    is reached. `is_held`: some events were not kept, so the next pass begins with them.
    """

    position: Position
    reached_at: datetime
    lost: tuple[datetime, datetime] | None = None
    is_over: bool = False
    is_held: bool = False
    _place: _Onward | _Start | _Search | _Second
    # A place was read that is not settled: what follows it may be kept, not its place.
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
        """Whether the next pass goes on from here: not while the place is searched."""
        return isinstance(self._place, _Onward)

    @property
    def goes_on(self) -> bool:
        """Whether there is more to read at once, that no pass has read before."""
        return not (self.is_over or self.is_held or self._is_unsettled)

    def searching(self) -> Self:
        """Go on by time: the event to go on from is not listed any more."""
        position = attrs.evolve(self.position, after=None)
        return attrs.evolve(self, position=position, place=_Start(position.since))

    def held(self, after: Self) -> Self:
        """Return what follows if the events of the page could not be kept."""
        return attrs.evolve(
            after, position=self.position, reached_at=self.reached_at, is_held=True
        )

    def read(self, page: ListedEvents) -> tuple[Sequence[GatewayEvent], Self]:
        """Return which events of the page to keep, and the pass after it."""
        named = [it for it in page.events if it.type != UNREADABLE]
        if page.has_more and (not named or self._stands_still(named)):
            # An id of ours is no place in their list; or the list has no end.
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
        """Say whether the next query would be this one again."""
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
        """Go on behind a page that has the next events, or all up to the end."""
        if page.has_more:
            after = self._advanced(named[-1].created_at, named, begun_at)
            return attrs.evolve(after, place=_Onward(named[-1].id))
        return attrs.evolve(self._advanced(page.at, named, begun_at), is_over=True)

    def _advanced(
        self, read_to: datetime, named: Sequence[GatewayEvent], begun_at: datetime
    ) -> Self:
        """Take note of how far everything was read, since `begun_at`."""
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
            # The first ones, and all of them that are older than `until`.
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
