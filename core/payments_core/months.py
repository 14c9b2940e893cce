"""Calendar months, counted from an anchor and never from the previous date.

31 January, 28 (29) February, 31 March: the anchor's day is kept and clamped in
each month, as Stripe's billing cycles do (docs.stripe.com/billing/subscriptions/
billing-cycle). Counting from the previous date would drift to the 28th.
"""

from datetime import MAXYEAR, UTC, date, datetime, timedelta
from typing import Final

SHORTEST_MONTH_DAYS: Final = 28
DECEMBER: Final = 12
# The latest time that `datetime` can represent.
LAST: Final = datetime.max.replace(tzinfo=UTC)
END_OF_TIME: Final = datetime(MAXYEAR, 12, 31, 23, 59, 59, tzinfo=UTC)


def months_after(anchor: datetime, months: int) -> datetime:
    """Return the time `months` calendar months after `anchor`, in UTC.

    Dates past the last year that `datetime` knows stop at `END_OF_TIME`.
    """
    if anchor.tzinfo is not UTC:
        anchor = anchor.astimezone(UTC)
    years, month_index = divmod(anchor.month - 1 + months, 12)
    year, month = anchor.year + years, month_index + 1
    if year > MAXYEAR:
        return END_OF_TIME
    day = anchor.day
    if day > SHORTEST_MONTH_DAYS:
        day = min(day, _days_in(year, month))
    return anchor.replace(year=year, month=month, day=day)


def moved(moment: datetime, by: timedelta) -> datetime:
    """Return the time that is later by `by`, at most `LAST`."""
    return moment + min(by, LAST - moment)


def _days_in(year: int, month: int) -> int:
    # `calendar` imports `locale`: a twentieth of the time to import the core.
    if month == DECEMBER:
        return 31
    return (date(year, month + 1, 1) - date(year, month, 1)).days
