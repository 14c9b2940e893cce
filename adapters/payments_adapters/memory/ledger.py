"""The ledger in memory: a load sees one snapshot, a save is atomic."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from payments_adapters.memory.tables import (
    TOMBSTONES,
    EventRow,
    Tables,
    claims_of,
)
from payments_core.changes import Changes, JobFinish, Lookup, SaveResult, Snapshot
from payments_core.checkpoints import LoopCheckpoint
from payments_core.deliveries import Delivery, DeliveryKey
from payments_core.events import EventKey, EventState, Outcome
from payments_core.identity import CustomerId, UserId
from payments_core.job import JobState
from payments_core.linking import LinkKeys
from payments_core.payment import PaymentRecord
from payments_core.payment_buckets import PaymentBucket
from payments_core.plain_payments import WHOLE_HISTORY_MAX, in_buckets


@attrs.define(eq=False)
class MemoryDatabase:
    """What all adapters of one process share; `tables` is the last saved state.

    `locked` are the keys of groups that count as locked: for tests.
    """

    tables: Tables = attrs.field(factory=Tables)
    last_sequence: int = 0
    locked: set[str] = attrs.field(factory=set)
    loops: dict[str, LoopCheckpoint] = attrs.field(factory=dict)
    listed_customers: dict[datetime, set[CustomerId]] = attrs.field(factory=dict)
    # Per delivery endpoint: its cursor, and its open or dead deliveries.
    delivery_cursors: dict[str, int] = attrs.field(factory=dict)
    deliveries: dict[DeliveryKey, Delivery] = attrs.field(factory=dict)

    def next_sequence(self) -> int:
        self.last_sequence += 1
        return self.last_sequence


@attrs.frozen
class MemoryLedger:
    """As strict as Postgres; it also sums a history of more than `whole_max`."""

    _database: MemoryDatabase
    _whole_max: int = WHOLE_HISTORY_MAX

    async def load(self, lookup: Lookup) -> Snapshot:
        # A database never answers at once: other tasks run in between, here as well.
        await asyncio.sleep(0)
        tables = self._database.tables
        payments = [
            tables.payments[it]
            for it in sorted(lookup.payments & tables.payments.keys())
        ]
        subscriptions = [
            tables.subscriptions[it]
            for it in sorted(lookup.subscriptions & tables.subscriptions.keys())
        ]
        owners = {it.user_id for it in payments if it.user_id}
        owners |= {it.user_id for it in subscriptions if it.user_id}
        wanted = lookup.keys | LinkKeys(frozenset(owners))
        events = {
            key: tables.events[key].outcome.state
            for key in lookup.events
            if key in tables.events
        }
        versions = {
            name: tables.link_versions[name]
            for name in lookup.link_keys.names()
            if name in tables.link_versions
        }
        histories, buckets = self._histories(tables, lookup)
        return Snapshot(
            lookup=lookup,
            sequence=self._database.next_sequence(),
            accounts=tables.accounts_under(wanted),
            payments=payments,
            subscriptions=subscriptions,
            events=events,
            histories=histories,
            buckets=buckets,
            periods=tables.periods_under(lookup),
            unlinked=tables.unlinked_under(lookup.unlinked),
            link_versions=versions,
            former_keys=tables.former_under(wanted, lookup.unlinked.user_ids),
            intents=tables.intents_under(lookup),
            erased={
                it: at
                for it in lookup.names()
                if (at := tables.erased.get(TOMBSTONES.of(it)))
            },
        )

    def _histories(
        self, tables: Tables, lookup: Lookup
    ) -> tuple[Sequence[PaymentRecord], Sequence[PaymentBucket]]:
        whole = tables.payments_of(lookup.histories)
        if len(whole) <= self._whole_max:
            return whole, ()
        records = list(tables.payments_of(lookup.whole_histories & lookup.histories))
        buckets = list[PaymentBucket]()
        for user in sorted(lookup.histories - lookup.whole_histories):
            found = in_buckets(
                tables.payments_of([user]),
                tables.plain_payments_of(user),
                user_id=user,
                named=lookup.payments,
            )
            records += found[0]
            buckets += found[1]
        return records, buckets

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        await asyncio.sleep(0)
        tables = self._database.tables.copy()
        # Several groups may store something under one link key: its version grows once.
        kept = dict[str, int]()
        results = [self._saved(tables, group, kept, at) for group in groups]
        self._database.tables = tables
        return results

    def _saved(
        self, tables: Tables, group: Changes, kept: dict[str, int], at: datetime
    ) -> SaveResult:
        if group.key in self._database.locked:
            return SaveResult.LOCKED
        result = _guard(tables, group, kept if group.after is None else {})
        if result is SaveResult.SAVED:
            _write(tables, group, at)
            if group.after is None:
                kept.update(group.link_versions)
        return result


def _guard(tables: Tables, group: Changes, kept: Mapping[str, int]) -> SaveResult:
    """Check all guards of a group, except link keys that were just `kept`."""
    if _is_taken(tables, group):
        return SaveResult.TAKEN
    holds = (
        _account_holds(tables, group)
        and all(
            it.version == _version(tables.payments.get(it.payment.id))
            and _has_owner(tables, group, it.user_id)
            for it in group.payments
        )
        and all(
            it.version == _version(tables.subscriptions.get(it.gateway_id))
            and _has_owner(tables, group, it.user_id)
            for it in group.subscriptions
        )
        and not any(event.key in tables.events for event, _ in group.events)
        and all(_is_open(tables, key) for key, _ in group.resolved)
        and all(
            version in (tables.link_versions.get(name, 0), kept.get(name))
            for name, version in group.link_versions.items()
        )
        and all(
            it.version == _version(tables.intents.get(it.id))
            and _has_owner(tables, group, it.user_id)
            for it in group.intents
        )
        and _claims_are_free(tables, group)
    )
    return SaveResult.SAVED if holds else SaveResult.CHANGED


def _is_taken(tables: Tables, group: Changes) -> bool:
    """Return whether a unique constraint would refuse a group."""
    after = group.after
    if after is None or not group.changes_account:
        return False
    holders = {tables.emails.get(after.email.key)}
    if after.customer_id:
        holders.add(tables.customers.get(after.customer_id))
    return not holders <= {None, after.user_id}


def _account_holds(tables: Tables, group: Changes) -> bool:
    if group.before is not None:
        kept = tables.accounts.get(group.before.user_id)
        return kept is not None and kept.version == group.before.version
    return group.after is None or group.after.user_id not in tables.accounts


def _version(kept: object) -> int:
    # Rows are saved as version 1 and up, so 0 means that it did not exist when it was
    # loaded.
    return getattr(kept, "version", 0)


def _has_owner(tables: Tables, group: Changes, user_id: UserId | None) -> bool:
    own = group.after.user_id if group.after else None
    return user_id is None or user_id == own or user_id in tables.accounts


def _is_open(tables: Tables, key: EventKey) -> bool:
    row = tables.events.get(key)
    ended = {EventState.APPLIED, EventState.CLOSED}
    return row is not None and row.outcome.state not in ended


def _claims_are_free(tables: Tables, group: Changes) -> bool:
    taken: dict[tuple[str, ...], str] = {}
    for intent in group.intents:
        for claim in claims_of(intent):
            holder = taken.setdefault(claim, tables.claims.get(claim, intent.id))
            if holder != intent.id:
                return False
    return True


def _write(tables: Tables, group: Changes, at: datetime) -> None:
    after = group.after
    if after is not None and group.changes_account:
        tables.put_account(after)
        if logged := group.logged(at):
            tables.log_account(after.user_id, logged)
    tables.add_former_keys(group.former_keys)
    tables.add_by_hand(at, group.by_hand)
    for record in group.payments:
        tables.put_payment(attrs.evolve(record, version=record.version + 1))
    for it in group.subscriptions:
        tables.put_subscription(attrs.evolve(it, version=it.version + 1))
    for period in group.periods:
        tables.put_period(period)
    for name, version in group.link_versions.items():
        tables.put_link_version(name, version + 1)
    _write_events(tables, group, at)
    _write_work(tables, group, at)


def _write_events(tables: Tables, group: Changes, at: datetime) -> None:
    owner = group.after.user_id if group.after else None
    known: dict[str, UserId | None] = {
        it.payment.id: it.user_id for it in group.payments if it.version
    }
    known |= {it.gateway_id: it.user_id for it in group.subscriptions if it.version}
    for thing, user in known.items():
        # The events of a linked object belong to the user, those of an unlinked one to
        # no user.
        tables.move_events(thing, whose=None if user else owner, to=user)
    for event, outcome in group.events:
        tables.put_event(EventRow(event, at, outcome, owner))
    for key, outcome in group.resolved:
        tables.put_event(_settled(tables.events[key], outcome, owner))


def _settled(row: EventRow, outcome: Outcome, owner: UserId | None) -> EventRow:
    return attrs.evolve(row, outcome=outcome, user_id=owner or row.user_id)


def _write_work(tables: Tables, group: Changes, at: datetime) -> None:
    for job in group.jobs:
        known = tables.jobs.get(job.key)
        tables.put_job(job if known is None else known.requested(job))
    owner = group.after.user_id if group.after else None
    for finish in group.finished:
        _finish(tables, finish, at, owner)
    for intent in group.intents:
        tables.put_intent(attrs.evolve(intent, version=intent.version + 1))


def _finish(
    tables: Tables, finish: JobFinish, at: datetime, owner: UserId | None
) -> None:
    claimed = finish.claimed
    kept = tables.jobs.get(claimed.key)
    if kept is None or kept.lease.fence != claimed.lease.fence:
        # Another worker has the job: the facts are recorded, the job is left alone.
        return
    if kept.state is not JobState.OPEN:
        # The job was finished before; the reply was lost.
        return
    if kept.requests != claimed.requests:
        tables.put_job(kept.requeued(finish.again_at))
        return
    tables.put_job(finish.after, at)
    if finish.outcome is not None:
        _settle(tables, finish, finish.outcome, owner)


def _settle(
    tables: Tables, finish: JobFinish, outcome: Outcome, owner: UserId | None
) -> None:
    for key in tables.waiting.get(finish.claimed.key, frozenset()):
        row = tables.events[key]
        if row.outcome.state is EventState.PENDING:
            tables.put_event(_settled(row, outcome, owner))
