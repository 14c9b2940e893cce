"""Find why something differs: the stored data shows whether its events came.

Rule 1: a failing job, and an event that was quarantined or closed by hand, come first.
Rule 2: what was known to be right and has changed since has an event, which Stripe
        lists for 30 days. If back-fill has read the list since then, we received that
        event, and the fault is ours.
Rule 3: otherwise its events did not come. If no event at all came in the hour after the
        last change, we were down. The time of a change is known for objects with a
        time: of creation, begin or end.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import attrs

from payments_core.back_fill import KEPT_FOR
from payments_core.events import EventState
from payments_core.facts import Fact, PaymentCorrected, SubscriptionObserved
from payments_core.ports import Checkpoints, EventLog, JobDirectory
from payments_core.sweep import Suspect
from payments_core.use_cases.back_fill_events import EVENT_BACK_FILL

# A gateway delivers an event within this time, if the service is up.
DELIVERED_WITHIN: Final = timedelta(hours=1)
# An event that has not come after this time is no longer on its way.
SETTLES_WITHIN: Final = timedelta(minutes=5)


class DriftCause(StrEnum):
    """Why something differs, as far as is known here; see `CAUSES`."""

    JOB_FAILED = "job_failed"
    EVENT_QUARANTINED = "event_quarantined"
    EVENT_CLOSED = "event_closed"
    WHILE_DOWN = "while_down"
    EVENT_LOST = "event_lost"
    OWN_BUG = "own_bug"
    UNKNOWN = "unknown"


CAUSES: Final[Mapping[DriftCause, str]] = MappingProxyType(
    {
        DriftCause.JOB_FAILED: "A job about it is failing.",
        DriftCause.EVENT_QUARANTINED: "An event about it was quarantined.",
        DriftCause.EVENT_CLOSED: "An event about it was closed by hand.",
        DriftCause.WHILE_DOWN: "No event came in the hour after the object was made.",
        DriftCause.EVENT_LOST: "None of the others: Stripe's events did not arrive.",
        DriftCause.OWN_BUG: (
            "It still differs after a repair, a bug met it, or its events came."
        ),
        DriftCause.UNKNOWN: "Not known here: Stripe may never have had it.",
    }
)


@attrs.frozen
class FindCause:
    jobs: JobDirectory
    events: EventLog
    checkpoints: Checkpoints
    clock: Callable[[], datetime]

    async def __call__(
        self,
        suspect: Suspect,
        facts: Sequence[Fact] = (),
        since: datetime | None = None,
    ) -> DriftCause:
        """Return why a thing differs.

        `facts` are those just fetched; `since` is the time up to which the stored data
        is known to have been right.
        """
        job = await self.jobs.find(suspect.job) if suspect.job else None
        if job is not None and job.is_failing:
            return DriftCause.JOB_FAILED
        open_ = await self.events.open_about(suspect.subject)
        if any(it.outcome.state is EventState.QUARANTINED for it in open_):
            return DriftCause.EVENT_QUARANTINED
        if await self.events.has_closed(suspect.subject):
            return DriftCause.EVENT_CLOSED
        now = self.clock()
        named = (*_moments(facts), *([suspect.since] if suspect.since else []))
        changed_at = max((it for it in named if it <= now), default=now)
        if since is not None and await self._was_heard(since, changed_at, now):
            return DriftCause.OWN_BUG
        until = changed_at + DELIVERED_WITHIN
        if until <= now and not await self.events.received_between(changed_at, until):
            return DriftCause.WHILE_DOWN
        return DriftCause.EVENT_LOST

    async def _was_heard(
        self, since: datetime, changed_at: datetime, now: datetime
    ) -> bool:
        """Say whether back-fill has read the list after a thing changed."""
        if since <= now - KEPT_FOR:
            return False
        back_fill = await self.checkpoints.find(EVENT_BACK_FILL)
        if back_fill is None or back_fill.reached_at is None:
            return False
        # Without a time after `since`, it may have changed just now.
        latest = changed_at if changed_at > since else now - SETTLES_WITHIN
        return back_fill.reached_at > latest


def _moments(facts: Sequence[Fact]) -> Iterator[datetime]:
    """Return when the objects of these facts were created, began or ended."""
    for fact in facts:
        match fact:
            case SubscriptionObserved(report=it):
                named = (it.created_at, it.trial_start, it.period_start, it.ended_at)
                yield from filter(None, named)
            case PaymentCorrected(payment=payment) if payment.created_at:
                yield payment.created_at
