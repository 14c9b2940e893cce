"""The feed in memory: positions are given after the commit, here as well."""

import asyncio

import attrs

from payments_adapters.memory.ledger import MemoryDatabase
from payments_core.account_log import LoggedVerdict
from payments_core.erasure import PSEUDONYM
from payments_core.feed import FeedChange, FeedPage
from payments_core.identity import UserId


@attrs.frozen
class MemoryFeedSequencer:
    _database: MemoryDatabase

    async def give(self, limit: int) -> int:
        await asyncio.sleep(0)
        tables = self._database.tables.copy()
        given = tables.give_positions(limit)
        self._database.tables = tables
        return given


@attrs.frozen
class MemoryFeedReader:
    _database: MemoryDatabase

    async def page(self, after: int, limit: int, *, latest: bool = False) -> FeedPage:
        await asyncio.sleep(0)
        tables = self._database.tables
        newest = dict[UserId, int]()
        for user, version in tables.positions:
            newest[user] = max(version, newest.get(user, 0))
        placed = sorted((place, key) for key, place in tables.positions.items())
        changes, reached = list[FeedChange](), after
        for position, key in placed:
            user, version = key
            if position <= after:
                continue
            if len(changes) == limit:
                return FeedPage(changes, reached, has_more=True)
            is_erased = user.startswith(PSEUDONYM)
            if not is_erased and (not latest or newest[user] == version):
                changes.append(_change(position, user, tables.account_log[key]))
            reached = position
        return FeedPage(changes, reached, has_more=False)

    async def last(self) -> int:
        await asyncio.sleep(0)
        return self._database.tables.last_position


def _change(position: int, user: UserId, logged: LoggedVerdict) -> FeedChange:
    return FeedChange(
        position=position,
        user_id=user,
        version=logged.version,
        at=logged.at,
        payment_status=logged.payment_status,
        payment_expire_date=logged.payment_expire_date,
        entitled_until=logged.entitled_until,
        grants=logged.grants or (),
        cause=logged.cause,
    )
