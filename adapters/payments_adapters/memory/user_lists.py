"""Users and their timelines, as committed."""

from collections.abc import Iterator, Sequence

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.by_hand import LoggedChange
from payments_core.identity import UserId
from payments_core.timeline import StatusChange, TimelineItem, TimelinePlace, newest
from payments_core.user_list import EVERYBODY, UserFilter, UserPage, UserPlace


@attrs.frozen
class MemoryUserList:
    _database: MemoryDatabase

    async def page(
        self,
        wanted: UserFilter = EVERYBODY,
        *,
        limit: int = 100,
        after: UserPlace | None = None,
    ) -> UserPage:
        tables = self._database.tables
        whole = (tables.whole(it) for it in tables.accounts.values())
        placed = [(wanted.place_of(it), it) for it in whole]
        listed = [(place, it) for place, it in placed if place is not None]
        listed.sort(key=lambda it: it[0].order)
        left = [it for it in listed if after is None or it[0].order > after.order]
        last = left[limit - 1][0] if len(left) > limit else None
        return UserPage([it for _, it in left[:limit]], last)


@attrs.frozen
class MemoryTimelines:
    _database: MemoryDatabase

    async def newest(
        self, user_id: UserId, *, limit: int, before: TimelinePlace | None = None
    ) -> Sequence[TimelineItem]:
        return newest(self._of(user_id), before=before, limit=limit)

    def _of(self, user: UserId) -> Iterator[TimelineItem]:
        tables = self._database.tables
        for key in tables.events_of.get(user, frozenset()):
            event = tables.kept(tables.events[key], with_body=False)
            yield attrs.evolve(event, user_id=user)
        for record in tables.payments_of([user]):
            if record.payment.created_at is not None:
                yield record
        for (whose, version), row in tables.account_log.items():
            if whose == user:
                yield StatusChange(
                    version=version,
                    at=row.at,
                    payment_status=row.payment_status,
                    payment_expire_date=row.payment_expire_date,
                    cause=row.cause,
                    sources=row.sources,
                )
        for number, (at, change) in enumerate(tables.changes_by_hand, 1):
            if change.user_id == user:
                yield LoggedChange(at=at, number=number, change=change)
