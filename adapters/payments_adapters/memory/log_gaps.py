"""Accounts whose state differs from the log, in memory."""

import asyncio

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.account_log import LogGap, LogGapPage
from payments_core.erasure import PSEUDONYM
from payments_core.identity import UserId


@attrs.frozen
class MemoryLogGaps:
    _database: MemoryDatabase

    async def page(self, after: UserId | None, limit: int) -> LogGapPage:
        await asyncio.sleep(0)
        tables = self._database.tables
        listed = sorted(
            user
            for user in tables.accounts
            if user > (after or "") and not user.startswith(PSEUDONYM)
        )[:limit]
        last = {user: row for (user, _), row in sorted(tables.account_log.items())}
        gaps = list[LogGap]()
        for user in listed:
            account, row = tables.whole(tables.accounts[user]), last.get(user)
            status, date = account.payment_status, account.payment_expire_date
            if row is None or (row.payment_status, row.payment_expire_date) != (
                status,
                date,
            ):
                gaps.append(LogGap(user, account.version))
        return LogGapPage(gaps, listed[-1] if len(listed) == limit else None)
