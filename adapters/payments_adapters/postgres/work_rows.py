"""Rows and values of intents and jobs, mapped by hand like the others (`rows`).

The details of an intent are JSON in our own format: only the previous release also
reads it, so its fields keep the names that they had there.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from payments_adapters.postgres.rows import NewRow, Row, of_outcome
from payments_core.changes import JobFinish
from payments_core.intent import (
    Call,
    Intent,
    IntentKind,
    IntentOutcome,
    IntentState,
    OperationParams,
)
from payments_core.job import Job, JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.lease import Lease


def of_intent(intent: Intent) -> NewRow:
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
        "attempts": intent.lease.attempts,
        # The previous release knows only this lease.
        "due_at": _due_at(intent.lease),
        "created_at": intent.created_at,
        "version": intent.version,
        "lease_no": intent.lease.fence,
        "leased_until": intent.lease.until,
        "writer": intent.writer,
        "steps_version": intent.steps_version,
    }


def _due_at(lease: Lease) -> datetime:
    return lease.due_at if lease.until is None else max(lease.due_at, lease.until)


def to_intent(row: Row) -> Intent:
    outcome = row["outcome"]
    return Intent(
        id=row["id"],
        user_id=row["user_id"],
        kind=IntentKind(row["kind"]),
        subject=row["subject"],
        wanted=_read(row["wanted"], OperationParams),
        state=IntentState(row["state"]),
        calls=_read(row["calls"], tuple[Call, ...]),
        outcome=outcome and _read(outcome, IntentOutcome),
        key=row["key"],
        fingerprint=row["fingerprint"],
        lease=Lease(
            due_at=row["due_at"],
            attempts=row["attempts"],
            fence=row["lease_no"],
            until=row["leased_until"],
        ),
        created_at=row["created_at"],
        steps_version=row["steps_version"],
        writer=row["writer"],
        version=row["version"],
    )


_STORED_NAMES: Final = {
    "metadata_user_id": "claimed_by",
    "paid_period": "term",
    "sequence": "ticket",
    "server_error_cached": "poisoned",
}
_ADDED: Final = frozenset({"amount_paid_minor", "decline", "item_id", "other_items"})
_NAMES: Final = {stored: name for name, stored in _STORED_NAMES.items()}


def _json(value: object) -> str:
    stored = _renamed(msgspec.to_builtins(value), _STORED_NAMES)
    # The previous release does not know new fields: empty ones are left out.
    stored = _without_empty(stored, _ADDED)
    return msgspec.json.encode(stored).decode()


def _without_empty(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {
            k: _without_empty(it, names)
            for k, it in value.items()
            if it not in (None, [], ()) or k not in names
        }
    if isinstance(value, list | tuple):
        return [_without_empty(it, names) for it in value]
    return value


def _read(text: str, kind: Any) -> Any:
    return msgspec.convert(_renamed(msgspec.json.decode(text), _NAMES), kind)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(k, k): _renamed(it, names) for k, it in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(it, names) for it in value]
    return value


def of_job(job: Job) -> NewRow:
    """Return the row of a requested job for `save_v1`."""
    return {
        "kind": job.key.kind.value,
        "subject": job.key.subject,
        "reason": job.reason,
        "due_at": job.lease.due_at,
        "attempts": job.lease.attempts,
        "user_id": job.user_id,
    }


_NO_OUTCOME: Final = {"state": None, "reason": None, "waits_for": None}


def of_finish(finish: JobFinish) -> NewRow:
    claimed, after, outcome = finish.claimed, finish.after, finish.outcome
    return {
        "kind": claimed.key.kind.value,
        "subject": claimed.key.subject,
        "fence": claimed.lease.fence,
        "asked": claimed.requests,
        "due_at": after.lease.due_at,
        "attempts": after.lease.attempts,
        "again_at": finish.again_at,
        "is_done": after.state is JobState.DONE,
        **(of_outcome(outcome) if outcome else _NO_OUTCOME),
    }


def to_job(row: Row) -> Job:
    return Job(
        key=JobKey(JobKind(row["kind"]), row["subject"]),
        reason=row["reason"],
        requests=row["asked"],
        lease=Lease(
            due_at=row["due_at"],
            attempts=row["attempts"],
            fence=row["lease_no"],
            until=row["leased_until"],
        ),
        state=JobState.DONE if row["dead"] else JobState.OPEN,
        user_id=row["user_id"],
    )
