"""Events as saved, with their outcomes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from payments_adapters.postgres import rows
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    event_bodies,
    payments,
    subscriptions,
    webhook_events,
)
from payments_core.events import OPEN_STATES, EventKey, EventState
from payments_core.kept_events import EventCursor, EventPage, KeptEvent, cursor_of

# How many events a page reads, of which few may match. The object of each is looked up.
READ_MAX: Final = 1_000
_COLUMNS: Final = (
    webhook_events.c.id,
    webhook_events.c.type,
    webhook_events.c.object_id,
    webhook_events.c.created_at,
    webhook_events.c.received_at,
    webhook_events.c.livemode,
    webhook_events.c.state,
    webhook_events.c.reason,
    webhook_events.c.waits_for,
)
_PLACE: Final = sa.tuple_(
    webhook_events.c.received_at, webhook_events.c.id, webhook_events.c.type
)
_PLACE_NAMES: Final = ("received_at", "id", "type")
_LATEST_FIRST: Final[tuple[sa.UnaryExpression[Any], ...]] = tuple(
    sa.desc(name) for name in _PLACE_NAMES
)
_AFTER: Final = sa.tuple_(
    sa.bindparam("received_at", type_=webhook_events.c.received_at.type),
    sa.bindparam("id", type_=sa.Text),
    sa.bindparam("type", type_=sa.Text),
)


def _owner_in(table: sa.Table, id_: sa.ColumnElement[str], of: Any) -> Any:
    """Return the owner of the object: null if it does not exist, empty if unlinked.

    A subquery for each event, never a join: for a join the whole table may be read.
    """
    return (
        sa.select(sa.func.coalesce(table.c.user_id, ""))
        .where(id_ == of)
        .scalar_subquery()
    )


def _owners(object_id: Any) -> tuple[Any, Any]:
    return (
        _owner_in(payments, payments.c.id, object_id).label("payment_owner"),
        _owner_in(subscriptions, subscriptions.c.gateway_id, object_id).label(
            "subscription_owner"
        ),
    )


def _read(
    state: EventState | None, since: datetime | None, *, is_first: bool
) -> sa.Select[Any]:
    """Return the query of a page, which uses an index."""
    events = sa.select(*_COLUMNS).order_by(*_LATEST_FIRST).limit(sa.bindparam("most"))
    if state in OPEN_STATES:
        # These have an index, the other states do not: there a page filters what it
        # reads.
        # A constant: with a parameter the planner does not use the partial index.
        named = sa.literal(state.value, literal_execute=True)
        events = events.where(webhook_events.c.state == named)
    if since is not None:
        events = events.where(webhook_events.c.received_at >= since)
    if not is_first:
        events = events.where(_PLACE < _AFTER)
    read = events.subquery("e")
    return sa.select(read, *_owners(read.c.object_id)).order_by(*_LATEST_FIRST)


# A body is stored under the day on which its event was received.
_BODY: Final = (
    sa.select(event_bodies.c.body)
    .where(
        event_bodies.c.received_on
        == sa.cast(sa.func.timezone("UTC", webhook_events.c.received_at), sa.Date),
        event_bodies.c.id == webhook_events.c.id,
        event_bodies.c.type == webhook_events.c.type,
    )
    .scalar_subquery()
)
_FIND: Final = (
    sa.select(
        *_COLUMNS,
        *_owners(webhook_events.c.object_id),
        sa.func.coalesce(_BODY, webhook_events.c.body).label("body"),
    )
    .where(webhook_events.c.id == sa.bindparam("event_id", type_=sa.Text))
    .order_by(*_LATEST_FIRST)
)
_WITH_BODIES: Final = sa.select(webhook_events.c.id, webhook_events.c.type).where(
    sa.tuple_(webhook_events.c.id, webhook_events.c.type).in_(
        # Unnested in parallel: the first id with the first type.
        sa.select(
            sa.func.unnest(sa.bindparam("ids", type_=postgresql.ARRAY(sa.Text))),
            sa.func.unnest(sa.bindparam("types", type_=postgresql.ARRAY(sa.Text))),
        )
    ),
    sa.or_(webhook_events.c.body.is_not(None), _BODY.is_not(None)),
)
_KNOWN: Final = (
    sa.select(webhook_events.c.id)
    .where(
        webhook_events.c.id
        == sa.any_(sa.bindparam("ids", type_=postgresql.ARRAY(sa.Text)))
    )
    .distinct()
)

# Constants: with parameters the planner does not use the partial index.
_IS_OPEN: Final = webhook_events.c.state.in_(
    sa.bindparam(
        "open",
        [it.value for it in OPEN_STATES],
        expanding=True,
        literal_execute=True,
    )
)
_OPEN_MAX: Final = 100
_OPEN_ABOUT: Final = (
    sa.select(*_COLUMNS, *_owners(webhook_events.c.object_id))
    .where(_IS_OPEN, webhook_events.c.object_id == sa.bindparam("object_id"))
    .order_by(*_LATEST_FIRST)
    .limit(_OPEN_MAX)
)
_CLOSED: Final = (
    sa.select(webhook_events.c.id)
    .where(
        webhook_events.c.state
        == sa.literal(EventState.CLOSED.value, literal_execute=True),
        webhook_events.c.object_id == sa.bindparam("object_id"),
    )
    .limit(1)
)
_RECEIVED: Final = (
    sa.select(webhook_events.c.id)
    .where(
        webhook_events.c.received_at >= sa.bindparam("start"),
        webhook_events.c.received_at < sa.bindparam("end"),
    )
    .limit(1)
)


@attrs.frozen
class PostgresEventLog:
    _store: PostgresStore

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
        takes_all = (
            not unlinked and type_ is None and (state is None or state in OPEN_STATES)
        )
        most = limit + 1 if takes_all else max(limit, READ_MAX) + 1
        found = await self._store.execute(
            _read(state, since, is_first=after is None),
            most=most,
            **(dict(zip(_PLACE_NAMES, after, strict=True)) if after else {}),
        )
        read = [rows.to_kept_event({**row, "body": None}) for row in found]
        wanted = [
            it
            for it, row in zip(read, found, strict=True)
            if state in (None, it.outcome.state)
            and type_ in (None, it.key.type)
            and (
                not unlinked or "" in (row["payment_owner"], row["subscription_owner"])
            )
        ]
        if len(wanted) > limit:
            return EventPage(wanted[:limit], cursor_of(wanted[limit - 1]))
        return EventPage(wanted, cursor_of(read[-1]) if len(read) == most else None)

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        found = await self._store.execute(_FIND, event_id=event_id)
        return [rows.to_kept_event(row) for row in found]

    async def with_bodies(self, keys: Sequence[EventKey]) -> frozenset[EventKey]:
        found = await self._store.execute(
            _WITH_BODIES, ids=[it.id for it in keys], types=[it.type for it in keys]
        )
        return frozenset(EventKey(row["id"], row["type"]) for row in found)

    async def count(self, state: EventState, *, limit: int) -> int:
        if state not in OPEN_STATES:
            raise ValueError(f"{state} events are not counted: no index has them")
        named = sa.literal(state.value, literal_execute=True)
        some = (
            sa.select(webhook_events.c.id)
            .where(webhook_events.c.state == named)
            # Uses the index of open events, whatever number the planner expects.
            .order_by(sa.desc("received_at"))
        )
        (row,) = await self._store.execute(
            sa.select(sa.func.count().label("count")).select_from(
                some.limit(limit).subquery()
            )
        )
        return int(row["count"])

    async def known(self, event_ids: frozenset[str]) -> frozenset[str]:
        found = await self._store.execute(_KNOWN, ids=sorted(event_ids))
        return frozenset(row["id"] for row in found)

    async def open_about(self, object_id: str) -> Sequence[KeptEvent]:
        found = await self._store.execute(_OPEN_ABOUT, object_id=object_id)
        return [rows.to_kept_event({**row, "body": None}) for row in found]

    async def has_closed(self, object_id: str) -> bool:
        return bool(await self._store.execute(_CLOSED, object_id=object_id))

    async def received_between(self, start: datetime, end: datetime) -> bool:
        return bool(await self._store.execute(_RECEIVED, start=start, end=end))
