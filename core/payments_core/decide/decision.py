"""A decision: one answer for each source, and the groups of changes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs

from payments_core.by_hand import ChangeByHand
from payments_core.changes import Changes, JobFinish, Lookup
from payments_core.errors import Rejected
from payments_core.events import EventKey, EventState, GatewayEvent, Outcome
from payments_core.facts import DoneByHand, SourcedFacts
from payments_core.identity import CustomerId, UserId
from payments_core.job import Job
from payments_core.job_key import JobKey, JobKind

QUARANTINE_REASON: Final = "metadata and customer name different users"
QUARANTINED: Final = Outcome(EventState.QUARANTINED, QUARANTINE_REASON)


def subscription_job(gateway_id: str) -> JobKey:
    return JobKey(JobKind.SUBSCRIPTION, gateway_id)


def customer_job(customer: CustomerId) -> JobKey:
    return JobKey(JobKind.CUSTOMER, customer)


def event_job(key: EventKey) -> JobKey:
    """Return the key of the job that applies an event again."""
    return JobKey(JobKind.EVENT, f"{key.id} {key.type}")


def access_end_job(user: UserId) -> JobKey:
    """Return the key of the job that logs that access has ended."""
    return JobKey(JobKind.ACCESS_END, user)


@attrs.frozen(kw_only=True)
class Decided:
    """The decision on one source's facts, with the changes of their group, if any.

    `outcome` is the event's. `duplicate`: the event is known (with changes if it is
    applied again), or the intent was saved before. `lease_lost`: another process has
    the intent now. `refusal` is the rule that forbids the facts; `failure` is the
    exception of a bug.
    """

    changes: Changes | None = None
    outcome: Outcome | None = None
    duplicate: bool = False
    lease_lost: bool = False
    refusal: Rejected | None = None
    failure: Exception | None = None


def comes_again(source: SourcedFacts) -> bool:
    """Say whether a stored, unapplied event is delivered again."""
    return source.reapplied and source.job is None


def done_by_hand(source: SourcedFacts) -> tuple[ChangeByHand, ...]:
    """Return the acts by hand of a source: they are recorded whatever its outcome."""
    return tuple(it.change for it in source.facts if isinstance(it, DoneByHand))


def believing_nothing(
    source: SourcedFacts, outcome: Outcome, now: datetime, kept: GatewayEvent | None
) -> Decided:
    """Store an event, as `kept`, and end its job, without recording its facts."""
    job = source.job
    if kept is None and job is None:
        return Decided(outcome=outcome)
    again, new = source.reapplied, not source.reapplied
    group = event_group(kept) if kept else ""
    changes = Changes(
        key=job_group(job) if job and not kept else group,
        events=((kept, outcome),) if kept and new else (),
        resolved=((kept.key, outcome),) if kept and again else (),
        finished=(JobFinish(job, job.finished(), outcome, now),) if job else (),
        by_hand=done_by_hand(source),
        cause=outcome.reason or "",
        sources=(kept.id,) if kept else (),
    )
    return Decided(changes=changes, outcome=outcome, duplicate=comes_again(source))


@attrs.frozen
class Decision:
    """One `Decided` for each source, or what must be loaded before a decision."""

    decided: Sequence[Decided] = ()
    more: Lookup | None = None

    @property
    def groups(self) -> Sequence[Changes]:
        """Return the groups to save, each once, in the order of their keys."""
        groups = {it.changes.key: it.changes for it in self.decided if it.changes}
        return [groups[key] for key in sorted(groups)]


def event_group(event: GatewayEvent) -> str:
    return f"event {event.id} {event.type}"


def job_group(job: Job) -> str:
    return f"job {job.key.kind} {job.key.subject}"


def user_group(user: UserId) -> tuple[str, UserId]:
    return f"user {user}", user
