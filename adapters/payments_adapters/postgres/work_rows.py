"""Rows and values of intents and jobs, by hand as the others (`rows`).

What an intent has of its own shape is JSON as we wrote it: it is read by nobody else.
"""

from collections.abc import Mapping

import msgspec

from payments_adapters.postgres.rows import Row
from payments_core.intent import (
    Call,
    Intent,
    IntentKind,
    IntentOutcome,
    IntentState,
    Wanted,
)
from payments_core.job import Job, JobKey, JobKind


def of_intent(intent: Intent) -> Mapping[str, object]:
    """Return the columns of an intent by name, but for `updated_at`."""
    outcome = intent.outcome
    return {
        "id": intent.id,
        "user_id": intent.user_id,
        "kind": intent.kind.value,
        "subject": intent.subject,
        "state": intent.state.value,
        "wanted": _json(intent.wanted),
        "calls": _json(intent.calls),
        "outcome": None if outcome is None else _json(outcome),
        "key": intent.key,
        "fingerprint": intent.fingerprint,
        "attempts": intent.attempts,
        "due_at": intent.due_at,
        "created_at": intent.created_at,
        "version": intent.version + 1,
    }


def to_intent(row: Row) -> Intent:
    id_, user_id, kind, subject, state, wanted, calls, outcome, *rest = row
    key, fingerprint, attempts, due_at, created_at, version, *_ = rest
    return Intent(
        id=id_,
        user_id=user_id,
        kind=IntentKind(kind),
        subject=subject,
        wanted=msgspec.json.decode(wanted, type=Wanted),
        state=IntentState(state),
        calls=msgspec.json.decode(calls, type=tuple[Call, ...]),
        outcome=outcome and msgspec.json.decode(outcome, type=IntentOutcome),
        key=key,
        fingerprint=fingerprint,
        attempts=attempts,
        due_at=due_at,
        created_at=created_at,
        version=version,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def of_job(job: Job) -> Mapping[str, object]:
    return {
        "kind": job.key.kind.value,
        "subject": job.key.subject,
        "reason": job.reason,
        "due_at": job.due_at,
        "asked": job.asked,
        "attempts": job.attempts,
        "lease_no": job.lease_no,
        "leased_until": job.leased_until,
        "dead": job.dead,
    }


def to_job(row: Row) -> Job:
    kind, subject, reason, due_at, asked, attempts, lease_no, leased_until, dead = row
    return Job(
        key=JobKey(JobKind(kind), subject),
        reason=reason,
        due_at=due_at,
        asked=asked,
        attempts=attempts,
        lease_no=lease_no,
        leased_until=leased_until,
        dead=dead,
    )
