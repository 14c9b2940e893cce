import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from contracts.examples import a_payment
from payments_core import Policy, standing
from payments_core.months import END_OF_TIME, months_after

moments = st.datetimes(timezones=st.just(UTC))
ZONES = ["UTC", "America/St_Johns", "Pacific/Kiritimati", "XYZ+12", "XYZ-14"]


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    Run one test with the process in another time zone.
    """
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("year", "ends"),
    [
        (2026, ["02-28", "03-31", "04-30", "05-31"]),
        (2028, ["02-29", "03-31", "04-30", "05-31"]),
    ],
)
def test_months_are_counted_from_the_anchor(year: int, ends: list[str]) -> None:
    """
    31 January, 28 (29) February, 31 March: the day comes back after a short month.
    """
    anchor = datetime(year, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)

    for months, end in enumerate(ends, 1):
        expected = f"{year}-{end}T23:59:59.999999+00:00"
        assert months_after(anchor, months).isoformat() == expected


def test_a_leap_day_comes_back_in_leap_years_only() -> None:
    """
    29 February, a year later the 28th, four years later the 29th again.
    """
    anchor = datetime(2024, 2, 29, tzinfo=UTC)

    assert months_after(anchor, 12) == datetime(2025, 2, 28, tzinfo=UTC)
    assert months_after(anchor, 48) == datetime(2028, 2, 29, tzinfo=UTC)


@given(moments)
def test_no_months_are_no_time(anchor: datetime) -> None:
    """
    Zero months after the anchor is the anchor.
    """
    assert months_after(anchor, 0) == anchor


@given(moments, st.integers(0, 500))
@example(datetime(9999, 11, 30, tzinfo=UTC), 1)
@example(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), 1)
def test_each_month_is_the_next_calendar_month(anchor: datetime, months: int) -> None:
    """
    The month's number grows by one; the day is the anchor's, or the month's last.
    """
    end = months_after(anchor, months)
    if end == END_OF_TIME:
        return

    count = (end.year - anchor.year) * 12 + end.month - anchor.month
    tomorrow = end + timedelta(days=1)
    assert count == months
    assert end.time() == anchor.time()
    assert end.day == anchor.day or (end.day < anchor.day and tomorrow.day == 1)


@given(moments)
def test_months_only_move_forward(anchor: datetime) -> None:
    """
    One month more never ends earlier, up to the end of all dates.
    """
    ends = [months_after(anchor, months) for months in range(14)]
    before_the_end = [end for end in ends if end < END_OF_TIME]
    assert all(left < right for left, right in pairwise(before_the_end))


def test_dates_stop_at_the_end_of_time() -> None:
    """
    A payment of a far future does not crash.
    """
    assert months_after(datetime(9999, 12, 1, tzinfo=UTC), 1) == END_OF_TIME
    assert months_after(datetime(2026, 1, 1, tzinfo=UTC), 10**6) == END_OF_TIME


@given(st.integers(-14 * 60, 14 * 60), st.integers(0, 100))
def test_p20_the_anchors_own_zone_does_not_matter(minutes: int, months: int) -> None:
    """
    One moment written in two zones gives one date, in UTC.
    """
    anchor = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    elsewhere = anchor.astimezone(timezone(timedelta(minutes=minutes)))

    end = months_after(elsewhere, months)
    assert end == months_after(anchor, months)
    assert end.tzinfo is UTC


# The zone stays as it is between examples, on purpose.
@pytest.mark.usefixtures("zone")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(anchor=moments, months=st.integers(0, 100))
def test_p20_f44_the_zone_of_the_process_does_not_matter(
    anchor: datetime, months: int
) -> None:
    """
    On a laptop in Newfoundland a month is the same as in the cluster.
    """
    end = months_after(anchor, months)
    assert end.tzinfo is UTC
    if end != END_OF_TIME:
        assert end.time() == anchor.time()
        assert end.day in {anchor.day, 28, 29, 30}


def on(month: int, day: int) -> datetime:
    return datetime(2026, month, day, 12, tzinfo=UTC)


def bought(*moments: datetime) -> datetime | None:
    """Return until when payments at these times last."""
    payments = [a_payment(f"ch_{n}", at=at) for n, at in enumerate(moments)]
    found = standing(payments[::-1], now=on(1, 1), policy=Policy())
    return found.payment_expire_date


def test_three_charges_keep_the_day_of_the_first() -> None:
    """
    31 January, 28 February, 31 March: paid through 28 February, 31 March, 30 April.
    """
    assert bought(on(1, 31)) == on(2, 28)
    assert bought(on(1, 31), on(2, 28)) == on(3, 31)
    assert bought(on(1, 31), on(2, 28), on(3, 31)) == on(4, 30)


def test_an_early_payment_adds_to_the_end() -> None:
    """
    A month bought ten days early is not lost.
    """
    assert bought(on(1, 31), on(2, 18)) == on(3, 31)


def test_two_payments_of_one_second_buy_two_months() -> None:
    """
    From one anchor, whichever is first.
    """
    assert bought(on(1, 31), on(1, 31)) == on(3, 31)


def test_a_gap_starts_a_new_term() -> None:
    """
    The anchor is then the payment after the gap.
    """
    assert bought(on(1, 31), on(3, 10)) == on(4, 10)


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        (timedelta(0), on(3, 31)),
        (timedelta(seconds=1), on(3, 28) + timedelta(seconds=1)),
    ],
)
def test_p20_a_payment_at_the_very_end_continues_the_term(
    late: timedelta, expected: datetime
) -> None:
    """
    In the last second it continues; one second later it starts again.
    """
    assert bought(on(1, 31), on(2, 28) + late) == expected
