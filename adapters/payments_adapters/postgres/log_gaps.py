"""Accounts whose state differs from the log; each page is read by primary key."""

from typing import Final

import attrs

from payments_adapters.postgres.store import PostgresStore
from payments_core.account_log import LogGap, LogGapPage
from payments_core.identity import UserId

_PAGE: Final = """
select a.user_id, a.version, l.user_id is null or
    (l.payment_status, l.payment_expire_date)
        is distinct from (a.payment_status, a.payment_expire_date) as is_gap
from (
    select user_id, version, payment_status, payment_expire_date
    from payment_accounts
    where user_id not like 'erased/%' and user_id collate "C" > $1
    order by user_id collate "C" limit $2
) as a
left join lateral (
    select user_id, payment_status, payment_expire_date from account_log
    where user_id = a.user_id order by version desc limit 1
) as l on true
order by a.user_id collate "C"
"""


@attrs.frozen
class PostgresLogGaps:
    _store: PostgresStore

    async def page(self, after: UserId | None, limit: int) -> LogGapPage:
        async with self._store.connection() as connection:
            found = await connection.fetch(_PAGE, after or "", limit)
        gaps = [
            LogGap(UserId(row["user_id"]), row["version"])
            for row in found
            if row["is_gap"]
        ]
        last = UserId(found[-1]["user_id"]) if len(found) == limit else None
        return LogGapPage(gaps, last)
