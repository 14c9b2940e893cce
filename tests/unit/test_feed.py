"""When access ends next, by what a change says."""

from datetime import datetime, timedelta

import pytest

from contracts.examples import NOON
from payments_core.account_log import LoggedVerdict
from payments_core.entitlement import PaymentStatus
from payments_core.feed import next_end

SECOND = timedelta(seconds=1)


def logged(entitled_until: datetime | None) -> LoggedVerdict:
    return LoggedVerdict(
        version=1,
        at=NOON,
        payment_status=PaymentStatus.PAID,
        payment_expire_date=entitled_until,
        entitled_until=entitled_until,
        grace=timedelta(),
        status_by=None,
        date_by=None,
        cause="paid",
        sources=(),
    )


@pytest.mark.parametrize(
    ("until", "ends_at"),
    [
        (None, None),
        (NOON - SECOND, None),
        (NOON, None),
        (NOON + SECOND, NOON + SECOND),
    ],
    ids=["none", "over", "now", "later"],
)
def test_access_ends_once_there_is_some(
    until: datetime | None, ends_at: datetime | None
) -> None:
    """
    What was over when it became known does not end any more.
    """
    assert next_end(logged(until)) == ends_at
