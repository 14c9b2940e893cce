"""Spans of 28 days: no bought month is shorter."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from hypothesis import assume, example, given
from hypothesis import strategies as st

from payments_core.months import END_OF_TIME, months_after
from payments_core.payment_buckets import bucket_number

SPAN: Final = timedelta(days=28)
EDGE: Final = datetime(2026, 1, 5, tzinfo=UTC)


@given(anchor=st.datetimes(timezones=st.just(UTC)), months=st.integers(0, 500))
@example(anchor=datetime(2026, 1, 31, tzinfo=UTC), months=0)
@example(anchor=datetime(2026, 2, 28, tzinfo=UTC), months=0)
def test_each_month_lasts_as_long_as_a_bucket_at_least(
    anchor: datetime, months: int
) -> None:
    """
    Whatever anchor it is counted from: the sums depend on it.
    """
    start, end = months_after(anchor, months), months_after(anchor, months + 1)
    assume(end != END_OF_TIME)

    assert end - start >= timedelta(days=28)
    assert bucket_number(end) > bucket_number(start)


def test_a_bucket_begins_with_its_edge_and_ends_before_the_next() -> None:
    """
    To the microsecond, whatever time zone the time is given in.
    """
    last = EDGE + SPAN - timedelta(microseconds=1)
    elsewhere = EDGE.astimezone(timezone(timedelta(hours=14)))

    assert bucket_number(EDGE) == bucket_number(last) == bucket_number(elsewhere)
    assert bucket_number(EDGE - timedelta(microseconds=1)) == bucket_number(EDGE) - 1
    assert bucket_number(EDGE + SPAN) == bucket_number(EDGE) + 1
