"""Processes that freeze, an account that is slow, and two that race for one thing."""

import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import attrs
import httpx
import pytest

from faults.beside import (
    Answers,
    Beside,
    assert_each_paid_once,
    redelivered,
    registered,
    states_of,
)
from faults.deliveries import Event, Stripe
from faults.payers import Payer, payers, shuffled
from support import databases
from support.events import SUCCEEDED, event
from support.profiles import only_in_prove
from support.service import ServiceProcess, World, running

pytestmark = [pytest.mark.anyio, only_in_prove]

Pair = Sequence[ServiceProcess]

USERS: Final = 50
MONTHS: Final = 26
# How many of the events go to the process that freezes.
ITS_EVENTS: Final = 400
FREEZES: Final = 20
# The number of events that the healthy process answers during each freeze.
MEANWHILE: Final = 12
UNTIL_NEXT_MAX: Final = 8
SENDERS: Final = 6
SEED: Final = 20
SHARED: Final = 500
CUSTOMERS: Final = 10


@pytest.fixture(scope="module")
def pair(postgres: str, template: str) -> Iterator[Pair]:
    """Two processes for the tests of the module; each uses its own payers."""
    with (
        databases.copy_of(postgres, template) as dsn,
        running(World(dsn), 2) as services,
    ):
        yield services


@pytest.fixture
def dsn(pair: Pair) -> str:
    return pair[0].world.database_url


@attrs.define
class Heard:
    """Knows which events were answered, and can wait for others."""

    ids: set[str] = attrs.field(factory=set)
    _more: anyio.Event = attrs.field(factory=anyio.Event)

    def hear(self, event: Event, _: httpx.Response) -> None:
        self.ids.add(event["id"])
        self._more.set()

    async def _next(self) -> None:
        await self._more.wait()
        self._more = anyio.Event()

    async def some(self, count: int) -> None:
        """Wait for so many more answers."""
        count += len(self.ids)
        while len(self.ids) < count:
            await self._next()

    async def all_of(self, events: Sequence[Event]) -> None:
        ids = {event["id"] for event in events}
        while not ids <= self.ids:
            await self._next()


async def test_a_frozen_process_is_no_matter_to_the_other(pair: Pair, dsn: str) -> None:
    """
    One of two is stopped at 20 random times, and continues when the other has answered
    all events that came first meanwhile. The other refuses nothing, and in the end each
    event counts once.
    """
    dice = random.Random(SEED)  # noqa: S311  # moments that can be had again
    everybody = payers(USERS, MONTHS)
    await registered(dsn, everybody)
    events = shuffled(everybody, dice)
    healthy, frozen = (
        Stripe(half, senders=SENDERS)
        for half in (events[ITS_EVENTS:], events[:ITS_EVENTS])
    )
    heard = Heard()
    healthy.on_answer = heard.hear
    freezes = 0

    async def freeze_again_and_again() -> None:
        nonlocal freezes
        process = pair[1].process
        while freezes < FREEZES:
            await heard.some(dice.randint(1, UNTIL_NEXT_MAX))
            process.send_signal(signal.SIGSTOP)
            try:
                # A lock that the frozen process holds would delay one of these.
                await heard.all_of(list(healthy.waiting)[:MEANWHILE])
            finally:
                process.send_signal(signal.SIGCONT)
            freezes += 1

    async with anyio.create_task_group() as tasks:
        freezing = anyio.CancelScope()

        async def freeze() -> None:
            with freezing:
                await freeze_again_and_again()

        tasks.start_soon(freeze)
        tasks.start_soon(frozen.deliver, pair[1])
        await healthy.deliver(pair[0])
        freezing.cancel()

    assert freezes == FREEZES
    assert not healthy.unanswered
    assert healthy.statuses == {200: len(events) - ITS_EVENTS}
    assert set(frozen.statuses) <= {200, 503}
    await assert_each_paid_once(dsn, everybody)


# A sequence also counts values of rolled-back transactions.
_SLOW: Final = """
create sequence slow_writes;
create function be_slow() returns trigger language plpgsql as $$
begin
    perform nextval('slow_writes');
    perform pg_sleep(8);
    return new;
end $$;
create trigger slow before update on payment_accounts for each row
    when (new.user_id = '{}') execute function be_slow();
"""
_SLEEPERS: Final = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event = 'PgSleep'
"""
_SLOW_WRITES: Final = "select last_value, is_called from slow_writes"


@asynccontextmanager
async def watched(dsn: str) -> AsyncIterator[Counter[int]]:
    """Count how often so many connections were busy with the slow account."""
    seen: Counter[int] = Counter()
    connection: Any = await databases.connected(dsn)

    async def watch() -> None:
        while True:
            seen[await connection.fetchval(_SLEEPERS)] += 1

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            yield seen
            tasks.cancel_scope.cancel()
    finally:
        connection.terminate()


async def test_a_slow_account_costs_one_time_out(pair: Pair, dsn: str) -> None:
    """
    Writes of one account take 8 s. After one time-out the others are saved without it,
    it occupies one connection at most, and its own events are answered with 503.
    """
    one, *others = [Payer(1_000 + number, 4) for number in range(USERS)]
    await registered(dsn, [one, *others])
    await databases.execute(dsn, _SLOW.format(one.user))
    own = one.events()[:2]
    events = [event for payer in others for event in payer.events()]

    async with watched(dsn) as seen:
        answers: Answers = await Beside(pair[:1], events, own).deliver()

    assert answers.others == {200: len(events)}
    assert answers.own == {503: len(own)}
    assert max(seen) == 1
    [row] = await databases.fetch(dsn, _SLOW_WRITES)
    # Once with all the others, shortly alone, and then by itself.
    assert 1 < row["last_value"] <= 2 + len(own)

    await databases.execute(dsn, "drop trigger slow on payment_accounts")
    await redelivered(pair, one.events())
    await assert_each_paid_once(dsn, [one, *others])


async def test_two_processes_take_the_same_events_in_opposite_order(
    pair: Pair, dsn: str
) -> None:
    """
    500 charges of unknown customers: neither process refuses one, and each is applied
    once.
    """
    events = [
        event(SUCCEEDED, f"shared_{n}", customer=f"cus_{n % CUSTOMERS}")
        for n in range(SHARED)
    ]
    there, back = Stripe(events), Stripe(reversed(events))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(there.deliver, pair[0])
        tasks.start_soon(back.deliver, pair[1])

    assert there.statuses == back.statuses == {200: SHARED}
    outcomes = Counter(it.json()["outcome"] for it in (*there.answers, *back.answers))
    assert outcomes == {"applied": SHARED, "duplicate": SHARED}
    assert await states_of(dsn, events) == {"applied": SHARED}
