"""Billing periods: boundaries counted from an anchor, in whole seconds of UTC.

31 January, 28 February, 31 March: the anchor's day is kept and clamped, as at Stripe
(docs.stripe.com/billing/subscriptions/billing-cycle).
"""

import calendar
import re
from collections.abc import Mapping
from datetime import MAXYEAR, UTC, datetime
from typing import Any, Final

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 24 * HOUR
_SECONDS: Final = {
    "second": 1,
    "minute": MINUTE,
    "hour": HOUR,
    "day": DAY,
    "week": 7 * DAY,
}
_MONTHS: Final = {"month": 1, "year": 12}
_SPAN: Final = re.compile(r"([0-9]{1,6})\s*([a-z]+?)s?")
# 2100-01-01: no clock may pass it.
MOMENT_MAX: Final = 4_102_444_800
# Stripe's limit: three years.
PERIOD_MONTHS_MAX: Final = 36
PERIOD_DAYS_MAX: Final = 3 * 365
# The last second of `datetime`.
_END_OF_TIME: Final = int(datetime(MAXYEAR, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def text_of(seconds: int) -> str:
    """Return a time in the format of v2 of the API."""
    text = moment(seconds).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _months_on(anchor: int, months: int) -> int:
    """Return the time `months` calendar months after the anchor."""
    start = moment(anchor)
    years, month_index = divmod(start.month - 1 + months, 12)
    year, month = start.year + years, month_index + 1
    if year > MAXYEAR:
        return _END_OF_TIME
    day = min(start.day, calendar.monthrange(year, month)[1])
    return int(start.replace(year=year, month=month, day=day).timestamp())


def boundary(anchor: int, recurring: Mapping[str, Any], number: int) -> int:
    """Return the boundary `number` periods after the anchor."""
    interval, count = recurring["interval"], recurring["interval_count"]
    if interval in _MONTHS:
        return _months_on(anchor, number * count * _MONTHS[interval])
    return int(anchor + number * count * _SECONDS[interval])


def next_boundary(anchor: int, recurring: Mapping[str, Any], after: int) -> int:
    """Return the first boundary that is later than `after`."""
    interval, count = recurring["interval"], recurring["interval_count"]
    if interval in _MONTHS:
        then, start = moment(after), moment(anchor)
        months = (then.year - start.year) * 12 + then.month - start.month
        # One too few: which of the two is later depends on the day in the month.
        number = (months - 1) // (count * _MONTHS[interval])
    else:
        number = (after - anchor) // (count * _SECONDS[interval])
    while (found := boundary(anchor, recurring, number)) <= after:
        number += 1
    return found


def is_too_long(recurring: Mapping[str, Any]) -> bool:
    """Return whether a period is longer than the three years that Stripe allows."""
    interval, count = recurring["interval"], recurring["interval_count"]
    if interval in _MONTHS:
        return bool(count * _MONTHS[interval] > PERIOD_MONTHS_MAX)
    return bool(count * _SECONDS[interval] > PERIOD_DAYS_MAX * DAY)


def span_after(start: int, text: str) -> int:
    """Return the time "1 month", "36 hours" or "90" (seconds) after `start`.

    Raises:
        ValueError: the text is not a number and a unit, second to year.
    """
    found = _SPAN.fullmatch(text.strip().lower() if not text.isdigit() else f"{text} s")
    if found is None or found[2] not in {*_SECONDS, *_MONTHS, "s", ""}:
        raise ValueError(
            "not a number and a unit: second, minute, hour, day, week, month, year"
        )
    number, unit = int(found[1]), found[2] or "second"
    if unit in _MONTHS:
        return _months_on(start, number * _MONTHS[unit])
    return start + number * _SECONDS.get(unit, 1)
