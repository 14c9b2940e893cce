"""Reading the feed, and waiting for changes to come."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import attrs
import pytest

from contracts.examples import NOON, an_account
from contracts.stores import opened
from payments_adapters.memory import (
    MemoryDatabase,
    MemoryFeedReader,
    MemoryFeedSequencer,
    MemoryLedger,
)
from payments_core.caller import ADMIN_SCOPE, FEED_SCOPE, READ_SCOPE, Caller
from payments_core.errors import (
    Overloaded,
    PositionNotGiven,
    ScopeRequired,
    StoreUnavailable,
)
from payments_core.feed import BEGINNING, FeedPage
from payments_core.identity import UserId
from payments_core.policy import DEFAULT_POLICY
from payments_core.tokens import Token
from payments_core.use_cases import ReadFeed

pytestmark = pytest.mark.anyio

# Longer than any test takes.
LONG_S: Final = 30


def caller(*scopes: str) -> Caller:
    return Caller(
        Token(
            issuer="users",
            jti="1",
            user_id=UserId("desk"),
            issued_at=NOON,
            expires_at=NOON + timedelta(hours=1),
            scopes=frozenset(scopes),
        )
    )


SERVICE: Final = caller(FEED_SCOPE)


@attrs.define
class World:
    """A feed in memory, with the reads of it."""

    database: MemoryDatabase = attrs.field(factory=MemoryDatabase)
    asked: int = 0
    pages: int = 0
    fails: bool = False

    async def page(self, after: int, limit: int, *, latest: bool = False) -> FeedPage:
        self.pages += 1
        return await MemoryFeedReader(self.database).page(after, limit, latest=latest)

    async def last(self) -> int:
        self.asked += 1
        if self.fails:
            raise StoreUnavailable
        return await MemoryFeedReader(self.database).last()

    async def save(self, *users: str) -> None:
        groups = [opened(an_account(it)) for it in users]
        await MemoryLedger(self.database).save(groups, at=NOON)
        await MemoryFeedSequencer(self.database).give(10)

    def reading(self, *, waiting_max: int = 10) -> ReadFeed:
        return ReadFeed(self, DEFAULT_POLICY, waiting_max, lambda _: asyncio.sleep(0))


def users(page: FeedPage) -> Sequence[str]:
    return [it.user_id for it in page.changes]


@asynccontextmanager
async def waiting(
    read: ReadFeed, count: int = 1, *, after: int = BEGINNING
) -> AsyncIterator["list[asyncio.Task[FeedPage]]"]:
    """Start so many readers, and return once they wait."""
    tasks = [
        asyncio.create_task(read(after=after, wait_s=LONG_S, caller=SERVICE))
        for _ in range(count)
    ]
    while len(read._waiting) < count:  # noqa: ASYNC110  # it is told to nobody
        await asyncio.sleep(0)
    yield tasks
    for each in tasks:
        each.cancel()


@pytest.mark.parametrize("scopes", [[ADMIN_SCOPE], [FEED_SCOPE]])
async def test_an_administrator_and_a_service_read_it(scopes: list[str]) -> None:
    """
    Existing changes are returned at once, however long the reader would wait.
    """
    world = World()
    await world.save("a", "b")
    page = await world.reading()(wait_s=LONG_S, caller=caller(*scopes))
    assert users(page) == ["a", "b"]
    assert world.asked == 0


@pytest.mark.parametrize("scopes", [[], [READ_SCOPE]])
async def test_nobody_else_reads_it(scopes: list[str]) -> None:
    """
    It contains all users, and reading all users is for administrators and services.
    """
    world = World()
    with pytest.raises(ScopeRequired):
        await world.reading()(caller=caller(*scopes))
    assert world.pages == 0


async def test_a_position_that_was_never_given_is_refused() -> None:
    """
    After a restore of an older copy a reader would otherwise receive nothing.
    """
    world = World()
    await world.save("a")
    read = world.reading()
    assert (await read(after=1, caller=SERVICE)).next == 1
    with pytest.raises(PositionNotGiven):
        await read(after=2, wait_s=LONG_S, caller=SERVICE)


async def test_who_does_not_wait_is_told_that_there_is_nothing() -> None:
    """
    At once, and the store is not read over and over.
    """
    world = World()
    page = await world.reading()(caller=SERVICE)
    assert (page.changes, page.next, world.pages) == ([], BEGINNING, 1)


async def test_a_change_reaches_all_who_wait_and_they_ask_once() -> None:
    """
    However many wait, one read serves all.
    """
    world = World()
    read = world.reading()
    async with waiting(read, 5) as tasks:
        asked = world.asked
        for _ in range(3):
            await asyncio.sleep(0)
        assert world.asked - asked <= 3
        await world.save("a")
        pages = await asyncio.gather(*tasks)

    assert [users(it) for it in pages] == [["a"]] * 5
    assert read._waiting == {}


async def test_who_waits_after_a_change_hears_of_the_next() -> None:
    """
    The change they already have is not returned again.
    """
    world = World()
    await world.save("a")
    read = world.reading()
    async with waiting(read, after=1) as (task,):
        await world.save("b")
        assert users(await task) == ["b"]


async def test_the_wait_ends_without_a_change() -> None:
    """
    After the requested time, with the cursor that was given.
    """
    world = World()
    await world.save("a")
    read = ReadFeed(world, DEFAULT_POLICY)
    page = await asyncio.wait_for(read(after=1, wait_s=1, caller=SERVICE), LONG_S)
    assert (page.changes, page.next) == ([], 1)
    assert read._waiting == {}


async def test_a_stop_answers_all_who_wait_and_nobody_waits_then() -> None:
    """
    They do not delay the end of a process.
    """
    world = World()
    read = world.reading()
    async with waiting(read, 2) as tasks:
        read.stop()
        pages = await asyncio.wait_for(asyncio.gather(*tasks), LONG_S)
    assert [it.changes for it in pages] == [[], []]
    page = await asyncio.wait_for(read(wait_s=LONG_S, caller=SERVICE), LONG_S / 2)
    assert page.changes == []


async def test_who_goes_away_leaves_nothing_behind() -> None:
    """
    Nothing is read once no reader waits any longer.
    """
    world = World()
    read = world.reading()
    async with waiting(read) as (task,):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert read._waiting == {}
    assert read._polling is not None
    await asyncio.wait_for(read._polling, LONG_S)


async def test_no_more_wait_than_may() -> None:
    """
    One more is refused, and may read without waiting.
    """
    world = World()
    read = world.reading(waiting_max=2)
    async with waiting(read, 2):
        with pytest.raises(Overloaded):
            await read(wait_s=LONG_S, caller=SERVICE)
        assert (await read(caller=SERVICE)).changes == []


async def test_a_database_that_does_not_answer_is_told_to_all_who_wait() -> None:
    """
    A later reader waits again.
    """
    world = World()
    read = world.reading()
    async with waiting(read, 2) as tasks:
        world.fails = True
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(it) for it in found] == [StoreUnavailable] * 2
    world.fails = False
    async with waiting(read) as (task,):
        await world.save("a")
        assert users(await task) == ["a"]
