"""kill -9 of workers while they give positions: nothing is lost, the order holds."""

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final

import attrs
import pytest

from contracts.examples import NOON, an_account
from contracts.feed import prepaid
from contracts.stores import SAVED, moved, opened
from payments_adapters.postgres.feed import PostgresFeedReader
from payments_adapters.postgres.ledger import PostgresLedger
from payments_adapters.postgres.store import PostgresStore
from payments_core.changes import Changes, SaveResult
from payments_core.feed import BEGINNING, FeedPage
from support.postgres_stores import fetch
from support.profiles import only_in_prove
from support.service import World, free_port

pytestmark = [pytest.mark.anyio, only_in_prove]

# Another count: PAYMENTS_TEST_CHANGES=100000.
CHANGES: Final = int(os.environ.get("PAYMENTS_TEST_CHANGES", "20000"))
WRITERS: Final = 8
# For each writer; the size of a save.
USERS: Final = 25
WORKERS: Final = 2
KILLS: Final = 8


@attrs.define
class Workers:
    """Some workers; a killed one is replaced."""

    world: World
    dice: random.Random
    _running: list["subprocess.Popen[bytes]"] = attrs.field(factory=list)

    def start(self) -> None:
        env = self.world.env(free_port(), free_port())
        command = [sys.executable, "-m", "payments_service", "worker"]
        self._running.append(subprocess.Popen(command, env=env))

    def kill_one(self) -> None:
        victim = self._running.pop(self.dice.randrange(len(self._running)))
        victim.kill()
        victim.wait()

    def end(self) -> None:
        while self._running:
            self.kill_one()


@pytest.fixture
def workers(database_url: str) -> Iterator[Workers]:
    dice = random.Random(7)  # noqa: S311  # an order that can be had again
    with ExitStack() as stack:
        workers = Workers(World(database_url), dice)
        stack.callback(workers.end)
        for _ in range(WORKERS):
            workers.start()
        yield workers


@attrs.define
class Consumer:
    """Stores what it read together with its position; sometimes it loses the latter."""

    feed: PostgresFeedReader
    dice: random.Random
    after: int = BEGINNING
    # By user: the version that it has, as a copy would.
    copy: dict[str, int] = attrs.field(factory=dict)
    seen: dict[int, tuple[str, int]] = attrs.field(factory=dict)
    told_twice: int = 0

    async def page(self) -> None:
        page: FeedPage = await self.feed.page(self.after, 1_000)
        for it in page.changes:
            named = (it.user_id, it.version)
            if it.position in self.seen:
                # It died before it stored its position.
                self.told_twice += 1
                assert self.seen[it.position] == named
                continue
            assert it.version == self.copy.get(it.user_id, 0) + 1
            self.copy[it.user_id] = it.version
            self.seen[it.position] = named
        self.after = page.next
        if self.dice.random() < 0.05:  # one time in twenty
            self.after -= self.dice.randrange(min(self.after, 3_000) + 1)


async def save(ledger: PostgresLedger, groups: Sequence[Changes]) -> None:
    """Save all of these; a group that is briefly locked is saved again."""
    left = list(groups)
    while left:
        results = await ledger.save(left, at=NOON)
        assert set(results) <= {SAVED, SaveResult.LOCKED}
        left = [it for it, one in zip(left, results, strict=True) if one is not SAVED]


async def write(ledger: PostgresLedger, number: int) -> None:
    """Change the same users over and over, all of them at once."""
    known = [
        attrs.evolve(an_account(f"u{number}-{user}"), version=1)
        for user in range(USERS)
    ]
    await save(ledger, [opened(it) for it in known])
    for months in range(1, CHANGES // WRITERS // USERS):
        after = [attrs.evolve(it, summary=prepaid(months % 200 + 1)) for it in known]
        await save(ledger, [moved(*it) for it in zip(known, after, strict=True)])
        known = [attrs.evolve(it, version=it.version + 1) for it in after]


async def test_f51_p32_kills_lose_no_change_and_change_no_order(
    database_url: str, workers: Workers, record_property: Callable[[str, object], None]
) -> None:
    """
    Eight writers, two workers of which one after the other is killed, a consumer that
    reads meanwhile and forgets its position, and one that was down and reads everything
    at the end: both have each change once, each user's in order.
    """
    dice = workers.dice
    async with PostgresStore(database_url, WRITERS + 4).opened() as store:
        feed, ledger = PostgresFeedReader(store), PostgresLedger(store)
        beside = Consumer(feed, dice)
        writing = [
            asyncio.create_task(write(ledger, number)) for number in range(WRITERS)
        ]
        every = WRITERS * USERS * (CHANGES // WRITERS // USERS)
        deaths = sorted(dice.sample(range(every), KILLS))
        while len(beside.seen) < every:
            await beside.page()
            for one in writing:
                if one.done():
                    # Otherwise a failed writer would be waited for without end.
                    one.result()
            if deaths and len(beside.seen) >= deaths[0]:
                deaths.pop(0)
                workers.kill_one()
                workers.start()
        await asyncio.gather(*writing)

        down = Consumer(feed, random.Random(8))  # noqa: S311  # as above
        while len(down.seen) < every:
            await down.page()
        logged = await fetch(
            store, "select user_id, version, position from account_log"
        )

    assert not deaths
    assert beside.told_twice
    expected = {position: (user, version) for user, version, position in logged}
    assert sorted(expected) == list(range(1, every + 1))
    assert beside.seen == down.seen == expected
    record_property("figure", f"{every} changes, {KILLS} workers killed: none lost")
