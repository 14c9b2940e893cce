"""The feed: positions are given by `feed_v1.sql`, and read by an index."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from payments_adapters.postgres.rows import to_grants
from payments_adapters.postgres.store import PostgresStore
from payments_core.entitlement import PaymentStatus
from payments_core.feed import BEGINNING, FeedChange, FeedPage
from payments_core.identity import UserId

# How many skipped changes a page may read.
LEFT_OUT_MAX: Final = 1_000

_GIVE: Final = "select give_positions_v1($1)"
_LAST: Final = "select last from feed_head"
# Rows from before migration 0016 do not have the end of access: it is at least the
# date.
_PAGE: Final = """
select l.position, l.user_id, l.version, l.at, l.payment_status, l.payment_expire_date,
    case when l.grace_s is null then l.payment_expire_date
        else l.entitled_until end as entitled_until,
    l.grants, l.cause,
    l.user_id not like 'erased/%' and (
        not $3 or not exists (
            select from account_log later
            where later.user_id = l.user_id and later.version > l.version
                and later.position is not null
        )
    ) as is_shown
from (
    select * from account_log where position > $1 order by position limit $2
) as l
order by l.position
"""


@attrs.frozen
class PostgresFeedSequencer:
    _store: PostgresStore

    async def give(self, limit: int) -> int:
        async with self._store.connection() as connection:
            given: int = await connection.fetchval(_GIVE, limit)
        return given


@attrs.frozen
class PostgresFeedReader:
    _store: PostgresStore

    async def page(self, after: int, limit: int, *, latest: bool = False) -> FeedPage:
        read_max = limit + (LEFT_OUT_MAX if latest else 1)
        async with self._store.connection() as connection:
            found = await connection.fetch(_PAGE, after, read_max, latest)
        changes, reached = list[FeedChange](), after
        for row in found:
            if len(changes) == limit:
                return FeedPage(changes, reached, has_more=True)
            if row["is_shown"]:
                changes.append(_change(row))
            reached = row["position"]
        return FeedPage(changes, reached, has_more=len(found) == read_max)

    async def last(self) -> int:
        async with self._store.connection() as connection:
            last: int | None = await connection.fetchval(_LAST)
        return BEGINNING if last is None else last


def _change(row: Mapping[str, Any]) -> FeedChange:
    return FeedChange(
        position=row["position"],
        user_id=UserId(row["user_id"]),
        version=row["version"],
        at=row["at"],
        payment_status=PaymentStatus(row["payment_status"]),
        payment_expire_date=row["payment_expire_date"],
        entitled_until=row["entitled_until"],
        grants=to_grants(row["grants"]) or (),
        cause=row["cause"],
    )
