"""Events as they were saved, with what became of them."""

from collections.abc import Sequence
from typing import Final

import attrs
import sqlalchemy as sa

from payments_adapters.postgres import rows
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import (
    event_bodies,
    payments,
    subscriptions,
    webhook_events,
)
from payments_core.events import EventState, KeptEvent

_KEPT: Final = (
    sa.select(
        webhook_events.c.id,
        webhook_events.c.type,
        webhook_events.c.object_id,
        webhook_events.c.created_at,
        webhook_events.c.received_at,
        webhook_events.c.livemode,
        webhook_events.c.state,
        webhook_events.c.reason,
        webhook_events.c.waits_for,
        sa.func.coalesce(payments.c.user_id, subscriptions.c.user_id).label("user_id"),
    )
    .select_from(
        webhook_events.outerjoin(
            payments, webhook_events.c.object_id == payments.c.id
        ).outerjoin(
            subscriptions, webhook_events.c.object_id == subscriptions.c.gateway_id
        )
    )
    .order_by(webhook_events.c.received_at.desc(), webhook_events.c.id)
)
_WANTED: Final = sa.bindparam("state", type_=sa.Text)
_UNLINKED: Final = sa.or_(
    sa.and_(payments.c.id.is_not(None), payments.c.user_id.is_(None)),
    sa.and_(subscriptions.c.id.is_not(None), subscriptions.c.user_id.is_(None)),
)
_KEPT_LIST: Final = (
    _KEPT.add_columns(sa.null().label("body"))
    .where(sa.or_(_WANTED.is_(None), webhook_events.c.state == _WANTED))
    .where(sa.or_(sa.bindparam("linked_too", type_=sa.Boolean), _UNLINKED))
    .limit(sa.bindparam("most", type_=sa.BigInteger))
)
# A body is kept by the day on which its event was received.
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
_KEPT_ONE: Final = _KEPT.add_columns(
    sa.func.coalesce(_BODY, webhook_events.c.body).label("body")
).where(webhook_events.c.id == sa.bindparam("event_id", type_=sa.Text))


@attrs.frozen
class PostgresEventLog:
    _store: PostgresStore

    async def kept(
        self,
        *,
        state: EventState | None = None,
        unlinked: bool = False,
        limit: int = 100,
    ) -> Sequence[KeptEvent]:
        found = await self._store.execute(
            _KEPT_LIST,
            state=state and state.value,
            linked_too=not unlinked,
            most=limit,
        )
        return [rows.to_kept_event(row) for row in found]

    async def find(self, event_id: str) -> Sequence[KeptEvent]:
        found = await self._store.execute(_KEPT_ONE, event_id=event_id)
        return [rows.to_kept_event(row) for row in found]
