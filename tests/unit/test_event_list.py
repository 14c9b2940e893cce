"""How a page of the gateway's list is requested."""

from contracts.examples import NOON, an_event
from payments_core.event_list import PAGE_EVENTS_MAX, EventQuery, ListedEvents
from payments_core.use_cases.back_fill_events import PAGE_EVENTS, PAGE_EVENTS_MIN


def test_nothing_asked_for_is_the_newest_page() -> None:
    """
    With the largest number of events.
    """
    query = EventQuery()

    assert query.limit == PAGE_EVENTS_MAX
    assert {query.after, query.before, query.since, query.until} == {None}


def test_back_fill_asks_for_no_more_than_there_may_be() -> None:
    """
    And never zero, after failures.
    """
    assert 0 < PAGE_EVENTS_MIN < PAGE_EVENTS <= PAGE_EVENTS_MAX


def test_a_page_is_a_value() -> None:
    """
    Two with equal fields are equal.
    """
    one, other = (
        ListedEvents(events=[an_event()], has_more=False, at=NOON) for _ in range(2)
    )
    assert one == other
