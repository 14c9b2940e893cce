"""Payments in sums: what many of them bought, without each of them.

Every month that is bought lasts 28 days at least. So of payments that were made within
28 days only the first that bought a month decides whether a new term begins: each of
the others joins the term that the first one joined or began.
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

    `months` of them bought a month, the first of these at `first_at`: None if there is
    none. `until` is when the last of all was made. `some_unknown`: the invoice of some
    is not known, and is asked for once any money of the account was returned. Which
    payments are plain is said in `payments_core.plain_payments`.
    """

    user_id: UserId
    months: int
    first_at: datetime | None
    until: datetime
    some_unknown: bool = False


def months_in(buckets: Iterable[PaymentBucket]) -> Sequence[tuple[datetime, int]]:
    """Return how many months were bought, and when the first of each bucket was."""
    return [(it.first_at, it.months) for it in buckets if it.first_at is not None]


def bucket_number(moment: datetime) -> int:
    """Return which of the spans of 28 days since the first year a moment is in."""
    return (moment - _BEGINNING) // _LENGTH
