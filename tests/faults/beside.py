"""One account that is held up, and all others."""

import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import attrs
import httpx

from faults.deliveries import DEADLINE_S, SENDERS, Event, Stripe, client, post
from faults.payers import Payer
from support import bound, databases
from support.service import ServiceProcess

SEED: Final = 7

Release = Callable[[], Awaitable[None]]


@asynccontextmanager
async def held(dsn: str, statement: str, *values: object) -> AsyncIterator[Release]:
    """Run a statement in a transaction that stays open until it is released."""
    connection = await databases.connected(dsn)
    try:
        await connection.execute("begin")
        done = await connection.execute(statement, *values)
        # Otherwise nothing would be locked, and every test would pass.
        assert not done.endswith(" 0"), statement

        async def release() -> None:
            await connection.execute("rollback")

        yield release
    finally:
        await connection.close()


async def registered(dsn: str, everybody: Iterable[Payer]) -> None:
    people = [(it.user, it.email, it.customer) for it in everybody]
    await bound.registered(dsn, people)


@attrs.define
class Answers:
    """The answers to the others' events, and to those that are held up.

    `early` are the latter's answers that came while they were held up.
    """

    others: Counter[int] = attrs.field(factory=Counter)
    own: Counter[int] = attrs.field(factory=Counter)
    early: Counter[int] = attrs.field(factory=Counter)


async def _nothing() -> None:
    """Release nothing."""


@attrs.define
class Beside:
    """Delivers each event once, `own` ones spread evenly over the others.

    No sender waits for an event of `own`. `release` is called once all others have
    their answers: so those came while the lock was held, or the deadline fails the
    test.
    """

    services: Sequence[ServiceProcess]
    others: Sequence[Event]
    own: Sequence[Event]
    release: Release = _nothing
    answers: Answers = attrs.field(init=False, factory=Answers)
    _left: int = attrs.field(init=False, default=0)

    async def deliver(self) -> Answers:
        waiting, own_ids = self._mixed()
        self._left = len(self.others)
        answered = anyio.Event()
        async with client() as http, anyio.create_task_group() as tasks:

            async def send(service: ServiceProcess) -> None:
                while waiting:
                    event = waiting.popleft()
                    if event["id"] in own_ids:
                        tasks.start_soon(self._send_own, http, service, event)
                        continue
                    answer = await post(http, service, event)
                    self.answers.others[answer.status_code] += 1
                    self._left -= 1
                if not self._left:
                    answered.set()

            for number in range(SENDERS):
                tasks.start_soon(send, self.services[number % len(self.services)])
            with anyio.fail_after(DEADLINE_S):
                await answered.wait()
            self.answers.early = Counter(self.answers.own)
            await self.release()
        return self.answers

    def _mixed(self) -> tuple[deque[Event], set[str]]:
        dice = random.Random(SEED)  # noqa: S311  # an order that can be had again
        mixed = list(self.others)
        dice.shuffle(mixed)
        gap = len(mixed) // (len(self.own) + 1)
        for number, event in enumerate(self.own, 1):
            mixed.insert(number * gap, event)
        return deque(mixed), {event["id"] for event in self.own}

    async def _send_own(
        self, http: httpx.AsyncClient, service: ServiceProcess, event: Event
    ) -> None:
        answer = await post(http, service, event)
        self.answers.own[answer.status_code] += 1


async def redelivered(services: Sequence[ServiceProcess], events: list[Event]) -> None:
    """Deliver until each has its 200, as Stripe does."""
    stripe = Stripe(events)
    await stripe.deliver(*services)
    assert set(stripe.acknowledged) == {event["id"] for event in events}


async def states_of(dsn: str, events: Iterable[Event]) -> Counter[str]:
    """Return how many of these events are stored in which state."""
    ids = [event["id"] for event in events]
    found = await databases.fetch(
        dsn, "select state from webhook_events where id = any($1)", ids
    )
    return Counter(row["state"] for row in found)


async def assert_each_paid_once(dsn: str, everybody: Sequence[Payer]) -> None:
    """Assert that all events of these payers are applied, and each counts once."""
    events = [event for payer in everybody for event in payer.events()]
    assert await states_of(dsn, events) == {"applied": len(events)}
    found: list[Any] = await databases.fetch(
        dsn,
        "select user_id, payment_expire_date from payment_accounts"
        " where user_id = any($1)",
        [payer.user for payer in everybody],
    )
    assert {row["user_id"]: row["payment_expire_date"] for row in found} == {
        payer.user: payer.paid_until for payer in everybody
    }
