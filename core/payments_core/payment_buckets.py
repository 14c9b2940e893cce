"""Sums of payments: what many payments bought, without loading each.

Every bought month lasts at least 28 days. So of payments made within 28 days only the
first that bought a month decides whether a new term begins: the others extend the term
that the first one extended or began.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import attrs

from payments_core.identity import UserId
from payments_core.months import SHORTEST_MONTH_DAYS

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_LENGTH: Final = timedelta(days=SHORTEST_MONTH_DAYS)


@attrs.frozen(kw_only=True)
class PaymentBucket:
    """Plain payments of one account, all made within 28 days.

    `months` of them bought a month, the first of these at `first_at`; None: none did.
    `until` is when the last payment was made. `some_unknown`: the invoice of some is
    not known, and must be fetched if any money of the account was returned.
    `payments_core.plain_payments` defines which payments are plain.
    """

    user_id: UserId
    months: int
    first_at: datetime | None
    until: datetime
    some_unknown: bool = False


def months_in(buckets: Iterable[PaymentBucket]) -> Sequence[tuple[datetime, int]]:
    """Return for each bucket the time of the first bought month and the number."""
    return [(it.first_at, it.months) for it in buckets if it.first_at is not None]


def bucket_number(moment: datetime) -> int:
    """Return the number of the 28-day span, counted from year 1, that has a time."""
    return (moment - _BEGINNING) // _LENGTH
