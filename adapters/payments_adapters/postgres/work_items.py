"""Intents and jobs: one half of the unit of work, not the hot one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from payments_adapters.postgres import rows, work_rows
from payments_adapters.postgres.statements import compiled
from payments_adapters.postgres.store import Connection
from payments_adapters.postgres.tables import (
    OPEN_INTENT,
    intents,
    jobs,
    subscriptions,
    webhook_events,
)
from payments_core.errors import ChangedElsewhere
from payments_core.events import EventKey, EventState, Outcome
from payments_core.identity import UserId
from payments_core.intent import Intent, IntentId, IntentKind
from payments_core.job import Job, JobKey, JobKind

SILENT_REASON: Final = "nothing was heard of it"


def _given(
    column: sa.Column[object], name: str | None = None
) -> sa.BindParameter[object]:
    return sa.bindparam(name or f"given_{column.name}", type_=column.type)


def _equal(*columns: sa.Column[object]) -> sa.ColumnElement[bool]:
    return sa.and_(*(column == _given(column) for column in columns))


_INTENT: Final = compiled(
    sa.select(intents).where(_equal(intents.c.id)).with_for_update()
)
_INTENT_UNDER: Final = compiled(
    sa.select(intents).where(_equal(intents.c.key)).with_for_update()
)
_OPEN_INTENT: Final = compiled(
    sa.select(intents)
    .where(OPEN_INTENT, _equal(intents.c.user_id, intents.c.kind, intents.c.subject))
    .with_for_update()
)
_DUE_INTENTS: Final = compiled(
    sa.select(intents)
    .where(OPEN_INTENT, intents.c.due_at <= _given(intents.c.due_at))
    .order_by(intents.c.due_at, intents.c.id)
    .limit(sa.bindparam("most", type_=sa.BigInteger))
    .with_for_update(skip_locked=True)
)
_NEW_INTENT: Final = insert(intents)
_SAVE_INTENT: Final = compiled(
    _NEW_INTENT.on_conflict_do_update(
        index_elements=[intents.c.id],
        set_={
            column.name: _NEW_INTENT.excluded[column.name]
            for column in intents.c
            if column.name not in {"id", "created_at"}
        },
        where=intents.c.version == _NEW_INTENT.excluded.version - 1,
    ).returning(intents.c.version)
)

_NEW_JOB: Final = insert(jobs)
_ASK: Final = compiled(
    _NEW_JOB.on_conflict_do_update(
        index_elements=[jobs.c.kind, jobs.c.subject],
        set_={
            "reason": _NEW_JOB.excluded.reason,
            "due_at": sa.func.least(jobs.c.due_at, _NEW_JOB.excluded.due_at),
            "asked": jobs.c.asked + 1,
            "attempts": sa.case((jobs.c.dead, 0), else_=jobs.c.attempts),
            "dead": sa.false(),
        },
    )
)
_SILENT: Final = (
    sa.select(subscriptions.c.gateway_id)
    .where(
        subscriptions.c.look_at <= _given(jobs.c.due_at, "now"),
        ~sa.exists().where(
            jobs.c.kind == JobKind.SUBSCRIPTION.value,
            jobs.c.subject == subscriptions.c.gateway_id,
        ),
    )
    .order_by(subscriptions.c.look_at)
    .limit(sa.bindparam("most", type_=sa.BigInteger))
)
_ASK_FOR_SILENT: Final = compiled(
    _NEW_JOB.from_select(
        [column.name for column in jobs.c if column.name != "leased_until"],
        _SILENT.with_only_columns(
            sa.literal(JobKind.SUBSCRIPTION.value, sa.Text),
            subscriptions.c.gateway_id,
            sa.literal(SILENT_REASON, sa.Text),
            _given(jobs.c.due_at, "now"),
            sa.literal(1, sa.BigInteger),
            sa.literal(0, sa.Integer),
            sa.literal(0, sa.BigInteger),
            sa.false(),
        ),
    )
    .on_conflict_do_nothing()
    .returning(jobs.c.subject)
)
_DUE_JOBS: Final = compiled(
    sa.select(jobs)
    .where(
        ~jobs.c.dead,
        jobs.c.due_at <= _given(jobs.c.due_at, "now"),
        sa.or_(
            jobs.c.leased_until.is_(None),
            jobs.c.leased_until <= _given(jobs.c.due_at, "now"),
        ),
    )
    .order_by(jobs.c.due_at, jobs.c.kind, jobs.c.subject)
    .limit(sa.bindparam("most", type_=sa.BigInteger))
    .with_for_update(skip_locked=True)
)
_JOB: Final = compiled(
    sa.select(jobs).where(_equal(jobs.c.kind, jobs.c.subject)).with_for_update()
)
_SAVE_JOB: Final = compiled(
    sa.update(jobs)
    .where(_equal(jobs.c.kind, jobs.c.subject))
    .values(
        {
            column.name: _given(column, column.name)
            for column in jobs.c
            if not column.primary_key
        }
    )
)
_FINISH_JOB: Final = compiled(
    sa.delete(jobs).where(_equal(jobs.c.kind, jobs.c.subject))
)
_SETTLED: Final = {
    name: _given(webhook_events.c[name], name)
    for name in ("state", "reason", "waits_for")
}
_PENDING: Final = webhook_events.c.state == EventState.PENDING.value
_SETTLE: Final = compiled(
    sa.update(webhook_events)
    .where(_PENDING, _equal(webhook_events.c.waits_for))
    .values(_SETTLED)
)
_SETTLE_EVENT: Final = compiled(
    sa.update(webhook_events)
    .where(_PENDING, _equal(webhook_events.c.id, webhook_events.c.type))
    .values(_SETTLED)
)


@attrs.frozen
class PostgresWorkItems:
    _connection: Connection

    # Intents

    async def intent(self, id_: IntentId) -> Intent | None:
        values = _INTENT.values(given_id=id_)
        row = await self._connection.fetchrow(_INTENT.text, *values)
        return work_rows.to_intent(tuple(row)) if row else None

    async def intent_under(self, key: str) -> Intent | None:
        values = _INTENT_UNDER.values(given_key=key)
        row = await self._connection.fetchrow(_INTENT_UNDER.text, *values)
        return work_rows.to_intent(tuple(row)) if row else None

    async def open_intent(
        self, user_id: UserId, kind: IntentKind, subject: str
    ) -> Intent | None:
        values = _OPEN_INTENT.values(
            given_user_id=user_id, given_kind=kind.value, given_subject=subject
        )
        row = await self._connection.fetchrow(_OPEN_INTENT.text, *values)
        return work_rows.to_intent(tuple(row)) if row else None

    async def due_intents(self, *, now: datetime, limit: int) -> Sequence[Intent]:
        values = _DUE_INTENTS.values(given_due_at=now, most=limit)
        found = await self._connection.fetch(_DUE_INTENTS.text, *values)
        return [work_rows.to_intent(tuple(row)) for row in found]

    async def save_intent(self, intent: Intent, *, at: datetime) -> None:
        values = _SAVE_INTENT.values(**work_rows.of_intent(intent), updated_at=at)
        if await self._connection.fetchval(_SAVE_INTENT.text, *values) is None:
            raise ChangedElsewhere("an intent")

    # Jobs

    async def ask(self, wanted: Sequence[Job]) -> None:
        for job in wanted:
            values = _ASK.values(**work_rows.of_job(job))
            await self._connection.execute(_ASK.text, *values)

    async def ask_for_silent(self, *, now: datetime, limit: int) -> int:
        values = _ASK_FOR_SILENT.values(now=now, most=limit)
        return len(await self._connection.fetch(_ASK_FOR_SILENT.text, *values))

    async def due_jobs(self, *, now: datetime, limit: int) -> Sequence[Job]:
        values = _DUE_JOBS.values(now=now, most=limit)
        found = await self._connection.fetch(_DUE_JOBS.text, *values)
        return [work_rows.to_job(tuple(row)) for row in found]

    async def job(self, key: JobKey) -> Job | None:
        values = _JOB.values(given_kind=key.kind.value, given_subject=key.subject)
        row = await self._connection.fetchrow(_JOB.text, *values)
        return work_rows.to_job(tuple(row)) if row else None

    async def save_job(self, job: Job) -> None:
        columns = work_rows.of_job(job)
        values = _SAVE_JOB.values(
            given_kind=columns["kind"], given_subject=columns["subject"], **columns
        )
        await self._connection.execute(_SAVE_JOB.text, *values)

    async def finish_job(self, job: Job) -> None:
        values = _FINISH_JOB.values(
            given_kind=job.key.kind.value, given_subject=job.key.subject
        )
        await self._connection.execute(_FINISH_JOB.text, *values)

    async def settle(self, *, waiting_for: JobKey, outcome: Outcome) -> None:
        values = _SETTLE.values(
            given_waits_for=rows.of_job_key(waiting_for), **_outcome(outcome)
        )
        await self._connection.execute(_SETTLE.text, *values)

    async def settle_event(self, key: EventKey, outcome: Outcome) -> None:
        values = _SETTLE_EVENT.values(
            given_id=key.id, given_type=key.type, **_outcome(outcome)
        )
        await self._connection.execute(_SETTLE_EVENT.text, *values)


def _outcome(outcome: Outcome) -> dict[str, object]:
    waits_for = outcome.waits_for and rows.of_job_key(outcome.waits_for)
    return {
        "state": outcome.state.value,
        "reason": outcome.reason,
        "waits_for": waits_for,
    }
