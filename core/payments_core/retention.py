"""For how long what nobody needs any more is kept.

Rule 1: accounts, payments, subscriptions, paid periods, the log of an account, former
        keys and what was decided by hand are never purged.
Rule 2: a body goes with its day, but for one of an event that is pending or
        quarantined: that one stays beside its event until it is settled.
Rule 3: what is open is never purged: a pending event, an intent, a job. A quarantined
        event goes with its age, and its body with it.
Rule 4: no body outlives its event.
Rule 5: a process that says nothing for `SILENT_FOR` was killed. It has long relied on
        nothing, while a clock that jumps makes a process look silent for hours only.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from payments_core.now import Now

SILENT_FOR: Final = timedelta(days=1)


class PurgeKind(StrEnum):
    """What is purged, in this order."""

    # Bodies, a whole day at a time; and those that did not go with their day.
    BODY_DAYS = "body_days"
    BODIES = "bodies"
    EVENTS = "events"
    INTENTS = "intents"
    JOBS = "jobs"
    # Of tokens that have expired.
    REVOCATIONS = "revocations"
    # Of processes that were killed: each revocation waits a lease out for them.
    HEARTBEATS = "heartbeats"


@attrs.frozen(kw_only=True)
class Retention:
    """For how long each is kept; None: for good.

    Since an event came, an intent began, a job was done, a token expired.
    """

    bodies: timedelta | None = timedelta(days=45)
    events: timedelta | None = timedelta(days=400)
    intents: timedelta | None = timedelta(days=90)
    jobs: timedelta | None = timedelta(days=90)
    revocations: timedelta | None = timedelta(days=30)

    def before(self, kind: PurgeKind, now: Now) -> datetime | None:
        """Return since when what is older may go; None if nothing may."""
        kept = self._kept(kind)
        # Tokens and processes know nothing of a sandbox's time.
        is_real = kind in {PurgeKind.REVOCATIONS, PurgeKind.HEARTBEATS}
        at = now.system if is_real else now.at
        return None if kept is None else at - kept

    def _kept(self, kind: PurgeKind) -> timedelta | None:
        match kind:
            case PurgeKind.BODY_DAYS | PurgeKind.BODIES:
                given = [it for it in (self.bodies, self.events) if it is not None]
                return min(given, default=None)
            case PurgeKind.EVENTS:
                return self.events
            case PurgeKind.INTENTS:
                return self.intents
            case PurgeKind.JOBS:
                return self.jobs
            case PurgeKind.REVOCATIONS:
                return self.revocations
            case PurgeKind.HEARTBEATS:
                return SILENT_FOR
