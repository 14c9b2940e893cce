"""The audit log: what was done by hand, latest first, paged by an index."""

from datetime import datetime

import attrs
import sqlalchemy as sa

from payments_adapters.postgres import rows
from payments_adapters.postgres.store import PostgresStore
from payments_adapters.postgres.tables import changes_by_hand
from payments_core.by_hand import ActionByHand, AuditCursor, AuditPage
from payments_core.identity import UserId

_PLACE = (changes_by_hand.c.at, changes_by_hand.c.id)


@attrs.frozen
class PostgresAuditLog:
    _store: PostgresStore

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
        query = sa.select(changes_by_hand).order_by(*map(sa.desc, _PLACE))
        if subject is not None:
            query = query.where(changes_by_hand.c.subject == subject)
        if user_id is not None:
            query = query.where(changes_by_hand.c.user_id == user_id)
        if action is not None:
            query = query.where(changes_by_hand.c.action == action.value)
        if since is not None:
            query = query.where(changes_by_hand.c.at >= since)
        if after is not None:
            query = query.where(sa.tuple_(*_PLACE) < sa.tuple_(*map(sa.literal, after)))
        found = await self._store.execute(query.limit(limit + 1))
        changes = [rows.to_logged_change(row) for row in found[:limit]]
        if len(found) <= limit:
            return AuditPage(changes, None)
        return AuditPage(changes, (changes[-1].at, changes[-1].number))
