"""The log of verdicts: one row for each change, never changed but by an erasure.

Rule 1: a row is saved with what it is derived from, or not at all.
Rule 2: between two rows the first one holds: what it says of access is rolled forward
        by its own date and grace, so that it needs nothing else to be read.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import attrs

from payments_core.access import Grant
from payments_core.entitlement import PaymentStatus, Standing
from payments_core.identity import UserId


@attrs.frozen(kw_only=True)
class LoggedVerdict:
    """What was known of an account from a moment on.

    `version` is the account's. `cause` says in a few words what it was changed by, and
    `sources` which events, jobs or operations told that. `status_by` and `date_by` name
    what the status and the date rest on, `grace` is the one of then. `grants` are what
    gave access, `catalogue` is the version of the one of then; None: not logged.
    `ends_at` is when the first access ends after `at`, by the policy of then.
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
        """Say what it comes to at a moment, before the next row."""
        date = self.payment_expire_date
        return Standing.until(self.payment_status, date, self.entitled_until, now)


def first_end(moments: Iterable[datetime | None], after: datetime) -> datetime | None:
    """Return the first of these moments that is after another; None: none is."""
    return min((it for it in moments if it and it > after), default=None)


@attrs.frozen
class LogGap:
    """An account that the log does not tell of as it is, at its `version`."""

    user_id: UserId
    version: int


@attrs.frozen
class LogGapPage:
    """Gaps among some accounts; `after` is where the next ones begin, None: nowhere."""

    gaps: Sequence[LogGap]
    after: UserId | None
