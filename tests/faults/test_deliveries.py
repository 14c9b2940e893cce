"""Deliveries to a receiver that is down for a day, by workers that are killed.

`make prove` runs it.
"""

import random
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import attrs
import pytest

from faults.deliveries import until
from payments_adapters.postgres.deliveries import PostgresDeliveries
from payments_adapters.postgres.store import PostgresStore
from support.delivering import DeliveringWorld, changes
from support.postgres_stores import fetch
from support.profiles import only_in_prove
from support.receiver import Receiver, receiving

pytestmark = [pytest.mark.anyio, only_in_prove]

USERS: Final = 25
BEFORE: Final = 1_000
MEANWHILE: Final = 500
KILLS: Final = 4
# The effect of time: a day passes for everything that waits.
_A_DAY: Final = """
update deliveries set due_at = due_at - interval '1 day',
    first_tried_at = first_tried_at - interval '1 day'
"""


@attrs.define
class Workers:
    """Two workers at a time, one of which may be killed."""

    world: DeliveringWorld
    _stack: ExitStack
    running: list["subprocess.Popen[bytes]"] = attrs.field(factory=list)

    def start(self) -> None:
        process = self.world.worker()
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        self.running.append(process)

    def kill_one(self) -> None:
        process = self.running.pop(0)
        process.kill()
        process.wait()
        self.start()


@contextmanager
def working(world: DeliveringWorld) -> Iterator[Workers]:
    with ExitStack() as stack:
        workers = Workers(world, stack)
        workers.start()
        workers.start()
        yield workers


@pytest.fixture
async def deployed(
    database_url: str, store: PostgresStore, tmp_path: Path
) -> AsyncIterator[tuple[DeliveringWorld, Receiver, PostgresStore]]:
    with receiving() as receiver:
        world = DeliveringWorld(database_url, url=receiver.url, folder=tmp_path)
        yield world, receiver, store


def heard(receiver: Receiver) -> Sequence[tuple[str, str, int]]:
    """Return the arrived changes in order: id, user, version."""
    found = []
    for came in list(receiver.received):
        if len(came.body) < int(came.headers["content-length"]):
            # Its sender was killed.
            continue
        data = came.event["data"]
        found.append((came.headers["webhook-id"], data["user_id"], data["version"]))
    return found


async def test_p32_f51_a_day_of_outage_and_kills_lose_nothing_and_keep_the_order(
    deployed: tuple[DeliveringWorld, Receiver, PostgresStore],
) -> None:
    """
    Refusals, lost replies and kill -9 at any time: each change arrives, under one id,
    and no user's change before their earlier one; some arrive twice.
    """
    world, receiver, store = deployed
    dice = random.Random(7)  # noqa: S311  # an order that can be had again
    receiver.statuses.extend(dice.choices([200, 500, None], [8, 1, 1], k=400))
    await fetch(store, changes(USERS, BEFORE))

    async def arrived(count: int) -> None:
        async def has() -> bool:
            # Failures are retried at once: no test waits for a back-off.
            await fetch(store, "update deliveries set due_at = now() where not dead")
            return len(receiver.received) >= count

        await until(has)

    with working(world) as workers:
        for kill in range(1, KILLS + 1):
            await arrived(kill * 100)
            workers.kill_one()

        # The receiver is down, and many changes happen meanwhile.
        receiver.statuses.clear()
        receiver.status = 503
        await fetch(store, changes(USERS, MEANWHILE, first=1 + BEFORE // USERS))
        await arrived(len(receiver.received) + USERS)
        workers.kill_one()
        await fetch(store, _A_DAY)
        await arrived(len(receiver.received) + USERS)

        receiver.status = 200

        async def all_is_delivered() -> bool:
            await fetch(store, "update deliveries set due_at = now() where not dead")
            backlog = (await PostgresDeliveries(store).backlogs())["crm"]
            return backlog.position == BEFORE + MEANWHILE and not backlog.open

        for _ in range(10):
            try:
                await until(all_is_delivered)
                break
            except TimeoutError:
                continue

    assert await all_is_delivered()
    assert (await PostgresDeliveries(store).backlogs())["crm"].dead == 0
    came = heard(receiver)
    changes_of = defaultdict[str, set[object]](set)
    versions = defaultdict[str, list[int]](list)
    for id_, user, version in came:
        changes_of[id_].add((user, version))
        if version not in versions[user]:
            versions[user].append(version)
    assert len(changes_of) == BEFORE + MEANWHILE
    assert all(len(it) == 1 for it in changes_of.values())
    each = list(range(1, 1 + (BEFORE + MEANWHILE) // USERS))
    assert all(it == each for it in versions.values())
    assert len(came) > len(changes_of)
    for it in receiver.received[:50]:
        world.assert_signed(it)


async def test_p32_f51_a_worker_that_runs_once_delivers_what_is_due(
    deployed: tuple[DeliveringWorld, Receiver, PostgresStore],
) -> None:
    """
    Before it ends, all logged changes are delivered.
    """
    world, receiver, store = deployed
    await fetch(store, changes(2, 4))

    process = world.worker("--once")

    async def ended() -> bool:
        return process.poll() is not None

    await until(ended)
    assert process.wait() == 0
    assert len(receiver.received) == 4
