"""Retention: how long data is stored.

Rule 1: accounts, payments, subscriptions, paid periods, account logs, former keys and
        the audit log are never purged.
Rule 2: bodies are purged by day, except those of pending or quarantined events: they
        stay with the event until it is settled.
Rule 3: open work is never purged: a pending event, an intent, a job. A quarantined
        event is purged by its age, together with its body.
Rule 4: no body outlives its event.
Rule 5: a process without a heartbeat for `SILENT_FOR` was killed. Its lease has long
        expired; a clock that jumps makes a process look silent for hours only.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import attrs

from payments_core.now import Now

SILENT_FOR: Final = timedelta(days=1)


class PurgeKind(StrEnum):
    """What is purged, in this order."""

    # Bodies, a whole day at a time; and those that stayed after their day.
    BODY_DAYS = "body_days"
    BODIES = "bodies"
    EVENTS = "events"
    INTENTS = "intents"
    JOBS = "jobs"
    # Of tokens that have expired.
    REVOCATIONS = "revocations"
    # Heartbeats of killed processes: each revocation waits one lease for them.
    HEARTBEATS = "heartbeats"


@attrs.frozen(kw_only=True)
class Retention:
    """How long each kind is stored; None: forever.

    Counted from when an event came, an intent began, a job was done, a token expired.
    """

    bodies: timedelta | None = timedelta(days=45)
    events: timedelta | None = timedelta(days=400)
    intents: timedelta | None = timedelta(days=90)
    jobs: timedelta | None = timedelta(days=90)
    revocations: timedelta | None = timedelta(days=30)

    def before(self, kind: PurgeKind, now: Now) -> datetime | None:
        """Return the time before which data may be purged; None: nothing may."""
        kept = self._kept(kind)
        # Tokens and processes do not use a sandbox's time.
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
