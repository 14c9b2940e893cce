"""Where the sandbox's billing periods end, and what its spans of time mean."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments_sandbox.periods import (
    DAY,
    HOUR,
    boundary,
    is_too_long,
    moment,
    next_boundary,
    span_after,
)

Recurring = dict[str, Any]
MONTHLY: Recurring = {"interval": "month", "interval_count": 1}
intervals = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(["day", "week", "month", "year"]),
        "interval_count": st.integers(1, 36),
    }
).filter(lambda it: not is_too_long(it))
seconds = st.integers(0, 4_102_444_800)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def days_of(anchor: str, recurring: Recurring, count: int) -> list[str]:
    """Return the days of the first boundaries after an anchor."""
    start = at(anchor)
    ends = [boundary(start, recurring, number) for number in range(1, count + 1)]
    return [moment(end).date().isoformat() for end in ends]


def every(interval: str, count: int = 1) -> Recurring:
    return {"interval": interval, "interval_count": count}


@pytest.mark.parametrize(
    ("anchor", "recurring", "ends"),
    [
        ("2026-01-31", MONTHLY, ["2026-02-28", "2026-03-31", "2026-04-30"]),
        ("2028-01-31", MONTHLY, ["2028-02-29", "2028-03-31", "2028-04-30"]),
        ("2100-01-31", MONTHLY, ["2100-02-28", "2100-03-31", "2100-04-30"]),
        ("2026-01-30", MONTHLY, ["2026-02-28", "2026-03-30", "2026-04-30"]),
        ("2026-12-31", MONTHLY, ["2027-01-31", "2027-02-28", "2027-03-31"]),
        ("2026-11-30", every("month", 3), ["2027-02-28", "2027-05-30", "2027-08-30"]),
        ("2024-02-29", every("year"), ["2025-02-28", "2026-02-28", "2027-02-28"]),
        ("2024-02-29", every("year", 2), ["2026-02-28", "2028-02-29", "2030-02-28"]),
        ("2026-02-26", every("day"), ["2026-02-27", "2026-02-28", "2026-03-01"]),
        ("2026-02-26", every("day", 3), ["2026-03-01", "2026-03-04", "2026-03-07"]),
        ("2026-02-26", every("week"), ["2026-03-05", "2026-03-12", "2026-03-19"]),
        ("2026-02-26", every("week", 2), ["2026-03-12", "2026-03-26", "2026-04-09"]),
    ],
)
def test_the_day_of_the_anchor_is_kept_and_clamped(
    anchor: str, recurring: Recurring, ends: list[str]
) -> None:
    """A short month ends a period early; the next one has the anchor's day again."""
    assert days_of(anchor, recurring, len(ends)) == ends


def test_a_leap_day_comes_back_in_the_next_leap_year() -> None:
    """Three times the 28th, then the 29th."""
    assert days_of("2024-02-29", every("year"), 4)[-1] == "2028-02-29"


def test_the_time_of_day_is_kept() -> None:
    """A period ends at the anchor's second of the day."""
    start = at("2026-01-31T23:59:59")
    assert boundary(start, MONTHLY, 1) == at("2026-02-28T23:59:59")


@given(seconds, intervals, seconds)
@example(at("2026-01-31"), MONTHLY, at("2026-02-28"))
@example(at("2024-02-29"), every("year"), at("2028-02-29") - 1)
@example(at("2026-01-31"), MONTHLY, at("2025-12-31"))
def test_the_next_boundary_is_the_first_one_after(
    anchor: int, recurring: Recurring, after: int
) -> None:
    """It is later, it is one of the anchor's, and the one before it is not later."""
    found = next_boundary(anchor, recurring, after)

    length = (boundary(anchor, recurring, 100) - anchor) / 100
    near = round((found - anchor) / length)
    known = [boundary(anchor, recurring, near + number) for number in range(-4, 5)]
    assert found in known
    assert found > after
    assert known[known.index(found) - 1] <= after


@given(seconds, intervals, st.integers(1, 40))
def test_boundaries_follow_each_other(
    anchor: int, recurring: Recurring, count: int
) -> None:
    """Each boundary leads to the next; none is left out, and none drifts."""
    end = anchor
    for number in range(1, count + 1):
        end = next_boundary(anchor, recurring, end)
        assert end == boundary(anchor, recurring, number)


@given(seconds, st.integers(1, 36))
def test_a_month_has_the_day_of_the_anchor_or_is_too_short(
    anchor: int, months: int
) -> None:
    """The last day of a month replaces a day that the month does not have."""
    start, end = moment(anchor), moment(boundary(anchor, MONTHLY, months))
    assert end.time() == start.time()
    assert end.day == start.day or moment(int(end.timestamp()) + DAY).day == 1


@pytest.mark.parametrize(
    ("recurring", "is_refused"),
    [
        (every("year", 3), False),
        (every("year", 4), True),
        (every("month", 36), False),
        (every("month", 37), True),
        (every("week", 156), False),
        (every("week", 157), True),
        (every("day", 1095), False),
        (every("day", 1096), True),
    ],
)
def test_a_period_is_up_to_three_years_long(
    recurring: Recurring, *, is_refused: bool
) -> None:
    """In every unit."""
    assert is_too_long(recurring) is is_refused


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("1 month", at("2026-02-28T12:00:00")),
        ("2 months", at("2026-03-31T12:00:00")),
        ("1 year", at("2027-01-31T12:00:00")),
        ("1 day", at("2026-02-01T12:00:00")),
        ("2 weeks", at("2026-02-14T12:00:00")),
        ("36 hours", at("2026-02-02T00:00:00")),
        ("36hours", at("2026-02-02T00:00:00")),
        (" 1 Hour ", at("2026-01-31T13:00:00")),
        ("5 minutes", at("2026-01-31T12:05:00")),
        ("90", at("2026-01-31T12:01:30")),
        ("90 seconds", at("2026-01-31T12:01:30")),
        ("90 s", at("2026-01-31T12:01:30")),
        ("0 days", at("2026-01-31T12:00:00")),
    ],
)
def test_a_span_is_a_number_and_a_unit(text: str, end: int) -> None:
    """A month is the calendar's; a number alone is seconds."""
    assert span_after(at("2026-01-31T12:00:00"), text) == end


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "month",
        "a month",
        "1.5 months",
        "-1 day",
        "+1 day",
        "1 fortnight",
        "1 m",
        "1 month ago",
        "1 month 2 days",
        "1e3",
        "1234567 days",
        "1234567",
        "²",
        "٣ days",
        "1 day\n1 day",
    ],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    """With a message, and never a guess."""
    with pytest.raises(ValueError, match="not a number and a unit"):
        span_after(0, text)


@given(st.text(max_size=20))
@example("٣")
def test_any_text_is_a_span_or_refused(text: str) -> None:
    """A person may type anything."""
    try:
        assert span_after(0, text) >= 0
    except ValueError as error:
        assert "not a number and a unit" in str(error)  # noqa: PT017  # either is right


@given(seconds, st.integers(0, 999_999))
def test_spans_of_one_length_are_equal(start: int, hours: int) -> None:
    """Hours, minutes and seconds agree."""
    assert span_after(start, f"{hours} hours") == start + hours * HOUR
    assert span_after(start, f"{hours}") == start + hours
