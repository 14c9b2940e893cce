"""One poisoned event among 10,000: listed, counted, isolated, and replayed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import pytest
import structlog

from payments_adapters.stripe import followed_types, sign
from payments_adapters.stripe.fields import decode
from payments_core.decide import payments
from payments_core.events import EventState
from payments_core.use_cases import EventFilter, ReplayEvents
from payments_service.clocks import utc_now
from payments_service.container import Container, build_container, opened
from payments_service.ingest_queue import IngestQueue
from payments_service.settings import Settings
from payments_service.worker import Worker
from support import databases
from support.deployment import admin
from support.events import SUCCEEDED, event, utc
from support.ops_port import Ops
from support.profiles import PROVES
from support.service import World, new_secret

pytestmark = pytest.mark.anyio

COUNT: Final = 10_000 if PROVES else 40
AT_ONCE: Final = 20
POISON: Final = COUNT // 2
USERS: Final = 20
SECRET: Final = new_secret()


@pytest.fixture
async def container(database_url: str) -> AsyncIterator[Container]:
    world = World(database_url, secrets=(SECRET,))
    container = build_container(Settings.from_env(world.env(0, 0)))
    async with opened(container):
        yield container


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """Return the log records without rendering them: a traceback takes a second."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def fail_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the reader of charges fail for one charge, as a bug of ours would."""

    def buggy(decoder: Any, body: bytes) -> Any:
        if f'"ch_{POISON}"'.encode() in body:
            raise ZeroDivisionError
        return decode(decoder, body)

    monkeypatch.setattr(followed_types, "decode", buggy)


def fail_to_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a rule fail for one payment, as a bug of ours would."""
    put = payments.put_payment

    def buggy(group: Any, before: Any, payment: Any, sequence: int) -> None:
        if payment.id == f"ch_{POISON}":
            raise ZeroDivisionError
        put(group, before, payment, sequence)

    monkeypatch.setattr(payments, "put_payment", buggy)


async def ingest(container: Container, number: int) -> str:
    """Take in an event as a webhook does; return its state."""
    user = {"user_id": f"user-{number % USERS}"}
    body = json.dumps(
        event(SUCCEEDED, number, at=utc(2026, 1, 1), customer=None, metadata=user)
    ).encode()
    signature = sign(body, secret=SECRET, at=utc_now())
    read = container.reader.read(body, signature)
    receipt = await container[IngestQueue](read)
    return receipt.outcome.state if receipt.outcome else "duplicate"


async def open_events(container: Container) -> float:
    """Return the metrics of pending events at a worker's ops port."""
    ops = Ops(events=container.events)
    return await ops.value('payments_events_open{state="pending"}')


@pytest.mark.parametrize("breaks", [fail_to_read, fail_to_apply])
async def test_f47_one_poisoned_event_among_many_is_replayed_after_the_fix(
    container: Container,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    logged: list[Any],
    breaks: Callable[[pytest.MonkeyPatch], None],
) -> None:
    """
    Everything else is applied. It is stored whole, listed with its reason, counted on
    the ops port and retried by its job; once the bug is gone it is applied.
    """
    breaks(monkeypatch)
    outcomes = list[str]()
    for first in range(0, COUNT, AT_ONCE):
        numbers = range(first, first + AT_ONCE)
        outcomes += await asyncio.gather(*(ingest(container, it) for it in numbers))

    expected = [EventState.APPLIED] * COUNT
    expected[POISON] = EventState.PENDING
    assert outcomes == expected
    page = await container.events.page(state=EventState.PENDING)
    [apart] = page.events
    assert apart.key.id == f"evt_{POISON}"
    assert apart.outcome.reason == "failed: ZeroDivisionError"
    assert apart.outcome.waits_for is not None
    assert await open_events(container) == 1
    assert [it["event"] for it in logged] == ["event set aside"]
    paid = "select count(*) from payments"
    assert [row[0] for row in await databases.fetch(database_url, paid)] == [COUNT - 1]

    # While the bug exists, another request of the job does no harm.
    replay, worker = container[ReplayEvents], Worker.of(container)
    wanted = EventFilter(type="charge.succeeded")
    for _ in range(2):
        asked = [it async for it in replay(wanted, caller=admin())]
        assert [job for it in asked for job in it.jobs] == [apart.outcome.waits_for]
    assert await worker.once() == 1
    assert await open_events(container) == 1
    assert [it["event"] for it in logged[1:]] == ["job failed"]
    monkeypatch.undo()
    asked = [it async for it in replay(wanted, reason="mended", caller=admin())]
    assert await worker.once() == 1

    [now] = await container.events.find(apart.key.id)
    assert now.outcome.state is EventState.APPLIED
    assert not (await container.events.page(state=EventState.PENDING)).events
    assert await open_events(container) == 0
    assert [row[0] for row in await databases.fetch(database_url, paid)] == [COUNT]
