"""Why something differs: what is kept here says whether its events came.

Rule 1: a job that fails and an event that was quarantined, or closed by hand, are told
        first.
Rule 2: what was known to be right, and changed since, has an event that Stripe lists
        for 30 days. If back-fill has read the list since then, that event was heard,
        and the fault is ours.
Rule 3: else its events did not come. If no event at all came in the hour after the
        thing last changed, we were down. When it changed is known of what names a
        moment: when it was made, began or ended.
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

# A gateway delivers an event within this, if anybody is there to take it.
DELIVERED_WITHIN: Final = timedelta(hours=1)
# An event that came later than this is not on its way any more.
SETTLES_WITHIN: Final = timedelta(minutes=5)


class DriftCause(StrEnum):
    """Why something differs, as far as that is known here; see `CAUSES`."""

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
            "It differs still after a repair, a bug met it, or its events were heard."
        ),
        DriftCause.UNKNOWN: "Nothing here says: Stripe may never have had it.",
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
        """Say why a thing differs.

        `facts` are what the gateway says of it now, `since` is up to when what is kept
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
        """Say whether back-fill has read the list since a thing changed."""
        if since <= now - KEPT_FOR:
            return False
        back_fill = await self.checkpoints.find(EVENT_BACK_FILL)
        if back_fill is None or back_fill.reached_at is None:
            return False
        # What names no moment after `since` may have changed until a moment ago.
        latest = changed_at if changed_at > since else now - SETTLES_WITHIN
        return back_fill.reached_at > latest


def _moments(facts: Sequence[Fact]) -> Iterator[datetime]:
    """Return when what these report was made, began, or ended."""
    for fact in facts:
        match fact:
            case SubscriptionObserved(report=it):
                named = (it.created_at, it.trial_start, it.period_start, it.ended_at)
                yield from filter(None, named)
            case PaymentCorrected(payment=payment) if payment.created_at:
                yield payment.created_at
