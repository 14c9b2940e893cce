"""kill -9 at any time: what was acknowledged is stored, and counts once."""

import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Final

import anyio
import attrs
import httpx
import pytest

from faults.deliveries import Event, Stripe, client, post, until
from faults.gates import closed_gate
from faults.payers import (
    assert_each_counted_once,
    kept_ids,
    payers,
    register,
    shuffled,
)
from payments_adapters.postgres.store import PostgresStore
from support.service import ServiceProcess, World, start

pytestmark = pytest.mark.anyio

USERS: Final = 20
MONTHS: Final = 25
KILLS: Final = 3
SENT_TWICE: Final = 50
SEEDS: Final = (7,)
CAUGHT: Final = 12


@attrs.define
class Lives:
    """One service after another, on one port."""

    world: World
    _stack: ExitStack
    port: int = 0

    def next(self) -> ServiceProcess:
        service = start(self.world, self.port)
        self._stack.callback(service.kill)
        self.port = service.port
        return service


@pytest.fixture
def lives(database_url: str) -> Iterator[Lives]:
    with ExitStack() as stack:
        yield Lives(World(database_url), stack)


@attrs.define
class Killer:
    """Kills a service at the nth acknowledgement; sends some events twice."""

    stripe: Stripe
    again: set[str]
    at: int = 0
    victim: ServiceProcess | None = None

    def hear(self, event: Event, answer: httpx.Response) -> None:
        if answer.is_success and event["id"] in self.again:
            self.again.remove(event["id"])
            self.stripe.waiting.append(event)
        if self.victim and len(set(self.stripe.acknowledged)) >= self.at:
            self.victim.process.kill()
            self.stripe.paused = True

    async def deliver(self, service: ServiceProcess, kill_at: int) -> None:
        self.at, self.victim = kill_at, service
        await self.stripe.deliver(service)
        service.kill()
        self.victim = None


@pytest.mark.parametrize("seed", SEEDS)
async def test_f03_p25_kills_lose_nothing_acknowledged_and_count_nothing_twice(
    lives: Lives, store: PostgresStore, seed: int
) -> None:
    """
    500 events, three kills meanwhile, and Stripe sends again what was not acknowledged
    and some of what was: each is stored from its acknowledgement on, and in the end
    each moved its user's date once.
    """
    dice = random.Random(seed)  # noqa: S311  # an order that can be had again
    everybody = payers(USERS, MONTHS)
    events = shuffled(everybody, dice)
    stripe = Stripe(events)
    killer = Killer(stripe, {e["id"] for e in dice.sample(events, SENT_TWICE)})
    stripe.on_answer = killer.hear
    service = lives.next()
    register(service, everybody)

    for kill_at in sorted(dice.sample(range(20, len(events) - 50), KILLS)):
        await killer.deliver(service, kill_at)
        # Before anything is sent again: acknowledged means durable.
        assert set(stripe.acknowledged) <= (await kept_ids(store)).keys()
        service = lives.next()
    await stripe.deliver(service)

    assert set(stripe.acknowledged) == {event["id"] for event in events}
    assert set(stripe.statuses) == {200}
    await assert_each_counted_once(lives.world.database_url, everybody)


async def _send_into_a_kill(
    service: ServiceProcess, events: list[Event], answers: list[httpx.Response]
) -> None:
    """Send all at once to a service that is killed meanwhile."""

    async def send(event: Event) -> None:
        with suppress(httpx.TransportError):
            answers.append(await post(http, service, event))

    async with client() as http, anyio.create_task_group() as senders:
        for event in events:
            senders.start_soon(send, event)


@pytest.mark.parametrize("stopped_first", [True, False])
async def test_f03_an_event_committed_but_never_acknowledged_counts_once(
    lives: Lives, store: PostgresStore, *, stopped_first: bool
) -> None:
    """
    Killed between COMMIT and the answer, or during COMMIT: Stripe sends all of them
    again, and they are duplicates or new, but none counts twice.
    """
    [payer] = payers(1, CAUGHT)
    service = lives.next()
    register(service, [payer])
    answers: list[httpx.Response] = []
    async with (
        closed_gate(lives.world.database_url) as gate,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_send_into_a_kill, service, payer.events(), answers)
        await gate.reached()
        if stopped_first:
            # A stopped process cannot read the answer of COMMIT.
            service.process.send_signal(signal.SIGSTOP)
            await gate.open()
            await until(lambda: _some_are_kept(store))
        service.kill()
        await gate.open()
    assert not answers

    stripe = Stripe(payer.events())
    await stripe.deliver(lives.next())

    assert stripe.statuses == {200: CAUGHT}
    outcomes = {answer.json()["outcome"] for answer in stripe.answers}
    assert outcomes <= {"applied", "duplicate"}
    assert "duplicate" in outcomes
    await assert_each_counted_once(lives.world.database_url, [payer])


async def _some_are_kept(store: PostgresStore) -> bool:
    return bool(await kept_ids(store))
