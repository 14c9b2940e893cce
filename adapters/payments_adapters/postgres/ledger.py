"""The ledger in Postgres: one round trip to load, one to save, and no lock in between.

The save is `save_v1.sql`. It is called outside of any transaction of ours, so that a
process that is frozen, slow or dead holds no lock.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import attrs

from payments_adapters.postgres import rows, statements, work_rows
from payments_adapters.postgres.store import PostgresStore
from payments_core.account import PaymentAccount
from payments_core.changes import Changes, Lookup, SaveResult, Snapshot
from payments_core.errors import ErasureKeyUnusable, SaveTimedOut
from payments_core.events import EventKey, EventState
from payments_core.identity import UserId
from payments_core.linking import NO_KEYS, UNLINKED_MAX, Unlinked
from payments_core.plain_payments import WHOLE_HISTORY_MAX
from payments_core.subscription import Subscription
from payments_core.tombstones import Tombstones

# Far above any normal save: it waits for a lock a tenth of a second, twice at most. Of
# an event's five seconds two processes may each use one on the same slow account.
SAVE_TIMEOUT_S: Final = 1.5

_RESULTS: Final = {result.value: result for result in SaveResult}
_EVENT_STATES: Final = {state.value: state for state in EventState}


@attrs.frozen
class PostgresLedger:
    """The ledger; it sums plain payments of histories of more than `whole_max`."""

    _store: PostgresStore
    _whole_max: int = WHOLE_HISTORY_MAX
    _tombstones: Tombstones | None = None

    async def load(self, lookup: Lookup) -> Snapshot:
        tombstones, proof = self._tombstones, None
        names: Mapping[bytes, str] = {}
        if tombstones is not None:
            names, proof = tombstones.by_digest(lookup.names()), tombstones.proof
        if lookup.histories:
            return await self._load_with_histories(lookup, proof, names)
        async with self._store.connection() as connection:
            found = await connection.fetchval(
                statements.LOAD, *_wanted(lookup), proof, list(names)
            )
        return _snapshot(lookup, found, names)

    async def _load_with_histories(
        self, lookup: Lookup, proof: bytes | None, names: Mapping[bytes, str]
    ) -> Snapshot:
        async with self._store.connection() as connection:
            found = await connection.fetchrow(
                statements.LOAD_WITH_HISTORIES,
                *_wanted(lookup),
                proof,
                list(names),
                list(lookup.histories),
                list(lookup.whole_histories),
                self._whole_max,
            )
        return attrs.evolve(
            _snapshot(lookup, found["loaded"], names),
            histories=[rows.to_payment(row) for row in found["own_payments"] or ()],
            buckets=[rows.to_bucket(row) for row in found["buckets"] or ()],
            periods=[rows.to_period(row) for row in found["all_periods"] or ()],
        )

    async def save(
        self, groups: Sequence[Changes], *, at: datetime
    ) -> Sequence[SaveResult]:
        values = _values(groups, at)
        async with self._store.connection() as connection:
            try:
                words = await connection.fetchval(
                    statements.SAVE, at, len(groups), *values, timeout=SAVE_TIMEOUT_S
                )
            except (TimeoutError, asyncpg.QueryCanceledError) as error:
                raise SaveTimedOut from error
        return [_RESULTS[word] for word in words]


# Loading


def _wanted(lookup: Lookup) -> Sequence[object]:
    """Return the arguments of `load_v1`, without the tombstones.

    Null for empty: the driver takes some time for each array, before it writes that it
    is empty.
    """
    keys, unlinked, events = lookup.keys, lookup.unlinked, lookup.events
    has_unlinked = unlinked is not NO_KEYS
    return (
        [*keys.user_ids] or None,
        [*keys.customer_ids] or None,
        [*keys.email_keys] or None,
        [*lookup.payments] or None,
        [key.id for key in events] or None,
        [key.type for key in events] or None,
        [*lookup.subscriptions] or None,
        [*lookup.periods_of] or None,
        # All of them or none: a thing of none of these users belongs to another.
        [*unlinked.user_ids] if has_unlinked else None,
        [*unlinked.customer_ids] if has_unlinked else None,
        [*unlinked.email_keys] if has_unlinked else None,
        UNLINKED_MAX,
        [*lookup.link_keys.names()] or None,
        [*lookup.intents] or None,
        [*lookup.idempotency_keys] or None,
        [*lookup.open_intents] or None,
    )


def _snapshot(
    lookup: Lookup, found: Mapping[str, Any], names: Mapping[bytes, str]
) -> Snapshot:
    owned = defaultdict[str, list[Subscription]](list)
    for row in found["owned"] or ():
        owned[row["user_id"]].append(rows.to_subscription(row))
    return Snapshot(
        lookup=lookup,
        sequence=found["sequence"],
        accounts=[
            rows.to_account(row, owned.get(row["user_id"], ()))
            for row in found["accounts"] or ()
        ],
        payments=[rows.to_payment(row) for row in found["payments"] or ()],
        subscriptions=[
            rows.to_subscription(row) for row in found["subscriptions"] or ()
        ],
        events={
            EventKey(row["id"], row["type"]): _EVENT_STATES[row["state"]]
            for row in found["events"] or ()
        },
        periods=[rows.to_period(row) for row in found["periods"] or ()],
        unlinked=Unlinked(
            [rows.to_payment(row) for row in found["unlinked_payments"] or ()],
            [
                rows.to_subscription(row)
                for row in found["unlinked_subscriptions"] or ()
            ],
        ),
        link_versions={
            row["key"]: row["version"] for row in found["link_versions"] or ()
        },
        former_keys=[rows.to_former_key(row) for row in found["former_keys"] or ()],
        intents=[work_rows.to_intent(row) for row in found["intents"] or ()],
        erased=_erased(found, names) if found["erased"] else {},
    )


def _erased(
    found: Mapping[str, Any], names: Mapping[bytes, str]
) -> Mapping[str, datetime]:
    digests = found["erased"]
    if None in digests:
        raise ErasureKeyUnusable
    return {
        names[digest]: at
        for digest, at in zip(digests, found["erased_at"], strict=True)
    }


# Saving


_Rows = Iterator[tuple[str, rows.NewRow]]


def _values(
    groups: Sequence[Changes], at: datetime
) -> Iterator[Sequence[tuple[object, ...]] | None]:
    """Return the arguments of `save_v1`: rows, each with the number of its group.

    None for a table without rows, as in `_wanted`.
    """
    tables: dict[str, list[tuple[object, ...]]] = {
        name: [] for name in statements.SAVED_ROWS
    }
    for number, group in enumerate(groups, 1):
        for table, row in _rows(group, at):
            row["grp"] = number
            # Names are checked up to here; the driver encodes a tuple faster than a
            # mapping.
            tables[table].append(statements.SAVED_ROWS[table](row))
    for table_rows in tables.values():
        yield table_rows or None


def _rows(group: Changes, at: datetime) -> _Rows:
    """Return each row of a group, with its table."""
    if group.after is not None:
        yield from _account_rows(group, group.after, at)
    for record in group.payments:
        row = rows.of_payment(record)
        yield "payments", row
        if invoice := row["invoice_id"]:
            yield "invoiced", {"invoice_id": invoice, "payment_id": row["id"]}
    owner = group.after.user_id if group.after is not None else None
    for event, outcome in group.events:
        yield "events", {**rows.of_event(event, outcome), "user_id": owner}
    for former in group.former_keys:
        yield "former", rows.of_former_key(former)
    for change in group.by_hand:
        yield "by_hand", rows.of_change_by_hand(change)
    for name, version in group.link_versions.items():
        claimed = group.after is not None
        yield "keys", {"key": name, "version": version, "claimed": claimed}
    for subscription in group.subscriptions:
        yield "subscriptions", rows.of_subscription(subscription)
    for period in group.periods:
        yield "periods", rows.of_period(period)
    yield from _work_rows(group, owner)


def _work_rows(group: Changes, owner: UserId | None) -> _Rows:
    for key, outcome in group.resolved:
        settled = {"id": key.id, "type": key.type, **rows.of_outcome(outcome)}
        yield "settled", {**settled, "user_id": owner}
    for job in group.jobs:
        yield "requested", work_rows.of_job(job)
    for finish in group.finished:
        yield "finished", {**work_rows.of_finish(finish), "user_id": owner}
    for intent in group.intents:
        yield "intents", work_rows.of_intent(intent)


def _account_rows(group: Changes, after: PaymentAccount, at: datetime) -> _Rows:
    before, changed = group.before, group.changes_account
    row = rows.of_summary(after.summary)
    verdict = group.verdict or after.verdict
    row["payment_status"] = verdict.payment_status
    row["payment_expire_date"] = verdict.payment_expire_date
    row["user_id"] = after.user_id
    row["is_new"] = before is None
    row["version"] = before.version if before else 0
    row["changed"] = changed
    row.update(rows.of_logged(group.logged(at)))
    yield "accounts", row
    if changed and (before is None or not _is_same_identity(before, after)):
        yield "identities", {**rows.of_identity(after), "is_new": before is None}


def _is_same_identity(before: PaymentAccount, after: PaymentAccount) -> bool:
    # After a payment these are the same objects: usually nothing is compared.
    return (
        before.email is after.email
        and before.email_since is after.email_since
        and before.card is after.card
        and before.customer_id is after.customer_id
        and before.card_sequence == after.card_sequence
    ) or rows.of_identity(before) == rows.of_identity(after)
