"""The timeline of a user: four tables, each by an index, in one statement.

So all rows are from one snapshot. The cost of a page is four times what it shows,
however long the history; rows of the same time are sorted.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs
import sqlalchemy as sa

from payments_adapters.postgres import rows
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    account_log,
    changes_by_hand,
    payments,
    webhook_events,
)
from payments_core.entitlement import PaymentStatus
from payments_core.identity import UserId
from payments_core.timeline import (
    NUMBERED,
    StatusChange,
    TimelineItem,
    TimelineKind,
    TimelinePlace,
    newest,
)

_Column = sa.ColumnElement[Any]
# For each kind its table, its time, and what orders rows of the same time.
_SOURCES: Final[Mapping[TimelineKind, tuple[sa.Table, _Column, Sequence[_Column]]]] = {
    TimelineKind.EVENT: (
        webhook_events,
        webhook_events.c.received_at,
        (webhook_events.c.id, webhook_events.c.type),
    ),
    TimelineKind.PAYMENT: (payments, payments.c.created_at, (payments.c.id,)),
    TimelineKind.STATUS: (account_log, account_log.c.at, (account_log.c.version,)),
    TimelineKind.BY_HAND: (
        changes_by_hand,
        changes_by_hand.c.at,
        (changes_by_hand.c.id,),
    ),
}
# Without the body, which may be large and is not shown.
_LEFT_OUT: Final = frozenset({webhook_events.c.body})


def _shown(kind: TimelineKind) -> Sequence[sa.Column[Any]]:
    table, _, _ = _SOURCES[kind]
    return [it for it in table.c if it not in _LEFT_OUT]


def _label(kind: TimelineKind, column: sa.Column[Any]) -> str:
    return f"{kind.value}_{column.name}"


def _in_bytes(column: _Column) -> _Column:
    return sa.collate(column, "C") if isinstance(column.type, sa.Text) else column


def _parts(
    kind: TimelineKind, user: UserId, before: TimelinePlace | None, limit: int
) -> Iterator[sa.Select[Any]]:
    """Return the queries for the newest rows of one kind after a position.

    For the position's own kind there are two, one for its time and one for earlier
    times: the planner knows of each how few rows it reads.
    """
    table, at, ids = _SOURCES[kind]
    parting = [_in_bytes(it) for it in ids]
    query = (
        sa.select(*(it.label(_label(kind, it)) for it in _shown(kind)))
        .where(table.c.user_id == user, at.is_not(None))
        .order_by(at.desc(), *(it.desc() for it in parting))
        .limit(sa.literal(limit, literal_execute=True))
    )
    if before is None:
        yield query
    elif kind < before.kind:
        yield query.where(at <= before.at)
    else:
        yield query.where(at < before.at)
    if before is not None and kind is before.kind:
        values: Sequence[object] = (before.id, before.type)[: len(ids)]
        if kind in NUMBERED:
            values = [int(before.id)]
        place = sa.tuple_(*map(sa.literal, values))
        yield query.where(at == before.at, sa.tuple_(*parting) < place)


def timeline_query(
    user: UserId, before: TimelinePlace | None, limit: int
) -> sa.CompoundSelect[Any]:
    """Return the query for the newest of each kind, each in its own columns."""
    return sa.union_all(
        *(
            _widened(kind, part.subquery())
            for kind in _SOURCES
            for part in _parts(kind, user, before, limit)
        )
    )


def _widened(kind: TimelineKind, own: sa.Subquery) -> sa.Select[Any]:
    return sa.select(
        sa.literal(kind.value).label("kind"),
        *(
            own.c[_label(other, it)].label(_label(other, it))
            if other is kind
            else sa.cast(sa.null(), it.type).label(_label(other, it))
            for other in _SOURCES
            for it in _shown(other)
        ),
    )


@attrs.frozen
class PostgresTimelines:
    _store: PostgresStore

    async def newest(
        self, user_id: UserId, *, limit: int, before: TimelinePlace | None = None
    ) -> Sequence[TimelineItem]:
        found = await self._store.execute(timeline_query(user_id, before, limit))
        return newest(_items(found, user_id), before=before, limit=limit)


def _items(found: Sequence[Mapping[str, Any]], user: UserId) -> Iterator[TimelineItem]:
    for it in found:
        kind = TimelineKind(it["kind"])
        row = {column.name: it[_label(kind, column)] for column in _shown(kind)}
        match kind:
            case TimelineKind.EVENT:
                owner = {"payment_owner": user, "subscription_owner": None}
                yield rows.to_kept_event({**row, **owner, "body": None})
            case TimelineKind.PAYMENT:
                yield rows.to_payment(row)
            case TimelineKind.STATUS:
                yield _status_change(row)
            case _:
                yield rows.to_logged_change(row)


def _status_change(row: Mapping[str, Any]) -> StatusChange:
    return StatusChange(
        version=row["version"],
        at=row["at"],
        payment_status=PaymentStatus(row["payment_status"]),
        payment_expire_date=row["payment_expire_date"],
        cause=row["cause"],
        sources=tuple(row["sources"]),
    )
