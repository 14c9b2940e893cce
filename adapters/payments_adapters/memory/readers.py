"""Readers of committed state, outside any transaction."""

from collections.abc import Sequence
from datetime import datetime

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.account import PaymentAccount
from payments_core.account_version import AccountVersion
from payments_core.by_hand import (
    ActionByHand,
    AuditCursor,
    AuditPage,
    LoggedChange,
)
from payments_core.events import OPEN_STATES, EventKey, EventState
from payments_core.identity import CustomerId, Email, UserId
from payments_core.intent import Intent, IntentId
from payments_core.job import Job, JobState
from payments_core.job_key import JobKey, JobKind
from payments_core.job_list import JobPage, JobPlace
from payments_core.kept_events import EventCursor, EventPage, KeptEvent, cursor_of
from payments_core.object_lists import CreatedBetween, ObjectList
from payments_core.payment import PaymentId, PaymentRecord
from payments_core.payment_list import PaymentPage, PaymentPlace
from payments_core.sweep import GIVEN_UP_AFTER


@attrs.frozen
class MemoryAccountDirectory:
    _database: MemoryDatabase

    async def find(self, user: UserId | Email) -> PaymentAccount | None:
        tables = self._database.tables
        id_ = tables.emails.get(user.key) if isinstance(user, Email) else user
        account = tables.accounts.get(id_) if id_ else None
        return tables.whole(account) if account else None

    async def version_of(self, user: UserId | Email) -> AccountVersion | None:
        found = await self.find(user)
        return AccountVersion(found.user_id, found.version) if found else None

    async def owner_of_customer(self, customer_id: CustomerId) -> UserId | None:
        return self._database.tables.customers.get(customer_id)


@attrs.frozen
class MemoryPaymentDirectory:
    _database: MemoryDatabase

    async def find(self, id_: PaymentId) -> PaymentRecord | None:
        return self._database.tables.payments.get(id_)

    async def page(
        self,
        user_id: UserId,
        *,
        limit: int = 100,
        after: PaymentPlace | None = None,
    ) -> PaymentPage:
        theirs = self._database.tables.payments_of([user_id])
        placed = [(PaymentPlace.of(it), it) for it in theirs]
        placed.sort(key=lambda it: it[0].order, reverse=True)
        left = [it for it in placed if after is None or it[0].order < after.order]
        last = left[limit - 1][0] if len(left) > limit else None
        return PaymentPage([it for _, it in left[:limit]], last)


@attrs.frozen
class MemoryAuditLog:
    _database: MemoryDatabase

    async def page(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        subject: str | None = None,
        user_id: UserId | None = None,
        action: ActionByHand | None = None,
        since: datetime | None = None,
        limit: int = 100,
        after: AuditCursor | None = None,
    ) -> AuditPage:
        logged = (
            LoggedChange(at=at, number=number, change=change)
            for number, (at, change) in enumerate(
                self._database.tables.changes_by_hand, 1
            )
        )
        wanted = [
            it
            for it in logged
            if subject in (None, it.change.subject)
            and user_id in (None, it.change.user_id)
            and action in (None, it.change.action)
            and (since is None or it.at >= since)
            and (after is None or (it.at, it.number) < after)
        ]
        wanted.sort(key=lambda it: (it.at, it.number), reverse=True)
        changes = wanted[:limit]
        if len(wanted) <= limit:
            return AuditPage(changes, None)
        return AuditPage(changes, (changes[-1].at, changes[-1].number))


@attrs.frozen
class MemoryIntentDirectory:
    _database: MemoryDatabase

    async def find(self, id_: IntentId) -> Intent | None:
        return self._database.tables.intents.get(id_)

    async def declines_of(
        self, user_id: UserId, *, after: datetime, limit: int
    ) -> Sequence[datetime]:
        declined = [
            it.created_at
            for it in self._database.tables.intents.values()
            if it.user_id == user_id and it.is_declined and it.created_at > after
        ]
        return sorted(declined, reverse=True)[:limit]


@attrs.frozen
class MemoryJobDirectory:
    _database: MemoryDatabase

    async def find(self, key: JobKey) -> Job | None:
        return self._database.tables.jobs.get(key)

    async def page(
        self,
        *,
        failing: bool = False,
        kind: JobKind | None = None,
        since: datetime | None = None,
        after: JobPlace | None = None,
        limit: int = 100,
    ) -> JobPage:
        found = [
            it
            for it in sorted(self._database.tables.jobs.values(), key=_place)
            if it.state is JobState.OPEN
            and (it.is_failing or not failing)
            and kind in (None, it.key.kind)
            and (since is None or it.lease.due_at >= since)
            and (after is None or _place(it) > after.order)
        ]
        listed = found[:limit]
        return JobPage(listed, JobPlace.of(listed[-1]) if len(found) > limit else None)

    async def count_failing(self, *, limit: int) -> int:
        jobs = self._database.tables.jobs.values()
        return min(sum(it.is_failing for it in jobs), limit)


def _place(job: Job) -> tuple[datetime, str, str]:
    return JobPlace.of(job).order


@attrs.frozen
class MemoryEventLog:
    _database: MemoryDatabase

    async def page(  # noqa: PLR0913  # each a filter, by name
        self,
        *,
        state: EventState | None = None,
        type_: str | None = None,
        since: datetime | None = None,
        unlinked: bool = False,
        limit: int = 100,
        after: EventCursor | None = None,
    ) -> EventPage:
        tables = self._database.tables
        wanted = [
            tables.kept(row, with_body=False)
            for row in tables.events.values()
            if state in (None, row.outcome.state)
            and type_ in (None, row.event.type)
            and (since is None or row.received_at >= since)
            and (not unlinked or tables.is_unlinked(row))
        ]
        wanted.sort(key=cursor_of, reverse=True)
        left = [it for it in wanted if after is None or cursor_of(it) < after]
        last = cursor_of(left[limit - 1]) if len(left) > limit else None
        return EventPage(left[:limit], last)

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        tables = self._database.tables
        return [
            tables.kept(row, with_body=True)
            for row in tables.events.values()
            if row.event.id == event_id
        ]

    async def with_bodies(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        tables = self._database.tables
        found = {it: tables.events.get(it) for it in keys}
        return frozenset(
            key
            for key, row in found.items()
            if row and tables.kept(row, with_body=True).body is not None
        )

    async def count(self, state: EventState, *, limit: int) -> int:
        events = self._database.tables.events.values()
        return min(sum(it.outcome.state is state for it in events), limit)

    async def known(self, event_ids: frozenset[str]) -> frozenset[str]:
        return event_ids & {key.id for key in self._database.tables.events}

    async def open_about(self, object_id: str) -> Sequence[KeptEvent]:
        tables = self._database.tables
        found = [
            tables.kept(row, with_body=False)
            for row in tables.events.values()
            if row.event.object_id == object_id and row.outcome.state in OPEN_STATES
        ]
        return sorted(found, key=cursor_of, reverse=True)

    async def has_closed(self, object_id: str) -> bool:
        return any(
            it.event.object_id == object_id and it.outcome.state is EventState.CLOSED
            for it in self._database.tables.events.values()
        )

    async def received_between(self, start: datetime, end: datetime) -> bool:
        tables = self._database.tables
        kept = (tables.kept(it, with_body=False) for it in tables.events.values())
        return any(start <= it.received_at < end for it in kept)


@attrs.frozen
class MemoryKeptObjects:
    _database: MemoryDatabase

    async def made_between(
        self, list_: ObjectList, created: CreatedBetween, *, limit: int
    ) -> Sequence[str]:
        tables = self._database.tables
        made: dict[str, datetime | None]
        if list_ is ObjectList.SUBSCRIPTIONS:
            made = {id_: it.began_at for id_, it in tables.subscriptions.items()}
        else:
            payments = tables.payments.items()
            made = {id_: it.payment.created_at for id_, it in payments}
        found = [id_ for id_, at in made.items() if at and created.holds(at)]
        return found[:limit]

    async def note_listed(
        self, sweep: datetime, customers: Sequence[CustomerId]
    ) -> None:
        self._database.listed_customers.setdefault(sweep, set()).update(customers)

    async def unlisted(self, sweep: datetime, *, limit: int) -> Sequence[CustomerId]:
        noted = self._database.listed_customers.get(sweep, set())
        accounts = self._database.tables.accounts.values()
        bound = (it.customer_id for it in accounts)
        found = {it for it in bound if it is not None and it not in noted}
        return sorted(found)[:limit]

    async def forget_listed(self, sweep: datetime) -> None:
        listed = self._database.listed_customers
        for it in list(listed):
            if it == sweep or it < sweep - GIVEN_UP_AFTER:
                del listed[it]
