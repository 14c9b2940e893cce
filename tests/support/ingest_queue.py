"""Events for the queue, and a clock that a test advances."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from contracts.examples import ADA, BOB, a_payment, an_event
from contracts.faults import FaultyLedger
from payments_core.changes import Changes
from payments_core.errors import StoreUnavailable
from payments_core.events import GatewayEvent, Receipt
from payments_core.identity import UserId
from payments_service.ingest_queue import (
    IngestQueue,
)

EVE: Final = UserId("eve")
ADAS, BOBS, EVES = (f"user {user}" for user in (ADA, BOB, EVE))
TURNS_MAX: Final = 10_000


@attrs.define
class Time:
    """A clock that stands still until it is advanced."""

    now: float = 0.0
    waits: list[float] = attrs.field(factory=list)
    _asleep: list[tuple[float, "asyncio.Future[None]"]] = attrs.field(factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.append((self.now + seconds, awake))
        await awake

    def pass_by(self, seconds: float) -> None:
        """Advance the clock, and wake the waits that are over."""
        self.now += seconds
        for it in [it for it in self._asleep if it[0] <= self.now]:
            self._asleep.remove(it)
            it[1].set_result(None)

    @property
    def sleepers(self) -> int:
        return len(self._asleep)


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks run until a condition holds."""
    for _ in range(TURNS_MAX):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never was")


async def turns() -> None:
    """Let all other tasks run as far as they can."""
    for _ in range(100):
        await asyncio.sleep(0)


def an_event_of(user: UserId, number: int = 0) -> GatewayEvent:
    id_ = f"{user}_{number}"
    return an_event(f"evt_{id_}", a_payment(f"ch_{id_}", user=user))


def events(count: int, first: int = 0) -> list[GatewayEvent]:
    return [an_event_of(ADA, number) for number in range(first, first + count)]


def handed_in(
    ingest: IngestQueue, *events: GatewayEvent
) -> list["asyncio.Task[Receipt]"]:
    return [asyncio.create_task(ingest(event)) for event in events]


async def all_of(waiting: Sequence["asyncio.Task[Receipt]"]) -> list[Receipt]:
    """Return the receipts, which come without any time passing."""
    await until(lambda: all(it.done() for it in waiting))
    return [it.result() for it in waiting]


async def answers(
    waiting: Sequence["asyncio.Task[Receipt]"],
) -> list[Receipt | type[BaseException]]:
    """Return each result: a receipt, or the kind of an error."""
    await until(lambda: all(it.done() for it in waiting))
    found = await asyncio.gather(*waiting, return_exceptions=True)
    return [type(it) if isinstance(it, BaseException) else it for it in found]


async def started(ledger: FaultyLedger, ingest: IngestQueue) -> "asyncio.Task[Receipt]":
    """Hand one event in, and block its batch once it has begun."""
    ledger.may_run.clear()
    (waiting,) = handed_in(ingest, *events(1))
    await ledger.running.wait()
    return waiting


def unavailable(_: Sequence[Changes]) -> None:
    raise StoreUnavailable


async def marked_slow(
    ledger: FaultyLedger, ingest: IngestQueue, *users: UserId
) -> None:
    """Let events of these users time out, and delay later ones."""
    ledger.slow = {f"user {user}" for user in users}
    found = await answers(handed_in(ingest, *map(an_event_of, users)))
    assert found == [StoreUnavailable] * len(users)
    ledger.saves.clear()
    ledger.most_slow = 0
    ledger.may_time_out.clear()
