"""The log of verdicts: one row for each change, altered only by an erasure.

Rule 1: a row is saved in the same transaction as the facts it is derived from.
Rule 2: a row holds until the next one: the access at a time follows from the row's own
        date and grace, so no other data must be read.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import attrs

from payments_core.access import Grant
from payments_core.entitlement import PaymentStatus, Standing
from payments_core.identity import UserId


@attrs.frozen(kw_only=True)
class LoggedVerdict:
    """What was known of an account from a time on.

    `version` is the account's. `cause` says in a few words what changed it, and
    `sources` are the ids of the events, jobs or operations that reported the change.
    `status_by` and `date_by` name the facts that decided the status and the date;
    `grace` is the grace at that time. `grants` are the grants, `catalogue` is the
    version of the catalogue at that time; None: not logged. `ends_at` is when the first
    access ends after `at`, by the policy at that time.
    """

    version: int
    at: datetime
    payment_status: PaymentStatus
    payment_expire_date: datetime | None
    entitled_until: datetime | None
    grace: timedelta
    status_by: str | None
    date_by: str | None
    cause: str
    sources: tuple[str, ...]
    grants: tuple[Grant, ...] | None = None
    catalogue: str | None = None
    ends_at: datetime | None = None

    def standing(self, now: datetime) -> Standing:
        """Return the standing at a time before the next row."""
        date = self.payment_expire_date
        return Standing.until(self.payment_status, date, self.entitled_until, now)


def first_end(moments: Iterable[datetime | None], after: datetime) -> datetime | None:
    """Return the first of these times that is after `after`; None: there is none."""
    return min((it for it in moments if it and it > after), default=None)


@attrs.frozen
class LogGap:
    """An account whose verdict at its `version` is not in the log."""

    user_id: UserId
    version: int


@attrs.frozen
class LogGapPage:
    """Gaps among some accounts; `after`: where the next page begins, if any."""

    gaps: Sequence[LogGap]
    after: UserId | None
