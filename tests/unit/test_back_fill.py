"""Reading the gateway's list: nothing is missed, however late, whenever it is listed.

A model of the list: an event has the second in which it was made, and the second from
which it is listed, at most the overlap later. Passes read the list in small pages and
end at any page, and the list grows in between.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.examples import an_event
from payments_adapters.memory import GatewayObjects
from payments_core.back_fill import KEPT_FOR, OVERLAP, BackFillPass, Position
from payments_core.errors import GatewayObjectMissing
from payments_core.event_list import ListedEvents
from payments_core.events import UNREADABLE, GatewayEvent

NOON: Final = datetime(2026, 1, 10, 12, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
CALLS_MAX: Final = 400


@attrs.frozen
class Happened:
    """An event, by seconds after noon."""

    id: str
    made: int
    listed: int

    @property
    def event(self) -> GatewayEvent:
        return attrs.evolve(an_event(self.id), created_at=NOON + self.made * SECOND)


@attrs.define
class World:
    """The list as it is now, read in pages of `limit`."""

    happened: Sequence[Happened]
    limit: int = 3
    now: int = 0
    found: set[str] = attrs.field(factory=set)
    kept_count: int = 0
    calls: int = 0

    @property
    def at(self) -> datetime:
        return NOON + self.now * SECOND

    def page(self, reading: BackFillPass) -> ListedEvents:
        self.calls += 1
        assert self.calls < CALLS_MAX, "it does not end"
        kept_since = self.at - KEPT_FOR
        listed = [
            it
            for it in sorted(self.happened, key=lambda it: (it.made, it.id))
            if it.listed <= self.now and it.event.created_at >= kept_since
        ]
        objects = GatewayObjects(events=[it.event for it in listed])
        query = attrs.evolve(reading.query, limit=self.limit)
        return objects.listed(query, self.at)

    def read(self, reading: BackFillPass) -> BackFillPass:
        """Read one page, and store its events."""
        try:
            page = self.page(reading)
        except GatewayObjectMissing:
            return reading.searching()
        events, after = reading.read(page)
        self.found |= {it.id for it in events}
        self.kept_count += len(events)
        return after

    def read_all(self, position: Position) -> BackFillPass:
        reading = BackFillPass.begun(position)
        while not reading.is_over:
            reading = self.read(reading)
        return reading

    def missed_before(self, position: Position) -> set[str]:
        """Return what a position says is known, and is not."""
        return {
            it.id
            for it in self.happened
            if it.event.created_at < position.since
            and it.listed >= 0
            and it.id not in self.found
        }


LATEST: Final = int(OVERLAP.total_seconds())


@st.composite
def histories(draw: st.DrawFn) -> list[Happened]:
    """Return events close together, far apart, and of one second; some are late."""
    gaps = st.sampled_from([0, 0, 0, 1, 2, 60, LATEST - 1, LATEST, LATEST + 1, 5_000])
    made, found = 0, []
    for number in range(draw(st.integers(1, 25))):
        made += draw(gaps)
        late = draw(st.sampled_from([0, 0, 0, 1, 30, LATEST - 1]))
        # Within one second, the list has its own order.
        id_ = f"evt_{draw(st.integers(0, 3))}_{number:03}"
        found.append(Happened(id_, made, made + late))
    return found


steps = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 30, LATEST // 2, LATEST, LATEST + 1, 7_000]),
        st.sampled_from(["read", "read", "read", "crash", "fail", "pause"]),
    ),
    max_size=40,
)


def check(happened: Sequence[Happened], plan: Sequence[tuple[int, str]]) -> None:
    """Follow a plan; a position never claims too much, and all is found in the end."""
    world = World(happened)
    kept = Position.at(NOON)
    reading = BackFillPass.begun(kept)
    for seconds, what in plan:
        world.now += seconds
        if what == "crash":
            # What was read and not saved is forgotten.
            reading = BackFillPass.begun(kept)
        elif what == "fail":
            before, found = reading, set(world.found)
            reading = before.held(world.read(before))
            world.found = found
        else:
            reading = world.read(reading)
        kept = reading.position if what != "pause" else kept
        assert not world.missed_before(kept)
        if reading.is_over or what == "pause":
            reading = BackFillPass.begun(kept)
    last = max(it.listed for it in happened)
    for _ in range(2):
        world.now = max(world.now, last) + LATEST + 1
        kept = world.read_all(kept).position
        assert not world.missed_before(kept)
    assert world.found == {it.id for it in happened}


def at_once(count: int, made: int) -> list[Happened]:
    return [Happened(f"evt_{made}_{number}", made, made) for number in range(count)]


@given(histories(), steps)
# A pass that continues long after it read a place that is not settled.
@example(
    [*at_once(1, 0), Happened("late", 500, 1_099), *at_once(8, 600)],
    [(700, "read"), *[(0, "read")] * 3, (510, "read")],
)
# A search that continues long after it found nothing at a place that is not settled.
@example(
    [Happened("late", 100, 690), *at_once(3, 600), *at_once(3, 640)],
    [(650, "read"), *[(0, "read")] * 2, *[(100, "read")] * 4],
)
# A late event of a second that has more than a page.
@example(
    [Happened("evt_0_late", 600, 1_199), *at_once(8, 600)],
    [(610, "read"), *[(0, "read")] * 20, (690, "read")],
)
def test_p27_f40_nothing_is_missed_whatever_comes_late(
    happened: list[Happened], plan: list[tuple[int, str]]
) -> None:
    """
    Pages of one second, late events, crashes between pages, failures and pauses: what a
    position says is known was stored, and in the end everything is.
    """
    check(happened, plan)


@given(histories(), st.integers(1, 5))
@example(at_once(8, 0), 3)
def test_a_search_finds_the_oldest_events_and_goes_on_from_there(
    happened: list[Happened], limit: int
) -> None:
    """
    Also if one second has more than a page, with nothing before it. No event is read
    twice.
    """
    world = World(happened, limit, now=max(it.listed for it in happened))

    world.read_all(Position.at(NOON))

    assert world.found == {it.id for it in happened}
    assert world.kept_count == len(happened)


def test_a_search_is_short_and_is_made_once() -> None:
    """
    From then on each page costs one call.
    """
    happened = [Happened(f"evt_{n:03}", n * 100, n * 100) for n in range(300)]
    world = World(happened, 10, now=300 * 100)
    world.read_all(Position.at(NOON))

    # 30,000 seconds are halved until a thousand is left.
    assert world.calls <= 300 / 10 + 7


def test_events_come_in_the_order_in_which_they_were_made() -> None:
    """
    Out of order, each report would have to be fetched.
    """
    happened = [Happened(f"evt_{n:03}", n // 4, n // 4) for n in range(50)]
    world, seen = World(happened, 7, now=60), list[datetime]()
    reading = BackFillPass.begun(Position.at(NOON))
    while not reading.is_over:
        events, reading = reading.read(world.page(reading))
        seen += [it.created_at for it in events]

    assert len(seen) == 50
    assert seen == sorted(seen)


def test_after_four_days_each_page_is_a_place_to_go_on_from() -> None:
    """
    A pass that ends there continues with the next event, and reads none again.
    """
    happened = [Happened(f"evt_{n:03}", n * 60, n * 60) for n in range(100)]
    world = World(happened, 5, now=4 * 86_400)
    reading = BackFillPass.begun(Position(since=NOON, after=None))
    reading = BackFillPass.begun(world.read_all(Position(since=NOON)).position)
    world = attrs.evolve(world, found=set(), calls=0)
    position = Position(since=NOON, after="evt_000")
    for number in range(1, 4):
        reading = world.read(BackFillPass.begun(position))
        position = reading.position
        assert reading.goes_on
        assert reading.may_pause
        last = number * 5
        assert position == Position(
            since=NOON + last * 60 * SECOND, after=f"evt_{last:03}"
        )
        assert reading.reached_at == position.since
    assert len(world.found) == 15


def test_at_the_end_the_position_is_an_overlap_behind() -> None:
    """
    And the time it has reached is the gateway's own.
    """
    happened = [Happened("evt_0", 0, 0), Happened("evt_1", 5_000, 5_000)]
    world = World(happened, now=5_010)

    reading = world.read_all(Position.at(NOON))

    assert reading.reached_at == world.at
    assert reading.position == Position(since=world.at - OVERLAP, after="evt_0")
    assert not reading.goes_on


def test_what_could_not_be_kept_holds_the_position_and_not_the_reading() -> None:
    """
    The next pass begins with it; later events are read all the same.
    """
    happened = [Happened(f"evt_{n}", n, n) for n in range(9)]
    world = World(happened, now=100_000)
    first = BackFillPass.begun(Position(since=NOON, after="evt_0"))
    held = first.held(world.read(first))
    assert (held.position, held.reached_at) == (first.position, first.reached_at)

    while not held.is_over:
        held = world.read(held)

    assert (held.position, held.reached_at) == (first.position, first.reached_at)
    assert not held.goes_on
    assert "evt_8" in world.found


def test_an_event_that_left_the_list_is_searched_past() -> None:
    """
    The search goes by time: what is listed since then is found.
    """
    happened = [Happened(f"evt_{n}", n, n) for n in range(9)]
    world = World(happened, now=1_000)

    reading = world.read_all(Position(since=NOON + 4 * SECOND, after="evt_gone"))

    assert world.found == {f"evt_{n}" for n in range(4, 9)}
    assert reading.position.after == "evt_8"


def test_f41_a_gap_of_more_than_thirty_days_is_told() -> None:
    """
    The period in which events are no longer listed; the rest is read.
    """
    days = [Happened(f"evt_{day:02}", day * 86_400, day * 86_400) for day in range(40)]
    world = World(days, now=40 * 86_400)

    reading = world.read_all(Position(since=NOON, after="evt_00"))

    assert reading.lost == (NOON, world.at - KEPT_FOR)
    assert world.found == {f"evt_{day:02}" for day in range(10, 40)}
    again = world.read_all(reading.position)
    assert again.lost is None


def test_a_search_looks_no_further_back_than_events_are_listed() -> None:
    """
    Whatever time it begins with: it needs no call for each halving of the time before.
    """
    happened = [Happened(f"evt_{n}", n, n) for n in range(9)]
    world = World(happened, now=1_000)

    world.read_all(Position(since=datetime(1970, 1, 1, tzinfo=UTC)))

    assert len(world.found) == 9
    # A month has a little more than 2^21 seconds.
    assert world.calls <= 1 + 22 + 9 / 3 + 1


def test_a_quiet_month_is_no_gap() -> None:
    """
    The event to continue from left the list, and nothing happened since.
    """
    world = World([Happened("evt_0", 0, 0)], now=40 * 86_400)
    position = Position(since=world.at - OVERLAP, after="evt_0")

    reading = world.read_all(position)

    assert reading.lost is None
    assert reading.reached_at == world.at


def test_events_that_leave_the_list_while_it_is_searched_end_nothing() -> None:
    """
    The search starts again.
    """
    happened = [Happened(f"evt_{n}", n * 100, n * 100) for n in range(9)]
    world = World(happened, now=1_000)
    reading = world.read(BackFillPass.begun(Position.at(NOON)))
    world.happened = [Happened("evt_9", 950, 950)]

    while not reading.is_over:
        reading = world.read(reading)

    assert world.found == {"evt_9"}


def test_an_event_without_an_id_of_theirs_is_no_place_to_go_on_from() -> None:
    """
    It is stored like any other; a page of only such events holds the position.
    """
    odd = attrs.evolve(an_event("unreadable_1"), type=UNREADABLE, created_at=NOON)
    good = attrs.evolve(an_event("evt_1"), created_at=NOON)
    begun = BackFillPass.begun(Position(since=NOON, after="evt_0"))
    at = NOON + 2 * OVERLAP

    events, after = begun.read(ListedEvents(events=[good, odd], has_more=True, at=at))
    assert [it.id for it in events] == ["evt_1", "unreadable_1"]
    assert after.position.after == "evt_1"
    events, after = begun.read(ListedEvents(events=[odd], has_more=True, at=at))
    assert list(events) == [odd]
    assert (after.is_over, after.is_held) == (True, True)
    assert after.position == begun.position


def test_a_list_that_repeats_itself_ends_the_pass() -> None:
    """
    Both forward, and within a second of more than a page; the position is held.
    """
    events = [
        attrs.evolve(an_event(f"evt_{number}"), created_at=NOON) for number in range(2)
    ]
    page = ListedEvents(events=events, has_more=True, at=NOON + 2 * OVERLAP)
    onward = BackFillPass.begun(Position(since=NOON, after="evt_1"))
    assert onward.read(page)[1].is_over

    reading = BackFillPass.begun(Position.at(NOON))
    for _ in range(20):
        _, reading = reading.read(page)
    assert (reading.is_over, reading.is_held) == (True, True)
    assert reading.position == Position.at(NOON)


@pytest.mark.parametrize("after", [None, "evt_1"])
@pytest.mark.parametrize("part", [timedelta(0), timedelta(microseconds=5)])
def test_a_position_is_a_text_that_is_read_again(
    after: str | None, part: timedelta
) -> None:
    """
    To the microsecond, in UTC.
    """
    position = Position(since=NOON + part, after=after)

    assert Position.of_text(position.text) == position
    assert Position.of_text(position.text).since.utcoffset() == timedelta(0)


def test_a_beginning_is_a_whole_second_an_overlap_before() -> None:
    """
    The gateway's list has no fractions of a second.
    """
    moment = NOON + timedelta(microseconds=999)

    assert Position.at(moment) == Position(since=NOON - OVERLAP)
