"""Plain counts: the outcome of a call, its duration, and no key of a caller's."""

import asyncio

import pytest

from payments_core.errors import AccountNotFound, InvalidValue, StoreUnavailable
from payments_service.tallies import (
    BUG,
    CANCELLED,
    DURATIONS_S,
    OK,
    OTHER,
    CallTallies,
    RequestTallies,
    Tally,
    outcome_of,
)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, OK),
        (AccountNotFound(), "account_not_found"),
        (StoreUnavailable(), "store_unavailable"),
        (InvalidValue("email", "ada@example.com is none"), "invalid_value"),
        (asyncio.CancelledError(), CANCELLED),
        (KeyError("ada@example.com"), BUG),
    ],
)
def test_t79_an_outcome_is_a_word_and_nothing_of_the_input(
    error: BaseException | None, outcome: str
) -> None:
    """
    The code of an error of ours; an exception that no rule raises is a bug.
    """
    assert outcome_of(error) == outcome


def test_a_value_is_counted_by_the_bounds_that_it_is_not_above() -> None:
    """
    A value equal to a bound is in its bucket; each bucket includes those before it.
    """
    tally = Tally((1, 2))
    for value in (0.5, 1, 1.5, 9):
        tally.add(value)

    assert tally.buckets == [("1.0", 2), ("2.0", 3), ("+Inf", 4)]
    assert (tally.count, tally.total) == (4, 12)


def test_requests_are_timed_by_route_whatever_their_status() -> None:
    """
    And counted by it.
    """
    tallies = RequestTallies()
    tallies.of("GET", "/a", 200).add(0.2)
    tallies.of("GET", "/a", 404).add(0.3)
    tallies.of("PUT", "/a", 200).add(20)

    assert {key: it.count for key, it in tallies.answers.items()} == {
        ("GET", "/a", 200): 1,
        ("GET", "/a", 404): 1,
        ("PUT", "/a", 200): 1,
    }
    durations = tallies.durations
    assert durations["GET", "/a"].total == pytest.approx(0.5)
    assert durations["GET", "/a"].count == 2
    assert durations["PUT", "/a"].buckets[-2:] == [
        (str(float(DURATIONS_S[-1])), 0),
        ("+Inf", 1),
    ]


def test_t79_a_method_that_somebody_made_up_is_another() -> None:
    """
    However many are invented, there is one series.
    """
    tallies = RequestTallies()
    for number in range(50):
        tallies.of(f"BREW{number}", "/a", 405).add(0)

    assert {key: it.count for key, it in tallies.answers.items()} == {
        (OTHER, "/a", 405): 50
    }


def test_a_call_that_was_not_made_took_no_time() -> None:
    """
    It is counted: its outcome is that it was not made.
    """
    tallies = CallTallies()
    tallies.add("customer", None, 0.5)
    tallies.add("customer", StoreUnavailable(), None)

    tally = tallies.of("customer")
    assert tally.outcomes == {OK: 1, "store_unavailable": 1}
    assert (tally.durations.count, tally.durations.total) == (1, 0.5)


def test_what_was_never_called_shows_that_it_can_be() -> None:
    """
    An alert on growth misses the first increase of a series that did not exist.
    """
    assert CallTallies().of("customer").outcomes == {OK: 0}
